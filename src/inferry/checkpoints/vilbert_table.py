"""Which tensors a ViLBERT checkpoint must hold, and the sizes that their shapes reveal."""

from collections.abc import Mapping
from typing import Any, Final

from inferry.checkpoints.tensor_checks import Shapes

_TEXT: Final = "backbone.text_embeddings.embeddings"
_IMAGE: Final = "backbone.image_embeddings.embeddings"
_ENCODER: Final = "backbone.encoder"


def sizes_of(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Any], list[str]]:
    """All sizes that can be read from shapes, by the same names as in the checkpoint's configuration.

    Args:
        shapes: Of the tensors, by name.

    Returns:
        ``text``, ``image``, ``combined``, ``pooled_output_dim``, ``num_answers`` and ``num_exchanges``; and the tensors
        without which they are not known, each a sentence (the sizes are then empty).
    """
    matrices = {
        "word": f"{_TEXT}.word_embeddings.weight",
        "position": f"{_TEXT}.position_embeddings.weight",
        "type": f"{_TEXT}.token_type_embeddings.weight",
        "image": f"{_IMAGE}.image_embeddings.weight",
        "inner1": f"{_ENCODER}.c_layer.0.intermediate1.dense.weight",
        "inner2": f"{_ENCODER}.c_layer.0.intermediate2.dense.weight",
        "query1": f"{_ENCODER}.c_layer.0.bimodal_attention.query1.weight",
        "classifier": "classifier.weight",
    }
    problems = [
        f"tensor {name} is missing or no matrix, so the sizes of the network are not known"
        for name in matrices.values()
        if len(shapes.get(name, ())) != 2 or 0 in shapes[name]
    ]
    if problems:
        return {}, problems
    rows, columns = ({key: shapes[name][axis] for key, name in matrices.items()} for axis in (0, 1))
    return {
        "text": {
            "hidden_size": columns["word"],
            "intermediate_size": rows["inner1"],
            "num_hidden_layers": _count(shapes, f"{_ENCODER}.layers1."),
            "vocab_size": rows["word"],
            "max_position_embeddings": rows["position"],
            "type_vocab_size": rows["type"],
        },
        "image": {
            "hidden_size": rows["image"],
            "intermediate_size": rows["inner2"],
            "num_hidden_layers": _count(shapes, f"{_ENCODER}.layers2."),
            "feature_size": columns["image"],
            "location_bias": f"{_IMAGE}.location_embeddings.bias" in shapes,
        },
        "combined": {"hidden_size": rows["query1"]},
        "num_exchanges": _count(shapes, f"{_ENCODER}.c_layer."),
        "pooled_output_dim": columns["classifier"],
        "num_answers": rows["classifier"],
    }, []


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    """Modules numbered below `prefix`."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)})


def vilbert_table(config: Mapping[str, Any]) -> Shapes:
    """Expected shape of every tensor, by name; `config` as `sizes_of` gives it."""
    text, image = config["text"], config["image"]
    pooled = config["pooled_output_dim"]
    table = _embeddings(text, image)
    for number, stream in ((1, text), (2, image)):
        for layer in range(stream["num_hidden_layers"]):
            table |= _layer(f"{_ENCODER}.layers{number}.{layer}", stream["hidden_size"], stream["intermediate_size"])
    for layer in range(config["num_exchanges"]):
        table |= _connection(f"{_ENCODER}.c_layer.{layer}", text, image, config["combined"]["hidden_size"])
    table |= _linear("backbone.t_pooler.dense", text["hidden_size"], pooled)
    table |= _linear("backbone.v_pooler.dense", image["hidden_size"], pooled)
    return table | _linear("classifier", pooled, config["num_answers"])


def without_effect(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a tensor belongs to a layer after the last exchange, which the original computes and never uses."""
    for number, key in ((1, "text_biattention_id"), (2, "image_biattention_id")):
        prefix = f"{_ENCODER}.layers{number}."
        if name.startswith(prefix):
            return int(name.removeprefix(prefix).partition(".")[0]) >= int(config[key][-1])
    return False


def _embeddings(text: Mapping[str, Any], image: Mapping[str, Any]) -> Shapes:
    size = text["hidden_size"]
    table: Shapes = {
        f"{_TEXT}.word_embeddings.weight": (text["vocab_size"], size),
        f"{_TEXT}.position_embeddings.weight": (text["max_position_embeddings"], size),
        f"{_TEXT}.token_type_embeddings.weight": (text["type_vocab_size"], size),
    }
    table |= _norm("backbone.text_embeddings.layer_norm", size)
    table |= _linear(f"{_IMAGE}.image_embeddings", image["feature_size"], image["hidden_size"])
    table |= _linear(f"{_IMAGE}.location_embeddings", 4, image["hidden_size"], bias=image["location_bias"])
    return table | _norm("backbone.image_embeddings.layer_norm", image["hidden_size"])


def _layer(name: str, size: int, inner: int) -> Shapes:
    table: Shapes = {}
    for part in ("query", "key", "value"):
        table |= _linear(f"{name}.attention.self.{part}", size, size)
    table |= _output(f"{name}.attention.output", size, size)
    return table | _linear(f"{name}.intermediate.dense", size, inner) | _output(f"{name}.output", inner, size)


def _connection(name: str, text: Mapping[str, Any], image: Mapping[str, Any], width: int) -> Shapes:
    table: Shapes = {}
    for number, stream in ((1, text), (2, image)):
        size, inner = stream["hidden_size"], stream["intermediate_size"]
        for part in ("query", "key", "value"):
            table |= _linear(f"{name}.bimodal_attention.{part}{number}", size, width)
        table |= _output(f"{name}.bimodal_output.bert_output{number}", width, size)
        table |= _linear(f"{name}.intermediate{number}.dense", size, inner)
        table |= _output(f"{name}.output{number}", inner, size)
    return table


def _linear(name: str, size: int, size_out: int, *, bias: bool = True) -> Shapes:
    table: Shapes = {f"{name}.weight": (size_out, size)}
    return table | ({f"{name}.bias": (size_out,)} if bias else {})


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _output(name: str, size: int, size_out: int) -> Shapes:
    return _linear(f"{name}.dense", size, size_out) | _norm(f"{name}.layer_norm", size_out)
