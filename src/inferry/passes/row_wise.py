"""Which axes of a node's inputs and outputs run in step: index i of the one depends on index i of the other only."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.axes import axes_of, sliced_axes
from inferry.passes.elementwise import BROADCAST, UNARY
from inferry.passes.rewriting import constant

Dims = Sequence[object]


@dataclass(frozen=True, slots=True)
class Port:
    """An axis of one of a node's inputs or, if it is made by the node, outputs, counted from the start."""

    place: int
    axis: int
    made: bool = False


Link = tuple[Port, Port]


def links(node: ir.Node, opset: int) -> list[Link]:
    """Pairs of axes of one fixed size that run in step: an input's with an output's.

    The product of attention weights and values sums over an axis; there both are inputs.
    """
    rule = None if node.domain else _RULES.get(node.op_type)
    unknown = any(value is not None and value.shape is None and constant(value) is None for value in node.inputs)
    if rule is None or unknown or (node.op_type != "Split" and _is_used(node.outputs[1:])):
        return []
    found = list(rule(node, opset))
    sizes = {port: _size(node, port) for pair in found for port in pair}
    # Where one operand's size is unknown, what is padded in the others would no longer fit it.
    unfit = {second for first, second in found if sizes[first] is None or sizes[second] is None}
    unfit |= {second for first, second in found if not _keeps_weights(node, first, opset)}
    return [
        (first, second) for first, second in found if second not in unfit and sizes[first] == sizes[second] is not None
    ]


def picks(node: ir.Node) -> list[Port]:
    """The axes along which a node takes constant places that are counted from the start, whatever lies behind them."""
    rank = len(_dims(node.inputs[0])) if node.inputs and not node.domain else 0
    if rank and node.op_type == "Gather":
        index = constant(node.inputs[1])
        return [Port(0, node.attributes.get_int("axis", 0) % rank)] if index is not None and (index >= 0).all() else []
    axes = sliced_axes(node) if rank and node.op_type == "Slice" else None
    starts, ends = (constant(value) for value in node.inputs[1:3]) if axes else (None, None)
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 else np.ones(rank)
    if axes is None or starts is None or ends is None or steps is None:
        return []
    ports = [Port(0, axis % rank) for axis in axes]
    limits = zip(ports, starts, ends, steps, strict=False)
    return [port for port, start, end, step in limits if step > 0 and 0 <= start <= end <= (_size(node, port) or 0)]


def is_weights(value: ir.Value | None, opset: int) -> bool:
    """Whether the last axis holds what a Softmax along it gave: zeros there stay zeros."""
    node = None if value is None else value.producer()
    if value is None or node is None or node.domain or not node.inputs:
        return False
    source = node.inputs[0]
    if not _dims(value) or not _dims(source) or _dims(source)[-1] != _dims(value)[-1]:
        return False
    return is_last_softmax(node, opset) or (node.op_type in _SAME and is_weights(source, opset))


def is_last_softmax(node: ir.Node, opset: int) -> bool:
    """Whether a node is a Softmax along the last axis."""
    rank = len(_dims(node.outputs[0]))
    axis = node.attributes.get_int("axis", -1 if opset >= 13 else 1)
    return node.op_type == "Softmax" and not node.domain and axis in {-1, rank - 1}


def _keeps_weights(node: ir.Node, port: Port, opset: int) -> bool:
    """Whether a node may take an axis that holds zeros behind its end, not copies."""
    value = node.inputs[port.place]
    if port.axis != len(_dims(value)) - 1 or not is_weights(value, opset):
        return True
    return node.op_type in _SAME or (node.op_type == "MatMul" and port.place == 0)


def _is_used(values: Iterable[ir.Value]) -> bool:
    return any(value.uses() or value.is_graph_output() for value in values)


def _dims(value: ir.Value | None) -> Dims:
    """Sizes of a value: numbers, symbols, or objects that are equal to nothing else."""
    array = constant(value)
    if array is not None:
        return array.shape
    if value is None or value.shape is None:
        return ()
    return [(dim.value or object()) if isinstance(dim, ir.SymbolicDim) else dim for dim in value.shape]


def _size(node: ir.Node, port: Port) -> int | None:
    size = _dims((node.outputs if port.made else node.inputs)[port.place])[port.axis]
    return size if isinstance(size, int) else None


def _pair(first: int, second: int, place: int = 0, output: int = 0) -> Link:
    return Port(place, first), Port(output, second, made=True)


def _unary(node: ir.Node, _: int) -> Iterator[Link]:
    rank = min(len(_dims(node.inputs[0])), len(_dims(node.outputs[0])))
    return (_pair(axis, axis) for axis in range(rank))


def _broadcast(node: ir.Node, _: int) -> Iterator[Link]:
    return _aligned(node, range(len(node.inputs)), 0)


def _aligned(node: ir.Node, places: Iterable[int], tail: int) -> Iterator[Link]:
    """Axes that are aligned at the last, without the last `tail` ones."""
    rank = len(_dims(node.outputs[0]))
    for place in places:
        own = len(_dims(node.inputs[place]))
        yield from (_pair(axis, axis + rank - own, place) for axis in range(own - tail) if rank >= own)


def _matmul(node: ir.Node, opset: int) -> Iterator[Link]:
    ranks = [len(_dims(value)) for value in (*node.inputs, *node.outputs)]
    if min(ranks) < 2:
        return
    yield from _aligned(node, (0, 1), 2)
    yield _pair(ranks[0] - 2, ranks[2] - 2, 0)
    yield _pair(ranks[1] - 1, ranks[2] - 1, 1)
    if is_weights(node.inputs[0], opset):
        yield Port(0, ranks[0] - 1), Port(1, ranks[1] - 2)


