"""Which nodes of a graph leave the range of half precision: a graph that measures it, and what follows from that."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from inferry.passes.emulate_half import LARGEST, inner_graphs, is_float
from inferry.passes.rewriting import Context, add_constant, constant


@dataclass(frozen=True)
class RangeProbe:
    """A graph that says how large each tensor becomes.

    Attributes:
        model: Same inputs as the original; each output is one number, float32 (): the greatest finite absolute value.
        tensors: What each output is about, by its name.
    """

    model: ir.Model
    tensors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Overflow:
    """A tensor with numbers that half precision cannot hold.

    Attributes:
        node: That makes it, or the first one that reads it where it is a weight.
        operator: Of the node.
        tensor: Its name.
        greatest: Absolute value in float32.
        weight: Whether it is one.
    """

    node: str
    operator: str
    tensor: str
    greatest: float
    weight: bool

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def range_probe(model: ir.Model) -> RangeProbe:
    """The probe of a model, which is changed in place. What happens inside a node's own graphs is not measured.

    Args:
        model: Types of its values are trusted.

    Raises:
        UsageError: The type of a tensor is not known.
    """
    graph, context = model.graph, Context(model)
    tensors: dict[str, str] = {}
    outputs = []
    for node in list(graph):
        for value in node.outputs:
            if is_float(value) and value.name:
                made = _greatest(node, value, context)
                tensors[str(made.name)] = value.name
                outputs.append(made)
    graph.outputs.clear()
    graph.outputs.extend(outputs)
    return RangeProbe(model, tensors)


def overflows(model: ir.Model, greatest: Mapping[str, float]) -> tuple[Overflow, ...]:
    """Every tensor of the main graph that half precision cannot hold, weights included, in the order of the nodes.

    Args:
        model: The original.
        greatest: Absolute values of its tensors by name, as its probe gives them.
    """
    found: dict[str, Overflow] = {}
    for node in model.graph:
        weights = {str(value.name): _size(value) for value in _reads(node) if value.name not in found}
        made = {str(value.name): greatest.get(str(value.name), 0.0) for value in node.outputs}
        for name, size in {**weights, **made}.items():
            if size >= LARGEST:
                found[name] = Overflow(_named(node), node.op_type, name, size, weight=name not in made)
    return tuple(found.values())


def touching(model: ir.Model, tensors: frozenset[str]) -> tuple[str, ...]:
    """The nodes of the main graph that read or make one of these tensors, in order; these must see float32."""
    return tuple(
        _named(node)
        for node in model.graph
        if any(value.name in tensors for value in (*_reads(node), *node.outputs) if is_float(value))
    )


def _greatest(node: ir.Node, value: ir.Value, context: Context) -> ir.Value:
    """Nodes at the graph's end that reduce a value; one zero beside it stands for a tensor without elements."""
    graph = node.graph
    assert isinstance(graph, ir.Graph), "the main graph's"
    zero, flat = (add_constant(node, context, "range", array) for array in (np.zeros(1, np.float32), np.array([-1])))

    def op(operator: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        name = context.fresh(f"range of {value.name} {operator}")
        made = ir.Value(name=name)
        graph.append(ir.node(operator, inputs, attributes, outputs=[made], name=name))
        return made

    size = op("Abs", op("Reshape", value, flat))
    finite = op("Where", op("IsInf", size), zero, size)
    greatest = op("ReduceMax", op("Concat", finite, zero, axis=0), keepdims=0)
    greatest.type, greatest.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
    return greatest


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node and the graphs in it read."""
    yield from (value for value in node.inputs if value is not None)
    for graph in inner_graphs(node):
        for inner in graph:
            yield from _reads(inner)


def _size(value: ir.Value) -> float:
    """The greatest finite absolute value of a weight; 0 for whatever is none."""
    array = constant(value) if value.dtype == ir.DataType.FLOAT else None
    return 0.0 if array is None else float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def _named(node: ir.Node) -> str:
    return node.name or str(node.outputs[0].name)
