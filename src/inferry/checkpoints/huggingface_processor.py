"""processor.json of a Hugging Face speech folder, from its preprocessor and tokenizer settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from inferry.checkpoints.huggingface_config import load_object

_EPSILON: Final = 1e-7
"""Of Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm, where it is a constant."""

_EXTRACTOR: Final = "Wav2Vec2FeatureExtractor"
_DEFAULTS: Final[dict[str, object]] = {"do_normalize": True, "sampling_rate": 16000, "feature_size": 1}
"""Of Wav2Vec2FeatureExtractor."""


def input_of(folder: Path, minimum_samples: int) -> tuple[dict[str, Any], list[str], list[str]]:
    """How a waveform is prepared, the problems, and notes for the user."""
    settings, problems, notes = dict(_DEFAULTS), list[str](), list[str]()
    path = folder / "preprocessor_config.json"
    if path.exists():
        given, problems = load_object(path)
        settings |= given
    else:
        notes.append("preprocessor_config.json is missing: 16 kHz and normalisation per utterance were assumed")
    if settings.get("feature_extractor_type", _EXTRACTOR) != _EXTRACTOR:
        found = settings["feature_extractor_type"]
        problems.append(f"preprocessor_config.json has feature_extractor_type {found!r}, supported is {_EXTRACTOR!r}")
    if not isinstance(settings["do_normalize"], bool):
        problems.append(
            f"preprocessor_config.json has do_normalize {settings['do_normalize']!r}, expected true or false"
        )
    rate = settings["sampling_rate"]
    if type(rate) is not int or not 1000 <= rate <= 192000:
        problems.append(f"preprocessor_config.json has sampling_rate {rate!r}, expected samples per second, as 16000")
    if settings["feature_size"] != 1:
        problems.append(
            f"preprocessor_config.json has feature_size {settings['feature_size']!r}, supported is 1 (mono)"
        )
    prepared = {
        "kind": "waveform",
        "sampling_rate": rate,
        "normalize": settings["do_normalize"],
        "epsilon": _EPSILON,
        "minimum_samples": minimum_samples,
    }
    return prepared, problems, notes


def decode_of(folder: Path, tokens: Sequence[str]) -> tuple[dict[str, Any], list[str], list[str]]:
    """How logits become text (Wav2Vec2CTCTokenizer), the problems, and notes for the user."""
    settings: Mapping[str, Any] = {}
    problems: list[str] = []
    if (folder / "tokenizer_config.json").exists():
        settings, problems = load_object(folder / "tokenizer_config.json")
    blank = _token(settings.get("pad_token"), "<pad>")
    delimiter = _token(settings.get("word_delimiter_token"), "|")
    notes = []
    if tokens and blank not in tokens:
        problems.append(f"the vocabulary has no {blank!r}, which is the CTC blank (pad_token)")
    if tokens and delimiter not in tokens:
        notes.append(f"the vocabulary has no {delimiter!r}: texts come out without spaces")
    for key, value in (("do_lower_case", False), ("replace_word_delimiter_char", " ")):
        if settings.get(key, value) != value:
            problems.append(f"tokenizer_config.json has {key} {settings[key]!r}, supported is {value!r}")
    decode = {
        "kind": "ctc-greedy",
        "style": "huggingface",
        "blank": tokens.index(blank) if blank in tokens else 0,
        "word_delimiter": delimiter,
    }
    return decode, problems, notes


def _token(value: object, default: str) -> str:
    """A token's text; tokenizer_config.json spells it plainly or as an object with its content."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else default