def _softmax(node: ir.Node, opset: int) -> Iterator[Link]:
    rank = len(_dims(node.outputs[0]))
    axis = node.attributes.get_int("axis", -1 if opset >= 13 else 1) % max(rank, 1)
    if is_last_softmax(node, opset):
        yield from _unary(node, opset)
    elif opset < 13:  # before opset 13 all axes from this one on are one
        yield from (link for link in _unary(node, opset) if link[0].axis < axis)
    else:
        yield from (link for link in _unary(node, opset) if link[0].axis != axis)


def _layer_norm(node: ir.Node, opset: int) -> Iterator[Link]:
    axis = node.attributes.get_int("axis", -1) % max(len(_dims(node.inputs[0])), 1)
    return (link for link in _unary(node, opset) if link[0].axis < axis)


def _transpose(node: ir.Node, _: int) -> Iterator[Link]:
    rank = len(_dims(node.inputs[0]))
    perm = node.attributes["perm"].as_ints() if "perm" in node.attributes else tuple(reversed(range(rank)))
    return (_pair(source, axis) for axis, source in enumerate(perm) if rank)


def _reshape(node: ir.Node, _: int) -> Iterator[Link]:
    """Axes with as many elements before them, or after them, as in the output."""
    if constant(node.inputs[1]) is None:
        return
    before, after = _dims(node.inputs[0]), _dims(node.outputs[0])
    for i, size in enumerate(before):
        for j, other in enumerate(after):
            if size == other and (_same(before[:i], after[:j]) or _same(before[i + 1 :], after[j + 1 :])):
                yield _pair(i, j)
                break


def _same(first: Dims, second: Dims) -> bool:
    """Whether two parts of a shape have the same number of elements."""
    return _elements(first) == _elements(second)


def _elements(dims: Dims) -> tuple[int, Counter[object]]:
    number = 1
    for dim in dims:
        number *= dim if isinstance(dim, int) else 1
    return number, Counter(dim for dim in dims if not isinstance(dim, int))


def _split(node: ir.Node, _: int) -> Iterator[Link]:
    rank = len(_dims(node.inputs[0]))
    axis = node.attributes.get_int("axis", 0) % max(rank, 1)
    for output in range(len(node.outputs)):
        yield from (_pair(one, one, 0, output) for one in range(len(_dims(node.outputs[output]))) if one != axis)


def _concat(node: ir.Node, opset: int) -> Iterator[Link]:
    axis = node.attributes.get_int("axis", 0) % max(len(_dims(node.outputs[0])), 1)
    return (link for link in _broadcast(node, opset) if link[0].axis != axis)


def _slice(node: ir.Node, opset: int) -> Iterator[Link]:
    axes, rank = sliced_axes(node), len(_dims(node.inputs[0]))
    cut = range(rank) if axes is None else [axis % max(rank, 1) for axis in axes]
    return (link for link in _unary(node, opset) if link[0].axis not in cut)


def _pad(node: ir.Node, opset: int) -> Iterator[Link]:
    pads, rank = constant(node.inputs[1]), len(_dims(node.inputs[0]))
    if pads is None or len(pads) != 2 * rank or len(node.inputs) > 3:
        return iter(())
    # What is added at the end changes the size, and such axes are not linked.
    return (link for link in _unary(node, opset) if not pads[link[0].axis])


def _reduce(node: ir.Node, opset: int) -> Iterator[Link]:
    axes, rank = axes_of(node, opset), len(_dims(node.inputs[0]))
    if not axes:
        return iter(())
    return _kept(rank, [axis % max(rank, 1) for axis in axes], dropped=not node.attributes.get_int("keepdims", 1))


def _squeeze(node: ir.Node, opset: int) -> Iterator[Link]:
    axes, rank = axes_of(node, opset), len(_dims(node.inputs[0]))
    return _kept(rank, [axis % max(rank, 1) for axis in axes], dropped=True) if axes else iter(())


def _unsqueeze(node: ir.Node, opset: int) -> Iterator[Link]:
    axes, rank = axes_of(node, opset), len(_dims(node.outputs[0]))
    new = [axis % max(rank, 1) for axis in axes or ()]
    return (_pair(second.axis, first.axis) for first, second in _kept(rank if new else 0, new, dropped=True))


def _kept(rank: int, axes: Sequence[int], *, dropped: bool) -> Iterator[Link]:
    """All axes but these, each with its place once these are dropped or have become 1."""
    kept = [axis for axis in range(rank) if axis not in axes]
    return (_pair(axis, place if dropped else axis) for place, axis in enumerate(kept))


def _gather(node: ir.Node, _: int) -> Iterator[Link]:
    rank, more = (len(_dims(value)) for value in node.inputs[:2])
    axis = node.attributes.get_int("axis", 0) % max(rank, 1)
    if len(_dims(node.outputs[0])) != rank - 1 + more:
        return
    yield from (_pair(one, one + axis, 1) for one in range(more))
    yield from (_pair(one, one if one < axis else one - 1 + more) for one in range(rank) if one != axis)


def _dropout(node: ir.Node, opset: int) -> Iterator[Link]:
    return iter(()) if len(node.inputs) > 2 and node.inputs[2] is not None else _unary(node, opset)


_SAME: Final = frozenset({"Cast", "Identity", "Dropout"})
"""Operators after which zeros are still zeros."""

_RULES: Final[Mapping[str, Callable[[ir.Node, int], Iterator[Link]]]] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BROADCAST, _broadcast),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare", "ReduceProd"), _reduce
    ),
    "MatMul": _matmul,
    "LayerNormalization": _layer_norm,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Split": _split,
    "Concat": _concat,
    "Slice": _slice,
    "Pad": _pad,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Dropout": _dropout,
}
