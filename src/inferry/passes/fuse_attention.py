"""Multi-head attention (Vaswani et al., arXiv:1706.03762) that is spelled out becomes ONNX Runtime's own operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.patterns import made_by, number, the_user
from inferry.passes.rewriting import (
    Context,
    DeclinedError,
    Outcome,
    add_constant,
    constant,
    dim,
    label,
    replace,
    rewrite,
    used_once,
)

_DOMAIN: Final = "com.microsoft"
_HEADS_FIRST: Final = (0, 2, 1, 3)
_KEYS_LAST: Final = (0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class FuseAttention:
    """``softmax(query key^T scale + bias) value`` over heads becomes com.microsoft.MultiHeadAttention.

    Query, key and value are (batch, positions, heads * size) before a Reshape and a Transpose; the scale stands at the
    query, at the key or after their product. A mask that is added becomes `attention_bias`, broadcast to all
    positions, for the operator does not. A mask that replaces scores (Where) stays: a row that is masked whole attends
    to all positions alike, and an added mask would not do that.

    Source: ONNX Runtime, docs/ContribOperators.md.
    """

    name: str = "fuse-attention"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is an attention."""
        outcome = rewrite(model, {"Softmax"}, _rule)
        if outcome.matches:
            model.graph.opset_imports.setdefault(_DOMAIN, 1)
        return outcome


@dataclass(frozen=True)
class _Heads:
    """A value that was split into heads.

    Attributes:
        value: (batch, positions, heads * size).
        sizes: The number of heads, and the size of each.
        scale: That it was multiplied with on the way.
    """

    value: ir.Value
    sizes: tuple[int, int]
    scale: float


@dataclass(frozen=True)
class _Scores:
    """What the softmax is taken of.

    Attributes:
        product: Of queries and keys.
        scale: That it is multiplied with.
        bias: Added afterwards; None if nothing is.
    """

    product: ir.Node
    scale: float
    bias: ir.Value | None


def _rule(node: ir.Node, context: Context) -> bool:
    product, scores = the_user(node.outputs[0]), _scores(node)
    if scores is None:
        return False
    if product is None:
        raise DeclinedError("has weights that more than one node reads, or that are an output")
    if product.op_type != "MatMul" or product.domain:
        return False
    axis = node.attributes.get_int("axis", -1 if context.opset >= 13 else 1)
    if product.inputs[0] is not node.outputs[0] or axis not in {-1, 3}:
        raise DeclinedError("is a softmax over another axis than the keys")
    if node.outputs[0].dtype != ir.DataType.FLOAT:
        raise DeclinedError("is not in float32, which the operator needs on a processor")
    query = _heads(scores.product.inputs[0], _HEADS_FIRST)
    key, value = _heads(scores.product.inputs[1], _KEYS_LAST), _heads(product.inputs[1], _HEADS_FIRST)
    if query.sizes != key.sizes or query.sizes[0] != value.sizes[0] or value.scale != 1:
        raise DeclinedError("has queries, keys and values of different heads")
    if len({dim(one.value, 0) == 1 for one in (query, key, value)}) > 1:
        raise DeclinedError("has one set of queries, keys or values for a whole batch")
    last = _joined(product, value)
    name = context.fresh(f"{label(last)}_MultiHeadAttention")
    inputs: list[ir.Value | None] = [query.value, key.value, value.value]
    made = [] if scores.bias is None else _whole(scores, (query.value, key.value), last, context)
    if scores.bias is not None:
        inputs += [None, None, made[-1].outputs[0] if made else scores.bias]
    attributes = {"num_heads": query.sizes[0], "scale": scores.scale * query.scale * key.scale}
    outputs = [ir.Value(name=name)]
    fused = ir.node("MultiHeadAttention", inputs, attributes, domain=_DOMAIN, outputs=outputs, name=name)
    replace(last, [*made, fused])
    return True


def _scores(softmax: ir.Node) -> _Scores | None:
    """What a softmax is taken of; None where it is no product of two matrices.

    Raises:
        DeclinedError: It is one, masked in another way than by an addition.
    """
    value = softmax.inputs[0]
    masked, total = made_by(value, "Where"), made_by(value, "Add")
    if masked is not None and any(_product(one) is not None for one in masked.inputs[1:]):
        raise DeclinedError("has scores that a mask replaces: a row without any key would get another answer")
    if total is None:
        found = _product(value)
        return None if found is None else _Scores(*found, None)
    first, second = total.inputs
    for one, bias in ((first, second), (second, first)):
        found = _product(one)
        if found is not None:
            if the_user(total.outputs[0]) is None:
                raise DeclinedError("has scores that something else reads")
            return _Scores(*found, bias)
    return None


