"""A graph that computes what half precision would: every float tensor and weight is rounded after each operator.

What a chip does inside an operator is its own affair: sums of products stay in float32 here, as the matrix units of the
usual chips have them, and only what goes from one operator to the next is float16.
"""

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from inferry.core.errors import UsageError
from inferry.core.specs import Array
from inferry.passes.rewriting import Context, constant

LARGEST: Final = 65520.0
"""The least number that half precision rounds to infinity; 65504 is the greatest that it holds."""

_MOVES: Final = frozenset(
    {
        *("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity"),
        *("Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"),
    }
)
"""Operators that hand numbers on as they are: what they make of half precision numbers needs no rounding."""

_SIZES: Final = {"Resize": {1, 2}, "Upsample": {1}}
"""Inputs that say how large the output is, and are no numbers of the network."""


def emulate_half(model: ir.Model, keep: Collection[str] = ()) -> ir.Model:
    """A model in which every node but those of `keep` reads and gives half precision numbers, as float32 tensors.

    Names of inputs, outputs, nodes and tensors stay; the value before a rounding has a new name. Numbers beyond the
    range become infinite, weights too. A kept node that reads another kept node's output sees it unrounded, and its
    weights; a node that holds graphs is kept with all that is in them. Only float32 is rounded.

    Args:
        model: Changed in place, unless it has functions. Types of its values are trusted; unknown ones are refused.
        keep: Names of nodes that stay in float32.

    Returns:
        The model; run it without the runtime's own rewrites, which would remove what rounds.

    Raises:
        UsageError: A name is none of a node, or the type of a tensor is not known.
    """
    if model.functions:
        model = InlinePass()(model).model
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    known = {node.name for graph in model.graphs() for node in graph}
    if unknown := sorted(name for name in keep if name not in known):
        raise UsageError(f"the graph has no node {', '.join(unknown)}; it has {len(known)} others")
    _Rounder(model, frozenset(keep)).round(model.graph, kept=False)
    RemoveUnusedNodesPass()(model)
    return model


def rounded(array: Array) -> Array:
    """The nearest half precision numbers, in the array's own type; beyond the range infinity."""
    with np.errstate(over="ignore"):
        halved: Array = array.astype(np.float16).astype(array.dtype)
    return halved


def is_float(value: ir.Value | None) -> bool:
    """Whether half precision would change a value's type.

    Raises:
        UsageError: Its type is not known.
    """
    if value is None:
        return False
    if value.dtype is None and not isinstance(value.type, ir.SequenceType | ir.OptionalType):
        raise UsageError(f"the type of the tensor {value.name} is not known, so half precision cannot be emulated")
    return value.dtype == ir.DataType.FLOAT


def inner_graphs(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs that a node holds: branches and bodies."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


class _Rounder:
    """Walks through the graphs in the order in which they run; what is in `_half` holds half precision numbers only."""

    def __init__(self, model: ir.Model, keep: frozenset[str]) -> None:
        self._context = Context(model)
        self._keep = keep
        self._half: set[ir.Value] = set()
        self._made: dict[tuple[ir.Graph | None, ir.Value], ir.Value] = {}

    def round(self, graph: ir.Graph, *, kept: bool) -> None:
        for node in list(graph):
            stays = kept or node.name in self._keep
            inner = list(inner_graphs(node))
            for one in inner:
                self.round(one, kept=stays)
            # What a node with graphs reads is rounded where it is used, inside.
            if not stays and not inner:
                self._round_inputs(node)
            if node.op_type in _MOVES and all(one in self._half for one in node.inputs if one and is_float(one)):
                self._half |= {one for one in node.outputs if is_float(one)}
            elif not stays:
                self._round_outputs(node)

    def _round_inputs(self, node: ir.Node) -> None:
        for place, value in enumerate(node.inputs):
            sizes = place in _SIZES.get(node.op_type, ())
            if value is not None and is_float(value) and value not in self._half and not sizes:
                node.replace_input_with(place, self._rounded(value, node))

    def _rounded(self, value: ir.Value, node: ir.Node) -> ir.Value:
        """The rounded form of a value that a node reads, made once for each graph that reads it."""
        array = constant(value) if value.is_initializer() else None
        key = (None if array is not None else _graph(node), value)
        if key not in self._made:
            self._made[key] = self._cast(value, node) if array is None else self._weight(value, array)
        return self._made[key]

    def _weight(self, value: ir.Value, array: Array) -> ir.Value:
        halved = rounded(array)
        if np.array_equal(halved, array, equal_nan=True):
            self._half.add(value)
            return value
        assert isinstance(value.graph, ir.Graph), "an initializer has one"
        tensor = ir.Tensor(halved, name=self._context.fresh(f"{value.name}_half"))
        made = ir.Value(name=tensor.name, type=value.type, shape=value.shape, const_value=tensor)
        value.graph.register_initializer(made)
        self._half.add(made)
        return made

    def _cast(self, value: ir.Value, node: ir.Node) -> ir.Value:
        casts = self._casts(value)
        _graph(node).insert_before(node, casts)
        return casts[-1].outputs[0]

    def _casts(self, value: ir.Value) -> list[ir.Node]:
        """To half precision and back."""
        nodes: list[ir.Node] = []
        for kind in (ir.DataType.FLOAT16, ir.DataType.FLOAT):
            made = ir.Value(name=self._context.fresh(f"{value.name}_half"), type=ir.TensorType(kind), shape=value.shape)
            name = self._context.fresh(f"{value.name}_cast")
            nodes.append(ir.node("Cast", [value], attributes={"to": int(kind)}, outputs=[made], name=name))
            value = made
        self._half.add(value)
        return nodes

    def _round_outputs(self, node: ir.Node) -> None:
        graph = _graph(node)
        for value in node.outputs:
            if not is_float(value) or not (value.uses() or value.is_graph_output()):
                continue
            uses = list(value.uses())
            casts = self._casts(value)
            graph.insert_after(node, casts)
            made = casts[-1].outputs[0]
            value.name, made.name = self._context.fresh(f"{value.name}_exact"), value.name
            for user, place in uses:
                user.replace_input_with(place, made)
            for place, output in enumerate(graph.outputs):
                if output is value:
                    graph.outputs[place] = made


def _graph(node: ir.Node) -> ir.Graph:
    assert isinstance(node.graph, ir.Graph), "functions are inlined"
    return node.graph
