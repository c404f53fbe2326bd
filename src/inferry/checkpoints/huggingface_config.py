"""What config.json and vocab.json of a Hugging Face speech folder say, checked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ARCHITECTURES: Final = {"wav2vec2": "Wav2Vec2ForCTC", "data2vec-audio": "Data2VecAudioForCTC"}
"""The class that transformers would load, by family."""

_INTEGERS: Final = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "vocab_size",
)
_LISTS: Final = ("conv_dim", "conv_kernel", "conv_stride")
_GREATEST: Final = {"num_hidden_layers": 1024, "num_conv_pos_embeddings": 1024}
"""Counts that decide how long the table of tensors gets; no real model comes near."""

_GREATEST_SIZE: Final = 1 << 20
"""Likewise for all other sizes."""

_SETTINGS: Final[dict[str, tuple[object, str]]] = {
    "hidden_act": ("gelu", "the networks use the exact GELU"),
    "feat_extract_activation": ("gelu", "the networks use the exact GELU"),
    "add_adapter": (False, "adapter layers are not supported"),
    "adapter_attn_dim": (None, "language adapters are not supported"),
    "conv_pos_batch_norm": (False, "batch norm in the positional convolution is not supported"),
}
"""Settings with the one value that is supported, and why; transformers uses the same value where a key is absent."""


def load_object(path: Path) -> tuple[dict[str, Any], list[str]]:
    """A JSON object and the problems; an empty one if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, [f"{path.name} is missing"]
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{path.name} cannot be read as JSON: {error}"]
    if not isinstance(content, dict):
        return {}, [f"{path.name} holds a {type(content).__name__}, expected a JSON object"]
    return content, []


def family_problems(config: Mapping[str, Any], family: str) -> list[str]:
    """Whether config.json is of another family or has no CTC head."""
    kind = config.get("model_type")
    if kind != family:
        if isinstance(kind, str) and kind in ARCHITECTURES:
            return [f"config.json is of the family {kind}, expected {family}; use the family {kind} instead"]
        known = ", ".join(ARCHITECTURES)
        return [f"config.json has model_type {kind!r}, expected {family!r}; families with this layout: {known}"]
    found = config.get("architectures")
    if found is None or found == [ARCHITECTURES[family]]:
        return []
    return [
        f"config.json names the architecture {found!r}, expected {[ARCHITECTURES[family]]}: a model with a CTC head"
    ]


def config_problems(config: Mapping[str, Any], family: str) -> list[str]:
    """All that is missing, contradictory or not supported; empty only if a table of tensors can be derived."""
    problems = [
        _wrong(config, key, f"an integer from 1 to {_GREATEST.get(key, _GREATEST_SIZE)}")
        for key in (*_INTEGERS, *(["conv_pos_kernel_size"] if family == "data2vec-audio" else []))
        if not _is_size(config.get(key), _GREATEST.get(key, _GREATEST_SIZE))
    ]
    problems += [
        _wrong(config, key, "a list of positive integers")
        for key in _LISTS
        if not (isinstance(config.get(key), list) and config[key] and all(_is_size(size) for size in config[key]))
    ]
    if not isinstance(config.get("conv_bias"), bool):
        problems.append(_wrong(config, "conv_bias", "true or false"))
    epsilon = config.get("layer_norm_eps")
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        problems.append(_wrong(config, "layer_norm_eps", "a small positive number"))
    if family == "wav2vec2":
        problems += _norm_problems(config)
    problems += [
        f"config.json has {key} {config[key]!r}, supported is {value!r}: {reason}"
        for key, (value, reason) in _SETTINGS.items()
        if config.get(key, value) != value
    ]
    return problems or _contradictions(config)


def _is_size(value: object, greatest: int = _GREATEST_SIZE) -> bool:
    return type(value) is int and 0 < value <= greatest


def _wrong(config: Mapping[str, Any], key: str, expected: str) -> str:
    found = f"{key} {config[key]!r}" if key in config else f"no {key}"
    return f"config.json has {found}, expected {expected}"


def _norm_problems(config: Mapping[str, Any]) -> list[str]:
    problems = []
    if config.get("feat_extract_norm") not in {"group", "layer"}:
        problems.append(_wrong(config, "feat_extract_norm", "'group' or 'layer'"))
    if not isinstance(config.get("do_stable_layer_norm"), bool):
        problems.append(_wrong(config, "do_stable_layer_norm", "true or false"))
    return problems


def _contradictions(config: Mapping[str, Any]) -> list[str]:
    problems = []
    lengths = {key: len(config[key]) for key in _LISTS}
    if "num_feat_extract_layers" in config:
        lengths["num_feat_extract_layers"] = config["num_feat_extract_layers"]
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{key} {length}" for key, length in lengths.items())
        problems.append(f"config.json contradicts itself about the number of convolutions: {given}")
    problems += [
        f"config.json has hidden_size {config['hidden_size']}, which {key} {config[key]} does not divide"
        for key in ("num_attention_heads", "num_conv_pos_embedding_groups")
        if config["hidden_size"] % config[key]
    ]
    return problems


def receptive_field(config: Mapping[str, Any]) -> int:
    """Samples that one frame needs: 400 for the usual convolutions."""
    field, jump = 1, 1
    for kernel, stride in zip(config["conv_kernel"], config["conv_stride"], strict=True):
        field += (kernel - 1) * jump
        jump *= stride
    return field


def read_vocabulary(folder: Path, size: int | None) -> tuple[list[str], list[str]]:
    """Tokens in index order, from vocab.json and added_tokens.json, and the problems.

    Args:
        folder: Of the checkpoint.
        size: Rows of the CTC head, None if unknown.
    """
    entries, problems = load_object(folder / "vocab.json")
    if (folder / "added_tokens.json").exists():
        added, added_problems = load_object(folder / "added_tokens.json")
        entries, problems = {**entries, **added}, problems + added_problems
    if problems:
        return [], problems
    nested = [name for name, value in entries.items() if isinstance(value, dict)]
    if nested:
        return [], [f"vocab.json holds several vocabularies ({', '.join(nested[:5])}), expected one"]
    wrong = [token for token, index in entries.items() if type(index) is not int]
    if wrong:
        return [], [f"vocab.json gives {wrong[0]!r} the index {entries[wrong[0]]!r}, expected integers"]
    if sorted(entries.values()) != list(range(len(entries))):
        return [], [
            f"vocab.json has {len(entries)} tokens, but their indices are not 0 to {len(entries) - 1}, each once"
        ]
    if size is not None and len(entries) != size:
        problems.append(f"vocab.json has {len(entries)} tokens, but config.json has vocab_size {size}")
    return sorted(entries, key=lambda token: int(entries[token])), problems
