"""Hugging Face folders of wav2vec2 and data2vec-audio with a CTC head, checked completely and read into numpy."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferry.checkpoints import huggingface_config as configs
from inferry.checkpoints import weight_norm
from inferry.checkpoints.huggingface_processor import decode_of, input_of
from inferry.checkpoints.safetensors_files import WEIGHT_FILES, read_weights, sha256_of_weights
from inferry.checkpoints.speech_tables import data2vec_audio_table, wav2vec2_table
from inferry.checkpoints.tensor_checks import Shapes, problems_of, to_float32
from inferry.core.errors import CheckpointError
from inferry.core.files import to_json_text
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

_TRAINING_ONLY: Final = ("masked_spec_embed", "quantizer.", "project_q.", "project_hid.")
_NO_HEAD: Final = (
    "it has no CTC head (lm_head.weight, lm_head.bias): it was pre-trained, but not fine-tuned for speech recognition, "
    "or the head was not saved"
)
_FIX: Final = (
    "Give the folder that save_pretrained wrote, with all of its files, of a model that was fine-tuned for CTC."
)


@dataclass(frozen=True)
class _Family:
    key: str
    prefix: str
    table: Callable[[Mapping[str, Any]], Shapes]
    convolution: str | None


_WAV2VEC2: Final = _Family("wav2vec2", "wav2vec2", wav2vec2_table, "wav2vec2.encoder.pos_conv_embed.conv")
_DATA2VEC: Final = _Family("data2vec-audio", "data2vec_audio", data2vec_audio_table, None)


def read_wav2vec2(path: Path) -> Checkpoint:
    """A Wav2Vec2ForCTC folder, group norm or layer norm variant, of any size.

    Args:
        path: The folder, or a file in it.

    Returns:
        Tensors float32 under their original names, the positional convolution's weight norm resolved into
        ``wav2vec2.encoder.pos_conv_embed.conv.weight``, training-only tensors left out.

    Raises:
        CheckpointError: Lists everything that is missing, contradictory, not supported or not finite.
    """
    return _read(path, _WAV2VEC2)


def read_data2vec_audio(path: Path) -> Checkpoint:
    """A Data2VecAudioForCTC folder of any size.

    Args:
        path: The folder, or a file in it.

    Returns:
        Tensors float32 under their original names, training-only tensors left out.

    Raises:
        CheckpointError: Lists everything that is missing, contradictory, not supported or not finite.
    """
    return _read(path, _DATA2VEC)


def _read(path: Path, family: _Family) -> Checkpoint:
    folder = _folder(path, family)
    config, problems = configs.load_object(folder / "config.json")
    broken = bool(problems)
    if not broken:
        problems = configs.family_problems(config, family.key)
        if config.get("model_type") != family.key:
            raise CheckpointError(folder, problems, _FIX)  # nothing else would be about this family
        found = configs.config_problems(config, family.key)
        problems, broken = problems + found, bool(found)
    usable = not broken
    size = config["vocab_size"] if usable else None
    tokens, found = configs.read_vocabulary(folder, size)
    problems += found
    prepared, found, notes = input_of(folder, configs.receptive_field(config) if usable else 1)
    decode, more, further = decode_of(folder, tokens)
    weights, tensors, missing = _weights(folder)
    problems += found + more + missing
    if weights and not missing:
        tensors, found = _checked(tensors, family, family.table(config) if usable else None)
        problems += found
    if problems or weights is None:
        raise CheckpointError(folder, problems, _FIX)
    return Checkpoint(
        family=family.key,
        path=folder,
        sha256=sha256_of_weights(weights),
        tensors=tensors,
        config=config,
        processor={"input": prepared, "decode": decode | {"frame_seconds": _frame_seconds(config, prepared)}},
        files={"vocab.json": to_json_text(tokens)},
        notes=tuple(notes + further),
    )


def _folder(path: Path, family: _Family) -> Path:
    if not path.exists():
        problem = f"it does not exist; expected a folder with config.json, vocab.json and {WEIGHT_FILES[0]}"
        raise CheckpointError(path, [problem], _FIX)
    folder = path if path.is_dir() else path.parent
    if path.suffix == ".ckpt" or (not (folder / "config.json").exists() and any(folder.glob("*.ckpt"))):
        problem = f"this is a Lightning checkpoint, expected a Hugging Face folder of {family.key}"
        raise CheckpointError(path, [problem], "Use the family deepspeech2 if it is a DeepSpeech2 model.")
    return folder


def _weights(folder: Path) -> tuple[Path | None, dict[str, Array], list[str]]:
    """The preferred weight file, its tensors, and the problems."""
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        return None, {}, [f"no weight file; expected one of {', '.join(WEIGHT_FILES)}"]
    try:
        return weights, to_float32(read_weights(weights)), []
    except CheckpointError as error:
        return weights, {}, [f"{weights.name}: {problem}" for problem in error.problems]


def _checked(tensors: dict[str, Array], family: _Family, expected: Shapes | None) -> tuple[dict[str, Array], list[str]]:
    """The tensors of inference, and all that is wrong with them."""
    if not any(name.startswith("lm_head.") for name in tensors):
        return {}, [_NO_HEAD]
    kept = {name: tensor for name, tensor in tensors.items() if not _only_for_training(name, family.prefix)}
    problems: list[str] = []
    if family.convolution is not None:
        kept, problems = weight_norm.resolve(kept, family.convolution)
    if expected is None:
        return kept, [*problems, "the tensors were not checked, because config.json does not say what to expect"]
    found = problems_of(kept, expected)
    if problems:  # the weight that could not be resolved is explained already
        found = [problem for problem in found if f"{family.convolution}.weight " not in problem]
    return {name: kept[name] for name in expected if name in kept}, problems + found


def _frame_seconds(config: Mapping[str, Any], prepared: Mapping[str, Any]) -> float:
    """From one frame of the network to the next."""
    return float(math.prod(config["conv_stride"]) / prepared["sampling_rate"])


def _only_for_training(name: str, prefix: str) -> bool:
    return name.removeprefix(f"{prefix}.").startswith(_TRAINING_ONLY)
