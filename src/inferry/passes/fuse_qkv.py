"""Linear layers that read the same value become one, whose output is split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values

from inferry.core.specs import Array
from inferry.passes.patterns import other_input, the_user
from inferry.passes.rewriting import Context, DeclinedError, Outcome, add_constant, constant, label, rewrite, used_once


@dataclass(frozen=True, slots=True)
class FuseQkv:
    """The projections to queries, keys and values: one MatMul (or Gemm), one Add and a Split.

    What has no bias beside some that have gets zeros.
    """

    name: str = "fuse-qkv"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is a group of layers."""
        return rewrite(model, {"MatMul", "Gemm"}, _rule)


@dataclass(frozen=True)
class _Linear:
    """A linear layer.

    Attributes:
        node: The MatMul or Gemm.
        weight: (size in, size out).
        bias: (size out), None if it has none.
        last: The node that makes its result: the Add of the bias, or `node`.
    """

    node: ir.Node
    weight: Array
    bias: Array | None
    last: ir.Node


def _rule(node: ir.Node, context: Context) -> bool:
    x = node.inputs[0]
    if x is None or constant(node.inputs[1]) is None:
        return False
    beside = [use.node for use in x.uses() if use.idx == 0 and _is_like(use.node, node)]
    if len(beside) < 2:
        return False
    own = _linear(node)
    layers = [own]
    for one in beside:
        try:
            layers += [layer for layer in [_linear(one)] if one is not node and layer.weight.dtype == own.weight.dtype]
        except DeclinedError:  # said when its turn comes
            continue
    if len(layers) < 2:
        return False
    _replace(layers, x, context)
    return True


def _is_like(node: ir.Node, other: ir.Node) -> bool:
    same = not node.domain and node.op_type == other.op_type and node.graph is other.graph
    return same and constant(node.inputs[1]) is not None


def _linear(node: ir.Node) -> _Linear:
    """A node with a constant weight as a layer.

    Raises:
        DeclinedError: It is no plain one, or its weight is needed elsewhere too.
    """
    weight = node.inputs[1]
    array = constant(weight)
    assert weight is not None
    assert array is not None
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DeclinedError("shares its input with others, but its weight is no matrix of floats")
    if not used_once(weight):
        raise DeclinedError("shares its input with others, but its weight is used elsewhere too")
    if node.op_type == "MatMul":
        return _matmul(node, array)
    numbers = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    values = constant(bias)
    if numbers != [1, 1] or node.attributes.get_int("transA", 0) != 0 or (bias is not None and values is None):
        raise DeclinedError("shares its input with others, but is no plain linear layer")
    array = array.T if node.attributes.get_int("transB", 0) else array
    return _Linear(node, array, None if values is None else np.broadcast_to(values.ravel(), array.shape[1]), node)


def _matmul(node: ir.Node, weight: Array) -> _Linear:
    """With the Add of a bias that follows it, if there is one and nothing else reads what is between."""
    total = the_user(node.outputs[0])
    bias = None
    if total is not None and not total.domain and total.op_type == "Add":
        bias = constant(other_input(total, node.outputs[0]))
    if total is None or bias is None or bias.shape != weight.shape[1:]:
        return _Linear(node, weight, None, node)
    return _Linear(node, weight, bias, total)


def _replace(layers: Sequence[_Linear], x: ir.Value, context: Context) -> None:
    first = layers[0].node
    base = label(first)
    weight = add_constant(first, context, f"{base}_weights", np.concatenate([layer.weight for layer in layers], axis=1))
    chain: list[ir.Node] = []

    def op(kind: str, *inputs: ir.Value) -> ir.Value:
        name = context.fresh(f"{base}_{kind}")
        chain.append(ir.node(kind, list(inputs), outputs=[ir.Value(name=name)], name=name))
        return chain[-1].outputs[0]

    inputs = [weight]
    if any(layer.bias is not None for layer in layers):
        parts = [np.zeros_like(layer.weight[0]) if layer.bias is None else layer.bias for layer in layers]
        inputs.append(add_constant(first, context, f"{base}_biases", np.concatenate(parts)))
    if first.op_type == "Gemm":
        joined = op("Gemm", x, *inputs)
    else:
        joined = op("MatMul", x, weight)
        joined = op("Add", joined, *inputs[1:]) if len(inputs) > 1 else joined
    chain.append(_split(layers, joined, context))
    assert first.graph is not None
    old = list(dict.fromkeys(node for layer in layers for node in (layer.last, layer.node)))
    results = [layer.last.outputs[0] for layer in layers]
    replace_nodes_and_values(first.graph, first, old, chain, results, chain[-1].outputs)


def _split(layers: Sequence[_Linear], joined: ir.Value, context: Context) -> ir.Node:
    """Along the last axis; from opset 13 on the sizes are an input, before they are an attribute."""
    first = layers[0].node
    sizes = [layer.weight.shape[1] for layer in layers]
    name = context.fresh(f"{label(first)}_Split")
    outputs = [ir.Value(name=f"{name}_{place}") for place in range(len(layers))]
    if context.opset < 13:
        return ir.node("Split", [joined], {"axis": -1, "split": sizes}, outputs=outputs, name=name)
    given = add_constant(first, context, f"{name}_sizes", np.array(sizes, np.int64))
    return ir.node("Split", [joined, given], {"axis": -1}, outputs=outputs, name=name)
