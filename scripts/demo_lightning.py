"""Writes checkpoints as deepspeech.pytorch V3.0 does under pytorch-lightning 1.1, without those packages.

A Lightning checkpoint of V3.0 carries its hyper-parameters as omegaconf 2.0 nodes, and every node points to its
parent, so the pickle holds the whole tree of training settings and names the classes of four packages. Those
versions no longer install beside current ones. A pickle stores of an instance only its class's name and its
attributes; classes of the same names with the same attributes therefore give the same pickle.
"""

import collections
import contextlib
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from demo_lightning_settings import AUGMENTATION, CHECKPOINT, OPTIMIZER, TRAINER, Untyped

_NODES = {bool: "BooleanNode", int: "IntegerNode", float: "FloatNode", str: "StringNode"}
_CONFIGS = "deepspeech_pytorch.configs.train_config"
_CLASSES = {
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": ("AnyNode", "BooleanNode", "EnumNode", "FloatNode", "IntegerNode", "StringNode"),
    _CONFIGS: (
        "AdamConfig",
        "AugmentationConfig",
        "BiDirectionalConfig",
        "DataConfig",
        "DeepSpeechConfig",
        "DeepSpeechTrainerConf",
        "SpectConfig",
    ),
    "deepspeech_pytorch.enums": ("RNNType", "SpectrogramWindow"),
    "hydra_configs.pytorch_lightning.callbacks": ("ModelCheckpointConf",),
}


class _EnumMember:
    """A member of an enumeration, which pickles as the call of its class with its value."""

    value: object

    def __init__(self, value: object) -> None:
        self.value = value

    def __reduce__(self) -> tuple[type, tuple[object]]:
        return type(self), (self.value,)


def _stand_in(module: str, name: str) -> type:
    base = _EnumMember if module == "deepspeech_pytorch.enums" else object
    return type(name, (base,), {"__module__": module})


_STAND_INS = {name: _stand_in(module, name) for module, names in _CLASSES.items() for name in names}


@contextlib.contextmanager
def _importable() -> Iterator[None]:
    """Makes the stand-ins importable under their names, which pickle insists on, for as long as it writes."""
    packages = {module.rsplit(".", depth)[0] for module in _CLASSES for depth in range(module.count(".") + 1)}
    before = {name: sys.modules.get(name) for name in packages}
    for name in packages:
        sys.modules[name] = types.ModuleType(name)
    for stand_in in _STAND_INS.values():
        setattr(sys.modules[stand_in.__module__], stand_in.__name__, stand_in)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _make(name: str, **attributes: object) -> Any:  # noqa: ANN401 - an instance of a class that is not installed
    instance = object.__new__(_STAND_INS[name])
    instance.__dict__.update(attributes)
    return instance


def _metadata(name: str, reference: object, kind: object, key: object, **more: object) -> object:
    caches: collections.defaultdict[str, object] = collections.defaultdict(dict)
    basis = {"ref_type": reference, "object_type": kind, "optional": False, "key": key}
    return _make(name, **basis | {"flags": {}, "resolver_cache": caches} | more)


def _node(key: object, value: object, parent: object) -> object:
    """A leaf of the tree."""
    if isinstance(value, Untyped):
        metadata = _metadata("Metadata", Any, None, key, optional=True)
        return _make("AnyNode", _metadata=metadata, _parent=parent, _val=value.value)
    kind = value if isinstance(value, type) else type(value)
    content = None if isinstance(value, type) else value
    metadata = _metadata("Metadata", kind, kind, key, optional=content is None)
    return _make(_NODES[kind], _metadata=metadata, _parent=parent, _val=content)


def _enumeration(key: str, kind: str, fields: Mapping[str, object], chosen: str, parent: object) -> object:
    """A leaf that holds the member `chosen` of an enumeration."""
    enum = _STAND_INS[kind]
    metadata = _metadata("Metadata", enum, enum, key)
    leaf = {"fields": dict(fields), "enum_type": enum, "_metadata": metadata, "_parent": parent}
    return _make("EnumNode", **leaf, _val=enum(fields[chosen]))


