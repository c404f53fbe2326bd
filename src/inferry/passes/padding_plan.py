"""Which values of a graph are padded along which axes, once some axes must be."""

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass

import onnx_ir as ir

from inferry.passes.rewriting import constant
from inferry.passes.row_wise import Link, Port, is_last_softmax, links, picks

Axes = frozenset[int]


@dataclass(frozen=True)
class PaddingPlan:
    """What becomes of a graph.

    Attributes:
        made: Values that their nodes make padded, and along which axes.
        reads: Inputs of nodes, by place, that take another form of their value than the one that is made: padded along
            these axes only. Constants are made unpadded.
        softmaxes: That run along a padded axis.
    """

    made: dict[ir.Value, Axes]
    reads: dict[tuple[ir.Node, int], Axes]
    softmaxes: tuple[ir.Node, ...]

    @property
    def cuts(self) -> int:
        """Tensors that must be copied or cut."""
        forms = {(node.inputs[place], axes) for (node, place), axes in self.reads.items()}
        outputs = {(value, Axes()) for value in self.made if value.is_graph_output()}
        return len({form for form in forms | outputs if constant(form[0]) is None})

    def made_by(self, operator: str) -> list[ir.Node]:
        """Nodes of an operator that make a padded value."""
        producers = [value.producer() for value in self.made]
        return [node for node in producers if node is not None and node.op_type == operator]


def plan_padding(
    graph: ir.Graph, axes: Collection[tuple[ir.Value, int]], products: Collection[ir.Node], opset: int
) -> PaddingPlan:
    """Pad these axes, and all that run in step with them.

    After them that goes as far as it can. Before them it begins where the fewest tensors must be copied or cut, and
    of several such places at the last.

    Args:
        graph: Types and shapes of its values are trusted.
        axes: Of values, each of a fixed size.
        products: Nodes that must see them padded.
        opset: Of the model.
    """
    found = {node: links(node, opset) for node in graph}
    best = _plan(graph, found, axes, opset)
    for node in graph:
        if node in products:
            break
        if found[node]:
            found[node] = []
            later = _plan(graph, found, axes, opset)
            best = later if later.cuts <= best.cuts else best
    return best


def _plan(
    graph: ir.Graph, found: dict[ir.Node, list[Link]], axes: Iterable[tuple[ir.Value, int]], opset: int
) -> PaddingPlan:
    """Pad all that these links bind to the axes."""
    classes = _Classes()
    for node, pairs in found.items():
        for first, second in pairs:
            classes.join(_key(node, first), _key(node, second))
    padded = {classes.of(axis) for axis in axes}

    def is_padded(node: ir.Node, port: Port) -> bool:
        return classes.of(_key(node, port)) in padded

    made: dict[ir.Value, Axes] = {}
    for node, pairs in found.items():
        for _, port in pairs:
            if port.made and is_padded(node, port):
                output = node.outputs[port.place]
                made[output] = made.get(output, Axes()) | {port.axis}
    reads = {}
    for node, pairs in found.items():
        taken = _taken([port for pair in pairs for port in pair if is_padded(node, port)])
        for place, value in enumerate(node.inputs):
            own = made.get(value, Axes()) if value is not None else Axes()
            wanted = taken.get(place, Axes()) | (own & _taken(picks(node)).get(place, Axes()))
            if wanted != own:
                reads[node, place] = wanted
    # Nodes of subgraphs read values of the outer graph too, and know nothing of padding.
    inner = [use for value in made for use in value.uses() if use.node.graph is not graph]
    reads |= {(use.node, use.idx): Axes() for use in inner}
    return PaddingPlan(made, reads, _padded_softmaxes(found, made, opset))


def _padded_softmaxes(nodes: Iterable[ir.Node], made: dict[ir.Value, Axes], opset: int) -> tuple[ir.Node, ...]:
    return tuple(
        node
        for node in nodes
        if is_last_softmax(node, opset) and max(made.get(node.outputs[0], {-1})) == len(node.outputs[0].shape or ()) - 1
    )


def _taken(ports: Iterable[Port]) -> dict[int, Axes]:
    """Axes of each input among some ports."""
    axes: dict[int, Axes] = {}
    for port in ports:
        if not port.made:
            axes[port.place] = axes.get(port.place, Axes()) | {port.axis}
    return axes


def _key(node: ir.Node, port: Port) -> Hashable:
    """An axis of a value; one of a constant belongs to the node that reads it, as others may read it unpadded."""
    value = (node.outputs if port.made else node.inputs)[port.place]
    return (node, port.place, port.axis) if constant(value) is not None else (value, port.axis)


class _Classes:
    """Axes that run in step (union-find)."""

    def __init__(self) -> None:
        self._above: dict[Hashable, Hashable] = {}

    def of(self, axis: Hashable) -> Hashable:
        """What stands for all axes that run in step with this one."""
        while (above := self._above.get(axis, axis)) != axis:
            self._above[axis] = self._above.get(above, above)  # the way is half as long next time
            axis = above
        return axis

    def join(self, first: Hashable, second: Hashable) -> None:
        """Two axes run in step."""
        self._above[self.of(first)] = self.of(second)
