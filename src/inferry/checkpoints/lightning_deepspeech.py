"""Lightning checkpoints of deepspeech.pytorch V3.0, checked completely and read into numpy without its packages."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from inferry.checkpoints.deepspeech_table import GATES, deepspeech_table
from inferry.checkpoints.omegaconf_tree import plain, type_of
from inferry.checkpoints.pickles import TensorRecord, UnsafePickleError
from inferry.checkpoints.tensor_checks import problems_of, to_float32
from inferry.checkpoints.torch_files import TorchFile, open_torch, state_dict_of
from inferry.core.errors import CheckpointError
from inferry.core.files import sha256_of, to_json_text
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

WINDOWS: Final = ("hamming", "hann", "blackman", "bartlett")
"""Of deepspeech_pytorch.enums.SpectrogramWindow."""

SAMPLE_RATES: Final = (8000, 16000)
_DIRECTIONS: Final = {"BiDirectionalConfig": True, "UniDirectionalConfig": False}
_LOOKAHEAD: Final = "lookahead.0.conv.weight"
_GREATEST_SIZE: Final = 1 << 16
_FIX: Final = "Give a .ckpt file that deepspeech.pytorch V3.0 trained, such as an4_pretrained_v3.ckpt of its release."


def read_deepspeech2(path: Path) -> Checkpoint:
    """A DeepSpeech2 checkpoint: LSTM, GRU or plain RNN, bidirectional or with lookahead, of any size.

    Args:
        path: The .ckpt file, or a folder with exactly one.

    Returns:
        Tensors float32 under their original names, without ``num_batches_tracked``.

    Raises:
        CheckpointError: Lists everything that is missing, contradictory, not supported or not finite.
    """
    weights = _file(path)
    file = open_torch(weights)
    content = file.content if isinstance(file.content, dict) else {}
    if "hyper_parameters" not in content or "state_dict" not in content:
        found = ", ".join(sorted(str(key) for key in content)[:10]) or type(file.content).__name__
        problem = f"it is no Lightning checkpoint; found {found}, expected state_dict and hyper_parameters"
        raise CheckpointError(weights, [problem], _FIX)
    config, problems = _config(content["hyper_parameters"])
    records, found_problems = _records(content["state_dict"])
    problems += found_problems
    problems += _direction_problems(config, records) if records else []
    tensors: dict[str, Array] = {}
    if not problems:
        tensors, problems = _tensors(file, records, config)
    if problems:
        raise CheckpointError(weights, problems, _FIX)
    return Checkpoint(
        family="deepspeech2",
        path=weights,
        sha256=sha256_of(weights),
        tensors=tensors,
        config=config,
        processor=_processor(config),
        files={"vocab.json": to_json_text(config["labels"])},
        notes=("reflect padding of the spectrogram was chosen, as librosa 0.8 did when V3.0 was released",),
    )


def _file(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(path, ["it does not exist; expected a .ckpt file, or a folder with one"], _FIX)
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.ckpt"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found)
        raise CheckpointError(
            path, [f"it has {len(found)} .ckpt files, expected one: {names}"], "Name the file itself."
        )
    problem = "it has no .ckpt file"
    if (path / "config.json").exists():
        problem += (
            "; it is a Hugging Face folder, expected a DeepSpeech2 checkpoint (see the model_type in config.json)"
        )
    raise CheckpointError(path, [problem], _FIX)


def _config(parameters: object) -> tuple[dict[str, Any], list[str]]:
    """The architecture in our names, and all problems of hyper_parameters."""
    given = parameters if isinstance(parameters, dict) else {}
    model, spectrogram = _section(given, "model_cfg"), _section(given, "spect_cfg")
    direction = type_of(given.get("model_cfg")).rpartition(".")[2]
    config = {
        "rnn_type": _rnn_type(model.get("rnn_type")),
        "bidirectional": _DIRECTIONS.get(direction, "lookahead_context" not in model),
        "hidden_size": model.get("hidden_size"),
        "hidden_layers": model.get("hidden_layers"),
        "lookahead_context": model.get("lookahead_context"),
        "sample_rate": spectrogram.get("sample_rate"),
        "window_size": spectrogram.get("window_size"),
        "window_stride": spectrogram.get("window_stride"),
        "window": spectrogram.get("window"),
        "labels": plain(given.get("labels")),
    }
    if config["bidirectional"]:
        config["lookahead_context"] = None
    problems = [
        f"hyper_parameters has no {key}"
        for key in ("labels", "model_cfg", "spect_cfg")
        if given.get(key) is None  # a key that holds None is as good as absent
    ]
    return config, problems or _config_problems(config)


def _section(parameters: Mapping[str, object], key: str) -> dict[str, Any]:
    section = plain(parameters.get(key))
    return section if isinstance(section, dict) else {}


def _rnn_type(value: object) -> object:
    """``lstm`` of ``torch.nn.modules.rnn.LSTM`` (the value of V3.0's enumeration) or of the plain name."""
    return value.rpartition(".")[2].lower() if isinstance(value, str) else value


def _config_problems(config: Mapping[str, Any]) -> list[str]:
    sizes = ["hidden_size", "hidden_layers"] + ["lookahead_context"] * (not config["bidirectional"])
    problems = [
        f"model_cfg has {key} {config[key]!r}, expected a positive integer"
        for key in sizes
        if type(config[key]) is not int or not 0 < config[key] < _GREATEST_SIZE
    ]
    for section, key, choices in (
        ("model_cfg", "rnn_type", tuple(GATES)),
        ("spect_cfg", "window", WINDOWS),
        ("spect_cfg", "sample_rate", SAMPLE_RATES),
    ):
        if config[key] not in choices:
            expected = ", ".join(str(choice) for choice in choices)
            problems.append(f"{section} has {key} {config[key]!r}, expected one of {expected}")
    for key in ("window_size", "window_stride"):
        seconds = config[key]
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.001 <= seconds <= 1:
            problems.append(f"spect_cfg has {key} {seconds!r}, expected seconds, as 0.02")
    return problems + _label_problems(config["labels"])


def _label_problems(labels: object) -> list[str]:
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        return [f"hyper_parameters has labels {labels!r:.80}, expected a list of characters"]
    wrong = [label for label in labels if len(label) != 1]
    problems = [f"labels has {wrong[0]!r}, expected single characters"] if wrong else []
    if len(set(labels)) != len(labels):
        problems.append("labels has the same character twice")
    return problems


def _records(state: object) -> tuple[dict[str, TensorRecord], list[str]]:
    try:
        records = state_dict_of(state)
    except UnsafePickleError as error:
        return {}, [f"state_dict: {problem}" for problem in error.problems]
    return {name: record for name, record in records.items() if not name.endswith(".num_batches_tracked")}, []


def _direction_problems(config: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Whether the tensors run in the direction that the configuration says."""
    both = any(name.endswith("_reverse") for name in names)
    ahead = _LOOKAHEAD in names
    if config["bidirectional"] and ahead and not both:
        return ["model_cfg says bidirectional, but the tensors are those of a network with lookahead"]
    if not config["bidirectional"] and both and not ahead:
        return ["model_cfg says one direction with lookahead, but the tensors are those of a bidirectional network"]
    return []


def _tensors(
    file: TorchFile, records: Mapping[str, TensorRecord], config: Mapping[str, Any]
) -> tuple[dict[str, Array], list[str]]:
    expected = deepspeech_table(config)
    problems = _other_rnn(records, config)
    try:
        tensors = to_float32(file.arrays(records))
    except CheckpointError as error:
        return {}, [*problems, *error.problems]
    problems += problems_of(tensors, expected)
    return {name: tensors[name] for name in expected if name in tensors}, problems


def _other_rnn(records: Mapping[str, TensorRecord], config: Mapping[str, Any]) -> list[str]:
    """Whether the shapes are those of another kind of RNN; says it once instead of leaving it to be guessed."""
    record = records.get("rnns.0.rnn.weight_hh_l0")
    if record is None or len(record.shape) != 2 or record.shape[1] < 1:
        return []
    found = [kind for kind, gates in GATES.items() if record.shape[0] == gates * record.shape[1]]
    if found and found != [config["rnn_type"]]:
        return [f"model_cfg has rnn_type {config['rnn_type']}, but the weights are those of {found[0]}"]
    return []


def _processor(config: Mapping[str, Any]) -> dict[str, Any]:
    window = int(config["sample_rate"] * config["window_size"])
    return {
        "input": {
            "kind": "spectrogram",
            **{key: config[key] for key in ("window_size", "window_stride", "window")},
            "sampling_rate": config["sample_rate"],
            "pad_mode": "reflect",
            "minimum_samples": window // 2 + 1,  # reflection needs more samples than it adds at an end
        },
        "decode": {
            "kind": "ctc-greedy",
            "style": "deepspeech",
            "blank": 0,
            "word_delimiter": " ",
            "frame_seconds": 2 * config["window_stride"],  # the first convolution takes every second one
        },
    }