def _product(value: ir.Value | None) -> tuple[ir.Node, float] | None:
    """The product of two matrices, and the number that it is multiplied with.

    Raises:
        DeclinedError: Something else reads it.
    """
    inner, scale = _unscaled(value)
    product = made_by(inner, "MatMul")
    if product is None or any(constant(one) is not None for one in product.inputs):
        return None
    if value is None or not (used_once(value) and used_once(product.outputs[0])):
        raise DeclinedError("has scores that something else reads")
    return product, scale


def _unscaled(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """A value before it is multiplied with a number, and the number; 1 if it is not."""
    node = made_by(value, "Mul", "Div")
    for place in (1, 0):
        factor = None if node is None else number(node.inputs[place])
        if node is not None and factor and (place or node.op_type == "Mul"):
            return node.inputs[1 - place], factor if node.op_type == "Mul" else 1 / factor
    return value, 1.0


def _heads(value: ir.Value | None, order: tuple[int, ...]) -> _Heads:
    """A factor of a product, up to where it was split into heads.

    Raises:
        DeclinedError: It was not, or in another way.
    """
    scale = 1.0
    axes: tuple[int, ...] = (0, 1, 2, 3)
    while value is not None and used_once(value):
        node = made_by(value, "Transpose", "Reshape", "Mul", "Div")
        if node is None or node.op_type == "Reshape":
            break
        if node.op_type == "Transpose":
            perm = _perm(node)
            axes = tuple(perm[axis] for axis in axes) if len(perm) == len(axes) else ()
            value = node.inputs[0]
            continue
        inner, factor = _unscaled(value)
        if inner is value:
            break
        value, scale = inner, scale * factor
    split = made_by(value, "Reshape")
    if split is None or value is None or not used_once(value) or axes != order or not _keeps_batch(split, 3, 4):
        raise DeclinedError("does not read (batch, positions, heads * size) that is split into heads and transposed")
    source, count, size = split.inputs[0], dim(value, 2), dim(value, 3)
    if source is None or count is None or size is None or dim(source, 2) != count * size:
        raise DeclinedError("has heads without a fixed number and size")
    return _Heads(source, (count, size), scale)


def _perm(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else ()


def _joined(product: ir.Node, value: _Heads) -> ir.Node:
    """The Reshape that puts the heads side by side again.

    Raises:
        DeclinedError: There is none.
    """
    turned = the_user(product.outputs[0])
    last = None if turned is None or turned.op_type != "Transpose" else the_user(turned.outputs[0])
    if turned is None or last is None or last.op_type != "Reshape" or _perm(turned) != _HEADS_FIRST:
        raise DeclinedError("is not followed by a Transpose and a Reshape that join the heads")
    if not _keeps_batch(last, 4, 3) or dim(last.outputs[0], 2) != value.sizes[0] * value.sizes[1]:
        raise DeclinedError("has heads that are joined in another way")
    return last


def _keeps_batch(reshape: ir.Node, before: int, after: int) -> bool:
    """Whether a Reshape from one rank to another surely leaves the batch, and so the positions, as they are."""
    source, result = reshape.inputs[0], reshape.outputs[0]
    if source is None or source.shape is None or result.shape is None:
        return False
    if (len(source.shape), len(result.shape)) != (before, after):
        return False
    target = constant(reshape.inputs[1])
    if target is not None and 0 in target[:2] and not reshape.attributes.get_int("allowzero", 0):
        return True
    return any(_same(source, result, axis) for axis in (0, 1))


def _same(first: ir.Value, second: ir.Value, axis: int) -> bool:
    """Whether two values surely have one size along an axis."""
    if first.shape is None or second.shape is None or axis >= min(len(first.shape), len(second.shape)):
        return False
    one, other = first.shape[axis], second.shape[axis]
    known = isinstance(one, int) or one.value is not None
    return known and one == other


def _whole(scores: _Scores, queries_keys: Sequence[ir.Value], last: ir.Node, context: Context) -> list[ir.Node]:
    """Nodes that broadcast a bias to (.., .., queries, keys), as the operator wants it; none where it has that shape.

    Raises:
        DeclinedError: That cannot be said with the model's opset.
    """
    bias, whole = scores.bias, scores.product.outputs[0]
    assert bias is not None
    if bias.shape is not None and len(bias.shape) == 4 and all(_same(bias, whole, axis) for axis in (2, 3)):
        return []
    if context.opset < 15:
        raise DeclinedError("adds a bias that would have to be broadcast by operators of opset 15")
    chain: list[ir.Node] = []

    def op(kind: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        name = context.fresh(f"{label(last)}_bias_{kind}")
        chain.append(ir.node(kind, list(inputs), attributes, outputs=[ir.Value(name=name)], name=name))
        return chain[-1].outputs[0]

    ones = add_constant(last, context, f"{label(last)}_ones", np.array([1, 1], np.int64))
    op("Expand", bias, op("Concat", ones, *(op("Shape", value, start=1, end=2) for value in queries_keys), axis=0))
    return chain
