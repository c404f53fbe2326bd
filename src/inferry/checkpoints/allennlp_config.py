"""What the model section of an AllenNLP VqaVilbert configuration says, beside what the weights' shapes say."""

import json
from collections.abc import Mapping
from typing import Any, Final

from inferry.checkpoints.vilbert_table import sizes_of

FROM_HUGGINGFACE: Final = "vqa_vilbert_from_huggingface"
"""The text transformer's sizes are those of a Hugging Face model, named but not contained."""

EXPLICIT: Final = "vqa_vilbert"
"""Every size is in the configuration."""

HEAD_WIDTH: Final = 64
"""Of every published BERT, base and large."""

_FUSIONS: Final = ("sum", "mul")


def architecture(
    model: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], huggingface: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """The checkpoint's configuration, and the problems; empty if the table of tensors cannot be derived from it.

    Args:
        model: The section ``model`` of config.json.
        shapes: Of the weights.
        huggingface: The text model's own config.json, empty where it is not at hand.

    Returns:
        ``text``, ``image`` and ``combined`` (sizes and ``num_attention_heads`` of each), ``text_biattention_id``,
        ``image_biattention_id``, ``num_exchanges``, ``pooled_output_dim``, ``num_answers`` and ``fusion_method``.
    """
    kind = model.get("type")
    if kind not in {FROM_HUGGINGFACE, EXPLICIT}:
        return {}, [f"config.json has a model of type {kind!r}, expected {EXPLICIT!r} or {FROM_HUGGINGFACE!r}"]
    config, problems = sizes_of(shapes)
    if problems:
        return {}, problems
    heads, given = _from_huggingface(model, config, huggingface) if kind == FROM_HUGGINGFACE else _explicit(model)
    problems += _sizes_problems(given, config)
    for (name, count), section in zip(
        heads.items(), (config["text"], config["image"], config["combined"]), strict=True
    ):
        section["num_attention_heads"] = count
        if type(count) is not int or count < 1 or section["hidden_size"] % count:
            problems.append(
                f"config.json has {name} {count!r}, expected a number of heads that divides {section['hidden_size']}"
            )
    settings = model if kind == FROM_HUGGINGFACE else _section(model, "encoder")
    names = ("text_biattention_id", "image_biattention_id", "text_fixed_layer", "image_fixed_layer")
    if kind == EXPLICIT:
        names = ("biattention_id1", "biattention_id2", "fixed_layer1", "fixed_layer2")
    problems += _exchange_problems(settings, names, config)
    config["text_biattention_id"], config["image_biattention_id"] = (settings.get(name) for name in names[:2])
    config["fusion_method"] = model.get("fusion_method", "sum")
    problems += _unsupported(model, settings, config)
    return ({} if problems else config), problems


def _from_huggingface(
    model: Mapping[str, Any], config: Mapping[str, Any], huggingface: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Heads of the text, the picture and between them; and all sizes that the configuration states."""
    text = _parsed(huggingface)
    heads = {
        "num_attention_heads (of the text model)": text.get(
            "num_attention_heads", config["text"]["hidden_size"] // HEAD_WIDTH
        ),
        "image_num_attention_heads": model.get("image_num_attention_heads"),
        "combined_num_attention_heads": model.get("combined_num_attention_heads"),
    }
    names = ("hidden_size", "intermediate_size", "num_hidden_layers")
    given = {f"text.{name}": text.get(name) for name in (*names, "vocab_size", "max_position_embeddings")}
    given |= {
        f"image.{name}": model.get(f"image_{key}")
        for name, key in zip(names, ("hidden_size", "intermediate_size", "num_hidden_layers"), strict=True)
    }
    given["image.feature_size"] = model.get("image_feature_dim")
    given["combined.hidden_size"] = model.get("combined_hidden_size")
    given["pooled_output_dim"] = model.get("pooled_output_dim")
    return heads, given


def _explicit(model: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Likewise for the type that states everything."""
    encoder, text, image = (_section(model, key) for key in ("encoder", "text_embeddings", "image_embeddings"))
    shared = encoder.get("num_attention_heads")  # one number for all three before March 2021
    heads = {
        name: encoder.get(name, shared)
        for name in ("num_attention_heads1", "num_attention_heads2", "combined_num_attention_heads")
    }
    given = {
        f"{stream}.{name}": encoder.get(f"{name}{number}")
        for number, stream in ((1, "text"), (2, "image"))
        for name in ("hidden_size", "intermediate_size", "num_hidden_layers")
    }
    given |= {f"text.{name}": text.get(name) for name in ("vocab_size", "max_position_embeddings", "type_vocab_size")}
    given["image.feature_size"] = image.get("feature_size")
    given["combined.hidden_size"] = encoder.get("combined_hidden_size")
    given["pooled_output_dim"] = model.get("pooled_output_dim")
    return heads, given


def _sizes_problems(given: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Sizes that the configuration states and the shapes contradict."""
    problems = []
    for name, value in given.items():
        section, _, key = name.rpartition(".")
        size = (config[section] if section else config)[key]
        if value is not None and value != size:
            problems.append(f"the configuration states {name} {value!r}, but the weights have {size}")
    return problems


def _exchange_problems(settings: Mapping[str, Any], names: tuple[str, ...], config: Mapping[str, Any]) -> list[str]:
    """Whether the layers at which the streams exchange exist, in order."""
    problems = []
    for name, fixed, stream in zip(names[:2], names[2:], ("text", "image"), strict=True):
        ids, layers = settings.get(name), config[stream]["num_hidden_layers"]
        if not isinstance(ids, list) or not ids or any(type(i) is not int or not 0 <= i <= layers for i in ids):
            problems.append(f"config.json has {name} {ids!r}, expected a list of layers from 0 to {layers}")
        elif ids != sorted(ids):
            problems.append(f"config.json has {name} {ids!r}, expected them in ascending order")
        elif len(ids) != config["num_exchanges"]:
            problems.append(f"config.json has {len(ids)} entries in {name}, the weights {config['num_exchanges']}")
        elif isinstance(settings.get(fixed), int) and settings[fixed] > ids[0]:
            problems.append(
                f"config.json has {fixed} {settings[fixed]}, expected at most {ids[0]}, the first of {name}"
            )
    return problems


def _unsupported(model: Mapping[str, Any], settings: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Options that lead to another network."""
    problems = []
    if config["fusion_method"] not in _FUSIONS:
        problems.append(f"config.json has fusion_method {config['fusion_method']!r}, expected sum or mul")
    problems += [
        f"config.json has {name} {section[name]!r}, which is not supported; expected {expected!r}"
        for section, name, expected in (
            (model, "ignore_text", False),
            (model, "ignore_image", False),
            (settings, "activation", "gelu"),
            (settings, "with_coattention", True),
            (settings, "fast_mode", False),
            (settings, "in_batch_pairs", False),
            (_section(model, "text_embeddings"), "position_pad_token_id", None),
            (_section(model, "text_embeddings"), "output_size", None),
        )
        if name in section and section[name] != expected
    ]
    return problems


def _section(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = mapping.get(key)
    return section if isinstance(section, dict) else {}


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
