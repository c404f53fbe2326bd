"""Hugging Face folders of BeitForImageClassification, brought to the names of the original (unilm/beit).

The weights were converted from unilm by transformers' ``convert_beit_unilm_to_pytorch.py``; this is the way back. The
names of transformers 4, which version 5 still saves, and those that version 5 uses in memory are both known.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.checkpoints.beit_assembly import Normalisation, Parts, assemble
from inferry.checkpoints.huggingface_config import load_object
from inferry.checkpoints.safetensors_files import WEIGHT_FILES, read_weights, sha256_of_weights
from inferry.core.errors import CheckpointError
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

_FIX: Final = "Give the folder that save_pretrained wrote for a BeitForImageClassification, with all of its files."
_ARCHITECTURE: Final = "BeitForImageClassification"
_EPSILON: Final = 1e-6
_DROPPED: Final = "beit.embeddings.mask_token"
"""Stands for hidden patches in pre-training only."""

_NAMES: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"beit\.embeddings\.cls_token", "cls_token"),
        (r"beit\.embeddings\.position_embeddings", "pos_embed"),
        (r"beit\.embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
        (r"beit\.(?:encoder\.relative_position_bias|shared_position_bias)\.(\w+)", r"rel_pos_bias.\1"),
        (r"beit\.pooler\.layernorm\.(weight|bias)", r"fc_norm.\1"),
        (r"beit\.layernorm\.(weight|bias)", r"norm.\1"),
        (r"classifier\.(weight|bias)", r"head.\1"),
        (r"beit\.(?:encoder\.layer|layers)\.(\d+)\.lambda_([12])", r"blocks.\1.gamma_\2"),
        (r"beit\.(?:encoder\.layer|layers)\.(\d+)\.layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
        (r"beit\.(?:encoder\.layer|layers)\.(\d+)\.layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
        (r"beit\.encoder\.layer\.(\d+)\.attention\.attention\.relative_position_bias\.(\w+)", r"blocks.\1.attn.\2"),
        (r"beit\.layers\.(\d+)\.relative_position_bias\.(\w+)", r"blocks.\1.attn.\2"),
        (r"beit\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)", r"blocks.\1.attn.\2.\3"),
        (r"beit\.layers\.(\d+)\.attention\.q_proj\.(\w+)", r"blocks.\1.attn.query.\2"),
        (r"beit\.layers\.(\d+)\.attention\.k_proj\.(\w+)", r"blocks.\1.attn.key.\2"),
        (r"beit\.layers\.(\d+)\.attention\.v_proj\.(\w+)", r"blocks.\1.attn.value.\2"),
        (r"beit\.encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attn.proj.\2"),
        (r"beit\.layers\.(\d+)\.attention\.o_proj\.(\w+)", r"blocks.\1.attn.proj.\2"),
        (r"beit\.encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
        (r"beit\.encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
        (r"beit\.layers\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"blocks.\1.mlp.\2.\3"),
    )
)
"""Names of transformers as patterns, and unilm's name for each."""

_SETTINGS: Final[dict[str, tuple[object, str]]] = {
    "model_type": ("beit", "this reader knows BEiT only"),
    "hidden_act": ("gelu", "the network uses the exact GELU"),
}
_SIZES: Final = {
    "hidden_size": "embed_dim",
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "intermediate_size": "mlp_dim",
    "image_size": "img_size",
    "patch_size": "patch_size",
}
"""config.json's words for what the tensors say themselves."""


def read_huggingface_beit(path: Path) -> Checkpoint:
    """A BeitForImageClassification folder of any size.

    Args:
        path: The folder.

    Returns:
        As `inferry.checkpoints.unilm_beit.read_beit`: unilm's names, q, k and v joined.

    Raises:
        CheckpointError: Lists everything that is missing, contradictory, not supported or not finite.
    """
    config, problems = load_object(path / "config.json")
    problems += [] if problems else _config_problems(config)
    weights = next((path / name for name in WEIGHT_FILES if (path / name).is_file()), None)
    if weights is None:
        raise CheckpointError(path, [*problems, f"no weight file; expected one of {', '.join(WEIGHT_FILES)}"], _FIX)
    try:
        tensors = read_weights(weights)
    except CheckpointError as error:
        raise CheckpointError(path, [*problems, *(f"{weights.name}: {one}" for one in error.problems)], _FIX) from error
    normalisation, notes, found = _preprocessing(path / "preprocessor_config.json")
    renamed, more = _renamed(tensors)
    parts = Parts(
        path=path,
        sha256=sha256_of_weights(weights),
        tensors=_joined(renamed),
        labels=_labels(config),
        normalisation=normalisation,
        notes=(*_epsilon_notes(config), *notes),
        problems=(*problems, *found, *more),
    )
    checkpoint = assemble(parts, _FIX)
    if contradictions := _contradictions(config, checkpoint.config):
        raise CheckpointError(path, contradictions, _FIX)
    return checkpoint


