"""ViLBERT for visual question answering: two transformers, one over the question and one over the picture's regions.

Sources: allennlp 80fb6061, modules/transformer (bimodal_encoder.py, bimodal_attention.py, bimodal_connection_layer.py)
and modules/backbones/vilbert_backbone.py; allennlp-models b1f37224, vision/models/vision_text_model.py
(Lu et al., arXiv:1908.02265).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from inferry.core.protocols import Checkpoint, Network
from inferry.networks.graph import Graph
from inferry.networks.modules import Modules

_MASKED = -30000.0
"""Stands in for the scores of padded keys: their softmax underflows to exactly zero, and the number fits into float16.

It replaces the score instead of being added to it, so that a row without any valid key attends to all keys alike. The
original has the same effect by adding float32's lowest number, in which the score is lost.
"""

_EPSILON = 1e-12
"""Of every norm of the original."""


@dataclass(frozen=True)
class _Stream:
    """One of the two transformers.

    Attributes:
        number: 1 for the question, 2 for the regions, as the original numbers its modules.
        size: Of its hidden states.
        inner: Of its feed-forward layers.
        heads: Of its self-attention.
        mask: (batch, 1, 1, positions), bool: which positions are real.
    """

    number: int
    size: int
    inner: int
    heads: int
    mask: ir.Value


def build(checkpoint: Checkpoint) -> Network:
    """Write the network of `checkpoint`.

    Inputs: ``box_features`` float32 (batch, boxes, features), ``box_coordinates`` float32 (batch, boxes, 4) in pixels,
    ``box_mask`` bool (batch, boxes), ``token_ids`` int64 (batch, tokens), ``mask`` bool (batch, tokens), ``type_ids``
    int64 (batch, tokens). Padding is zero and false. A row of which no box is valid attends to all its boxes alike, as
    in the original; as long as they are all zero, their number makes no difference.
    Outputs: ``logits`` and ``probs`` (sigmoid) float32 (batch, answers).

    Layers that follow the last exchange between the streams are never used by the original; they may be left out of the
    checkpoint and are not written. After that exchange only the first token and the first box are read, so it computes
    nothing else.

    Raises:
        CheckpointError: The tensors are not those that the configuration describes.
    """
    config, graph = checkpoint.config, Graph("vilbert-vqa")
    modules = Modules(graph, checkpoint)
    text, image = config["text"], config["image"]
    features = graph.input("box_features", "float32", ("batch", "boxes", image["feature_size"]))
    coordinates = graph.input("box_coordinates", "float32", ("batch", "boxes", 4))
    box_mask = graph.input("box_mask", "bool", ("batch", "boxes"))
    token_ids = graph.input("token_ids", "int64", ("batch", "tokens"))
    token_mask = graph.input("mask", "bool", ("batch", "tokens"))
    type_ids = graph.input("type_ids", "int64", ("batch", "tokens"))
    streams = (_stream(modules, 1, text, token_mask), _stream(modules, 2, image, box_mask))
    with modules.scope("backbone"):
        states = (
            _text_embeddings(modules, token_ids, type_ids, text),
            _image_embeddings(modules, features, coordinates, image),
        )
        with modules.scope("encoder"):
            states = _encoder(modules, states, streams, config)
        pooled = [
            _pooler(modules, name, state, stream.size, config["pooled_output_dim"])
            for name, state, stream in zip(("t_pooler", "v_pooler"), states, streams, strict=True)
        ]
        fused = graph.op("Mul" if config["fusion_method"] == "mul" else "Add", *pooled)
    answers = config["num_answers"]
    logits = modules.linear("classifier", fused, config["pooled_output_dim"], answers)
    graph.output(logits, "logits", "float32", ("batch", answers))
    graph.output(graph.op("Sigmoid", logits), "probs", "float32", ("batch", answers))
    modules.finish()
    return graph.network()


def _stream(modules: Modules, number: int, sizes: Mapping[str, Any], mask: ir.Value) -> _Stream:
    """The sizes of a stream, with its mask over keys."""
    wide = modules.graph.op("Unsqueeze", mask, modules.graph.constant([1, 2], "int64"), name=f"mask{number}")
    return _Stream(number, sizes["hidden_size"], sizes["intermediate_size"], sizes["num_attention_heads"], wide)


def _text_embeddings(modules: Modules, ids: ir.Value, types: ir.Value, sizes: Mapping[str, Any]) -> ir.Value:
    """(batch, tokens) to (batch, tokens, hidden)."""
    graph, size = modules.graph, sizes["hidden_size"]
    with modules.scope("text_embeddings"):
        with modules.scope("embeddings"):
            words = modules.weight("word_embeddings.weight", (sizes["vocab_size"], size))
            places = modules.weight("position_embeddings.weight", (sizes["max_position_embeddings"], size))
            kinds = modules.weight("token_type_embeddings.weight", (sizes["type_vocab_size"], size))
            count = graph.op("Shape", ids, start=1, end=2)
            zero = graph.constant([0], "int64")
            position = graph.op("Slice", places, zero, count, zero)
            x = graph.op(
                "Add", graph.op("Add", graph.op("Gather", words, ids), position), graph.op("Gather", kinds, types)
            )
        return modules.layer_norm("layer_norm", x, size, _EPSILON)


def _image_embeddings(
    modules: Modules, features: ir.Value, coordinates: ir.Value, sizes: Mapping[str, Any]
) -> ir.Value:
    """(batch, boxes, features) and (batch, boxes, 4) to (batch, boxes, hidden)."""
    graph, size = modules.graph, sizes["hidden_size"]
    with modules.scope("image_embeddings"):
        with modules.scope("embeddings"):
            seen = modules.linear("image_embeddings", features, sizes["feature_size"], size)
            if sizes["location_bias"]:
                place = modules.linear("location_embeddings", coordinates, 4, size)
            else:
                with modules.scope("location_embeddings"):
                    place = graph.op("MatMul", coordinates, _transposed(modules, (size, 4)))
        return modules.layer_norm("layer_norm", graph.op("Add", seen, place), size, _EPSILON)


def _transposed(modules: Modules, shape: tuple[int, int]) -> ir.Value:
    return modules.graph.weight(f"{modules.graph.path}.weight.T", modules.tensor("weight", shape).T)


def _encoder(
    modules: Modules, states: tuple[ir.Value, ir.Value], streams: tuple[_Stream, _Stream], config: Mapping[str, Any]
) -> tuple[ir.Value, ir.Value]:
    """Self-attention in each stream, up to the layers at which they exchange; then the exchange.

    Returns:
        The states of the first token and of the first box: (batch, 1, hidden) each.
    """
    text, image = states
    starts = (0, 0)
    exchanges = tuple(zip(config["text_biattention_id"], config["image_biattention_id"], strict=True))
    for index, ends in enumerate(exchanges):
        text = _layers(modules, text, streams[0], range(starts[0], ends[0]))
        image = _layers(modules, image, streams[1], range(starts[1], ends[1]))
        with modules.scope(f"c_layer.{index}"):
            last = index == len(exchanges) - 1
            text, image = _connection(modules, (text, image), streams, config["combined"], last=last)
        starts = ends
    return text, image


def _layers(modules: Modules, x: ir.Value, stream: _Stream, indices: range) -> ir.Value:
    """Post-norm transformer blocks over one stream."""
    for index in indices:
        with modules.scope(f"layers{stream.number}.{index}"):
            with modules.scope("attention"):
                with modules.scope("self"):
                    query, key, value = (
                        modules.linear(name, x, stream.size, stream.size) for name in ("query", "key", "value")
                    )
                    context = _attention(modules, (query, key, value), (stream.size, stream.heads), stream.mask)
                x = _output(modules, "output", context, x, (stream.size, stream.size))
            x = _feed_forward(modules, x, stream, "")
    return x


def _connection(
    modules: Modules,
    states: tuple[ir.Value, ir.Value],
    streams: tuple[_Stream, _Stream],
    combined: Mapping[str, Any],
    *,
    last: bool,
) -> tuple[ir.Value, ir.Value]:
    """Each stream attends to the other one; each then has a feed-forward block of its own.

    Args:
        modules: Where it is written.
        states: Of the question and of the regions.
        streams: Likewise.
        combined: Width and heads of the attention between them.
        last: Whether only the first position of each is needed.
    """
    width, heads = combined["hidden_size"], combined["num_attention_heads"]
    asking = [_first(modules, state) if last else state for state in states]
    contexts = []
    with modules.scope("bimodal_attention"):
        for asker, other in ((0, 1), (1, 0)):
            own, its = streams[asker], streams[other]
            query = modules.linear(f"query{own.number}", asking[asker], own.size, width)
            key = modules.linear(f"key{its.number}", states[other], its.size, width)
            value = modules.linear(f"value{its.number}", states[other], its.size, width)
            contexts.append(_attention(modules, (query, key, value), (width, heads), its.mask))
    results = []
    for stream, state, context in zip(streams, asking, contexts, strict=True):
        with modules.scope("bimodal_output"):
            x = _output(modules, f"bert_output{stream.number}", context, state, (width, stream.size))
        results.append(_feed_forward(modules, x, stream, str(stream.number)))
    return results[0], results[1]


def _first(modules: Modules, x: ir.Value) -> ir.Value:
    """(batch, positions, size) to (batch, 1, size)."""
    graph = modules.graph
    one = graph.constant([1], "int64")
    return graph.op("Slice", x, graph.constant([0], "int64"), one, one)


def _attention(
    modules: Modules, projected: tuple[ir.Value, ir.Value, ir.Value], sizes: tuple[int, int], mask: ir.Value
) -> ir.Value:
    """Multi-head attention (Vaswani et al., arXiv:1706.03762).

    Args:
        modules: Where it is written.
        projected: Query, key and value: (batch, positions, width).
        sizes: The width and the number of heads.
        mask: Of the keys.
    """
    graph, (size, heads), (query, key, value) = modules.graph, sizes, projected
    split = graph.constant([0, 0, heads, size // heads], "int64")

    def heads_of(x: ir.Value, perm: list[int]) -> ir.Value:
        return graph.op("Transpose", graph.op("Reshape", x, split), perm=perm)

    scaled = graph.op("Mul", heads_of(query, [0, 2, 1, 3]), graph.constant((size // heads) ** -0.5))
    scores = graph.op("MatMul", scaled, heads_of(key, [0, 2, 3, 1]))
    weights = graph.op("Softmax", graph.op("Where", mask, scores, graph.constant(_MASKED)), axis=-1)
    context = graph.op("Transpose", graph.op("MatMul", weights, heads_of(value, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return graph.op("Reshape", context, graph.constant([0, 0, size], "int64"))


def _output(modules: Modules, name: str, x: ir.Value, residual: ir.Value, sizes: tuple[int, int]) -> ir.Value:
    """A linear layer from one of `sizes` to the other, the residual connection and the norm."""
    size, size_out = sizes
    with modules.scope(name):
        x = modules.linear("dense", x, size, size_out)
        return modules.layer_norm("layer_norm", modules.graph.op("Add", x, residual), size_out, _EPSILON)


def _feed_forward(modules: Modules, x: ir.Value, stream: _Stream, suffix: str) -> ir.Value:
    """Two linear layers with GELU between them; `suffix` ends their names."""
    with modules.scope(f"intermediate{suffix}"):
        inner = modules.gelu(modules.linear("dense", x, stream.size, stream.inner))
    return _output(modules, f"output{suffix}", inner, x, (stream.inner, stream.size))


def _pooler(modules: Modules, name: str, x: ir.Value, size: int, size_out: int) -> ir.Value:
    """The only position of (batch, 1, size) to (batch, size_out); ReLU, where BERT has tanh."""
    graph = modules.graph
    with modules.scope(name):
        row = graph.op("Squeeze", x, graph.constant([1], "int64"))
        return graph.op("Relu", modules.linear("dense", row, size, size_out))
