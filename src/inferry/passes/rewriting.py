"""What every pass gives, and the few operations on a graph that several of them need."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from inferry.core.specs import Array


@dataclass(frozen=True, slots=True)
class Declined:
    """A place that looked like the pass's own and was left as it is.

    Attributes:
        node: Its name, or that of its output.
        reason: The end of a sentence that begins with the name.
    """

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass did.

    Attributes:
        model: The model after it; the given one, changed in place, unless the pass had to make a new one.
        matches: Places that were changed; 0 means that the model is as before.
        declined: Places that were not.
    """

    model: ir.Model
    matches: int
    declined: tuple[Declined, ...] = ()


class Pass(Protocol):
    """One graph rewrite."""

    @property
    def name(self) -> str:
        """Its key in `inferry.passes.registry`."""

    def apply(self, model: ir.Model) -> Outcome:
        """Rewrite a model, which may change in place. Types and shapes of its values are trusted."""


class DeclinedError(Exception):
    """A rule will not change this node; the message is the reason."""


class Context:
    """What a rule needs to know of the whole model.

    Attributes:
        opset: Version of ONNX's own operators; 0 where the model says none.
    """

    def __init__(self, model: ir.Model) -> None:
        self.opset = model.graph.opset_imports.get("", 0)
        self._taken: set[str | None] = set()
        for graph in model.graphs():
            self._taken |= {value.name for value in (*graph.inputs, *graph.initializers.values())}
            for node in graph:
                self._taken |= {node.name, *(value.name for value in node.outputs)}

    def fresh(self, base: str | None) -> str:
        """`base` with the first number that makes it a name that nothing in the model has, its subgraphs included."""
        number = 1
        while (name := f"{base or 'value'}_{number}") in self._taken:
            number += 1
        self._taken.add(name)
        return name


Rule = Callable[[ir.Node, Context], bool]
"""Changes one node, or says False where it is none of its business, or raises `DeclinedError`."""


def rewrite(model: ir.Model, operators: Collection[str], rule: Rule) -> Outcome:
    """Offer every node of these operators of ONNX's own domain to a rule, those of subgraphs included.

    Nodes come in the order in which they run. What is unused afterwards is removed.
    """
    context = Context(model)
    matches, declined = 0, []
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if node.graph is None or node.domain or node.op_type not in operators:
            continue
        try:
            matches += rule(node, context)
        except DeclinedError as reason:
            declined.append(Declined(label(node), str(reason)))
    if matches:
        RemoveUnusedNodesPass()(model)
    return Outcome(model, matches, tuple(declined))


def label(node: ir.Node) -> str:
    """What a user finds a node by."""
    return node.name or node.outputs[0].name or node.op_type


def constant(value: ir.Value | None) -> Array | None:
    """The array that a value always holds; None where it may change: a graph's input is only a default."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def used_once(value: ir.Value) -> bool:
    """Whether one node input is all that reads a value."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def dim(value: ir.Value, axis: int) -> int | None:
    """The fixed size along an axis, None where it is dynamic or unknown."""
    if value.shape is None or not -len(value.shape) <= axis < len(value.shape):
        return None
    size = value.shape[axis]
    return size if isinstance(size, int) else None


def sizes_of_shape(node: ir.Node) -> tuple[int | None, ...] | None:
    """What a Shape gives, with None for each dynamic size; None where even the rank is unknown."""
    shape = None if node.inputs[0] is None else node.inputs[0].shape
    if shape is None:
        return None
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(shape))
    return tuple(size if isinstance(size, int) else None for size in shape.dims[start:end])


def same_axis(value: ir.Value, first: int, second: int) -> bool:
    """Whether two axes of a value, which may count from the end, are one.

    Raises:
        DeclinedError: That cannot be known.
    """
    if (first < 0) == (second < 0):
        return first == second
    if value.shape is None:
        raise DeclinedError("its axes count from both ends and its rank is unknown")
    return (first - second) % len(value.shape) == 0


def add_constant(node: ir.Node, context: Context, base: str, array: Array) -> ir.Value:
    """A new initializer in the graph of a node."""
    assert isinstance(node.graph, ir.Graph)
    name = context.fresh(base)
    tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    made = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
    node.graph.register_initializer(made)
    return made


def replace(node: ir.Node, chain: Sequence[ir.Node]) -> None:
    """Put a chain of new nodes in a node's place; the last one's output takes over its name, type, shape and users."""
    assert node.graph is not None
    ir.convenience.replace_nodes_and_values(node.graph, node, [node], chain, node.outputs, chain[-1].outputs)
