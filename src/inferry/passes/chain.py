"""Writes the nodes that stand in another node's place."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, DTypeLike

from inferry.passes.rewriting import Context, add_constant, label

Attribute = int | float | str | Sequence[int] | Sequence[float]


class Chain:
    """Nodes in the order in which they run, with names that nothing in the model has.

    Args:
        node: That they replace; their constants go into its graph.
        context: Of the model.

    Attributes:
        nodes: What has been written so far.
    """

    def __init__(self, node: ir.Node, context: Context) -> None:
        self.nodes: list[ir.Node] = []
        self._node = node
        self._context = context

    def op(self, operator: str, *inputs: ir.Value | None, **attributes: Attribute) -> ir.Value:
        """A new node's only output."""
        return self.outputs(operator, inputs, attributes, 1)[0]

    def outputs(
        self, operator: str, inputs: tuple[ir.Value | None, ...], attributes: Mapping[str, Attribute], count: int
    ) -> tuple[ir.Value, ...]:
        """The first `count` outputs of a new node."""
        name = self._context.fresh(f"{label(self._node)}_{operator}")
        outputs = [ir.Value(name=name if place == 0 else self._context.fresh(name)) for place in range(count)]
        node = ir.node(operator, inputs, attributes, outputs=outputs, name=name)
        self.nodes.append(node)
        return tuple(outputs)

    def constant(self, values: ArrayLike, dtype: DTypeLike = np.int64) -> ir.Value:
        """A new initializer."""
        return add_constant(self._node, self._context, f"{label(self._node)}_constant", np.asarray(values, dtype))

    def squeeze(self, value: ir.Value, *axes: int) -> ir.Value:
        """Without these axes; before opset 13 they are an attribute."""
        return self._with_axes("Squeeze", value, axes)

    def unsqueeze(self, value: ir.Value, *axes: int) -> ir.Value:
        """With these axes; before opset 13 they are an attribute."""
        return self._with_axes("Unsqueeze", value, axes)

    def _with_axes(self, operator: str, value: ir.Value, axes: tuple[int, ...]) -> ir.Value:
        if self._context.opset >= 13:
            return self.op(operator, value, self.constant(axes))
        return self.op(operator, value, axes=list(axes))

    def replace(self, values: Mapping[ir.Value, ir.Value]) -> None:
        """Put the nodes in the old one's place; new values take over names, types, shapes and users of the old."""
        assert self._node.graph is not None
        ir.convenience.replace_nodes_and_values(
            self._node.graph, self._node, [self._node], self.nodes, list(values), list(values.values())
        )


def operand(node: ir.Node, index: int) -> ir.Value | None:
    """An input of a node; None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None