def _section(kind: str, key: str | None, parent: object, leaves: Mapping[str, object]) -> Any:  # noqa: ANN401 - as _make
    """A branch of the tree with its leaves."""
    types_of_items = {"key_type": None, "element_type": None}
    metadata = _metadata("ContainerMetadata", _STAND_INS[kind], _STAND_INS[kind], key, optional=True, **types_of_items)
    branch = _make("DictConfig", _metadata=metadata, _parent=parent, _content={})
    branch._content.update({name: _node(name, value, branch) for name, value in leaves.items()})  # noqa: SLF001
    if parent is not None:
        parent._content[key] = branch  # type: ignore[attr-defined] # noqa: SLF001 - the original's attribute
    return branch


def _add_betas(optimizer: Any) -> None:  # noqa: ANN401 - as _make
    """AdamW's two coefficients, a list in the tree."""
    types_of_items = {"key_type": int, "element_type": None}
    metadata = _metadata("ContainerMetadata", tuple, list, "betas", **types_of_items)
    betas = _make("ListConfig", _metadata=metadata, _parent=optimizer, _content=[])
    betas._content += [_node(index, Untyped(beta), betas) for index, beta in enumerate((0.9, 0.999))]  # noqa: SLF001
    optimizer._content["betas"] = betas  # noqa: SLF001


def settings(hidden_size: int, hidden_layers: int) -> dict[str, object]:
    """The three sections that V3.0 keeps as hyper-parameters; each points to the whole tree.

    Returns:
        `model_cfg`, `optim_cfg` and `spect_cfg`.
    """
    cells = {"lstm": torch.nn.LSTM, "rnn": torch.nn.RNN, "gru": torch.nn.GRU}
    windows = {name: name for name in ("hamming", "hann", "blackman", "bartlett")}
    root = _section("DeepSpeechConfig", None, None, {})
    root._metadata.flags = {"struct": True}  # noqa: SLF001 - the original's attribute
    optimizer = _section("AdamConfig", "optim", root, OPTIMIZER)
    _add_betas(optimizer)
    model = _section("BiDirectionalConfig", "model", root, {})
    model._content["rnn_type"] = _enumeration("rnn_type", "RNNType", cells, "lstm", model)  # noqa: SLF001
    sizes = {"hidden_size": hidden_size, "hidden_layers": hidden_layers}
    model._content.update({name: _node(name, value, model) for name, value in sizes.items()})  # noqa: SLF001
    _section("ModelCheckpointConf", "checkpoint", root, CHECKPOINT)
    _section("DeepSpeechTrainerConf", "trainer", root, TRAINER)
    paths = {"train_path": "train.json", "val_path": "validation.json"}
    data = _section(
        "DataConfig", "data", root, paths | {"batch_size": 16, "num_workers": 0, "labels_path": "labels.json"}
    )
    spectrogram = {"sample_rate": 16000, "window_size": 0.02, "window_stride": 0.01}
    spect = _section("SpectConfig", "spect", data, spectrogram)
    spect._content["window"] = _enumeration("window", "SpectrogramWindow", windows, "hamming", spect)  # noqa: SLF001
    _section("AugmentationConfig", "augmentation", data, AUGMENTATION)
    _section("AugmentationConfig", "augmentation", root, AUGMENTATION)
    root._content["seed"] = _node("seed", 1, root)  # noqa: SLF001 - the original's attribute
    root._content["load_auto_checkpoint"] = _node("load_auto_checkpoint", False, root)  # noqa: FBT003, SLF001 - likewise
    return {"model_cfg": model, "optim_cfg": optimizer, "spect_cfg": spect}


def write(
    path: Path,
    state: Mapping[str, torch.Tensor],
    *,
    labels: Sequence[str],
    hidden_size: int,
    hidden_layers: int,
    steps: int,
) -> None:
    """Writes a Lightning checkpoint without optimiser state (`save_weights_only`).

    Args:
        path: The `.ckpt` file.
        state: Tensors under V3.0's names.
        labels: Symbols in index order, the CTC blank first.
        hidden_size: Width of the recurrent layers.
        hidden_layers: Their number.
        steps: Training steps behind these weights.
    """
    checkpoint = {
        "epoch": 1,
        "global_step": steps,
        "pytorch-lightning_version": "1.1.8",
        "state_dict": collections.OrderedDict(state),
        "hparams_name": "kwargs",
        "hyper_parameters": {"labels": list(labels), "precision": 32, **settings(hidden_size, hidden_layers)},
    }
    with _importable():
        torch.save(checkpoint, path)