def _config_problems(config: Mapping[str, Any]) -> list[str]:
    problems = [
        f"config.json has {key} {config[key]!r}, supported is {value!r}: {reason}"
        for key, (value, reason) in _SETTINGS.items()
        if config.get(key, value) != value
    ]
    found = config.get("architectures")
    if found is not None and found != [_ARCHITECTURE]:
        problems.append(f"config.json names the architecture {found!r}, expected {[_ARCHITECTURE]}")
    return problems


def _contradictions(config: Mapping[str, Any], built: Mapping[str, Any]) -> list[str]:
    return [
        f"config.json has {key} {config[key]!r}, but the tensors say {built[own]}"
        for key, own in _SIZES.items()
        if key in config and config[key] not in (built[own], [built[own]] * 2)
    ]


def _renamed(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], list[str]]:
    """The tensors under unilm's names, and what two names stand for."""
    renamed: dict[str, Array] = {}
    problems = []
    for name, tensor in tensors.items():
        own = _name(name)
        if own in renamed:
            problems.append(f"tensor {name} is there twice, under the names of transformers 4 and 5")
        if name != _DROPPED:
            renamed[own] = tensor
    return renamed, problems


def _name(name: str) -> str:
    """The name in unilm; an unknown one stays, and is then reported."""
    for pattern, own in _NAMES:
        if match := pattern.fullmatch(name):
            return match.expand(own)
    return name


def _joined(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """q, k and v of every block as one tensor, where all three are there and alike."""
    joined = dict(tensors)
    for name in tensors:
        block = name.removesuffix(".query.weight")
        parts = [f"{block}.{part}.weight" for part in ("query", "key", "value")]
        if block == name or not all(part in tensors and tensors[part].ndim == 2 for part in parts):
            continue
        if len({tensors[part].shape for part in parts}) > 1:
            continue
        joined[f"{block}.qkv.weight"] = np.concatenate([joined.pop(part) for part in parts])
        for part, own in (("query", "q_bias"), ("value", "v_bias")):
            if f"{block}.{part}.bias" in joined:
                joined[f"{block}.{own}"] = joined.pop(f"{block}.{part}.bias")
    return joined


def _labels(config: Mapping[str, Any]) -> Sequence[str] | None:
    """Class names in order, None where config.json has none or only transformers' placeholders."""
    names = config.get("id2label")
    if not isinstance(names, dict) or not all(str(index) in names for index in range(len(names))):
        return None
    labels = [" ".join(str(names[str(index)]).split()) for index in range(len(names))]
    return None if all(label == f"LABEL_{index}" for index, label in enumerate(labels)) else labels


def _epsilon_notes(config: Mapping[str, Any]) -> list[str]:
    given = config.get("layer_norm_eps", 1e-12)
    if given == _EPSILON:
        return []
    return [f"config.json has layer_norm_eps {given}; {_EPSILON} is used, with which the original was trained"]


def _preprocessing(path: Path) -> tuple[Normalisation, list[str], list[str]]:
    """Mean and deviation, notes and problems of preprocessor_config.json, which may be missing."""
    if not path.exists():
        return Normalisation(), ["preprocessor_config.json is missing; the original's mean and deviation are used"], []
    given, problems = load_object(path)
    mean, std = (given.get(key, [0.5, 0.5, 0.5]) for key in ("image_mean", "image_std"))
    if not _is_colour(mean):
        problems.append(f"preprocessor_config.json has image_mean {mean!r}, expected three numbers")
    if not _is_colour(std) or min(std) <= 0:
        problems.append(f"preprocessor_config.json has image_std {std!r}, expected three numbers above 0")
    if problems:
        return Normalisation(), [], problems
    note = "pictures are resized and cut as the original does (bicubic, centre), whatever preprocessor_config.json says"
    return Normalisation(tuple(map(float, mean)), tuple(map(float, std))), [note], []


def _is_colour(values: object) -> bool:
    return isinstance(values, list) and len(values) == 3 and all(type(one) in {int, float} for one in values)
