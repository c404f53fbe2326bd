"""Between which numbers the integers of a graph lie, whatever is fed: interval arithmetic (Moore 1966) over its nodes.

Assumed is that no dimension exceeds `LARGEST_DIMENSION`, no tensor has 2^31 elements, and the model has an answer: an
index lies within what it points into, a length within its sequence, for ONNX Runtime refuses all others.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.chain import operand
from inferry.passes.rewriting import constant, dim

Range = tuple[int, int]
"""Least and greatest; both may occur."""

LARGEST_DIMENSION: Final = 1 << 24
"""17 minutes of sound at 16 kHz, or a picture with sides that no decoder here takes. Float32 counts no further."""

_INT64: Final = (-(1 << 63), (1 << 63) - 1)
_MOST_ELEMENTS: Final = (1 << 31) - 1

_SAME: Final = frozenset(
    {"Identity", "Cast", "Gather", "GatherElements", "GatherND", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Flatten"}
    | {"Transpose", "Expand", "Tile", "Split", "ReduceMax", "ReduceMin", "TopK"}
)
"""Operators whose outputs are elements of their first input."""

_KEEPING: Final = frozenset({"Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"})
"""Those that keep every element of it."""


class IntegerRanges:
    """The ranges of a model's integer tensors.

    Args:
        model: With types and shapes as far as they are known.
    """

    def __init__(self, model: ir.Model) -> None:
        self._known: dict[ir.Value, Range | None] = {}
        self._main = model.graph
        for node in model.graph.all_nodes():
            for place, value in enumerate(node.outputs):
                self._known[value] = self._made(node, place) or self._demanded(value)

    def __getitem__(self, value: ir.Value | None) -> Range | None:
        """The range of all elements; None where it is unknown or the value holds no integers."""
        if value is None:
            return None
        array = constant(value)
        if array is not None:
            return _of(array) if array.dtype.kind in "iub" else None
        if value not in self._known:
            self._known[value] = _of_dtype(value) or self._demanded(value)
        return self._known[value]

    def _made(self, node: ir.Node, place: int) -> Range | None:
        """The range of an output, from those of the inputs."""
        value = node.outputs[place]
        if node.domain or value.dtype is None or not _is_integer(value.dtype):
            return None
        found: Range | None = None
        if node.op_type == "TopK" and place == 1:
            found = (0, LARGEST_DIMENSION)
        elif node.op_type in _SAME:
            found = self[node.inputs[0]]
        elif node.op_type in _RULES:
            found = _RULES[node.op_type](node, [self[one] for one in node.inputs])
        within = _of_dtype(value) or _INT64
        return found if found is not None and _contains(within, found) else _of_dtype(value)

    def _demanded(self, value: ir.Value) -> Range | None:
        """What the nodes that always read a value demand of it."""
        if value.dtype != ir.DataType.INT64:
            return None
        demands = [self._demand(use.node, use.idx) for use in value.uses() if use.node.graph is self._main]
        known = [demand for demand in demands if demand is not None]
        if not known:
            return None
        return max(low for low, _ in known), min(high for _, high in known)

    def _demand(self, node: ir.Node, place: int) -> Range | None:
        if node.op_type in _KEEPING and place == 0 and not node.domain:
            return self._demanded(node.outputs[0])
        if node.op_type not in {"Add", "Sub", "Div"} or node.domain:
            return _contract(node, place)
        result, other = self._demanded(node.outputs[0]), constant(node.inputs[1 - place])
        if result is None or other is None or not other.size:
            return None
        return _solved(node.op_type, place, result, _of(other))


def _contract(node: ir.Node, place: int) -> Range | None:
    """What an operator itself says of an input."""
    data = operand(node, 0)
    if node.domain or place != 1 or data is None:
        return None
    if node.op_type == "ReverseSequence":
        return 0, LARGEST_DIMENSION
    if node.op_type in {"Gather", "GatherElements"}:
        size = dim(data, node.attributes.get_int("axis", 0)) or LARGEST_DIMENSION
        return -size, size - 1
    return None


def _solved(operator: str, place: int, result: Range, other: Range) -> Range | None:
    """What an operand must be for the result to lie in its range."""
    (low, high), (least, most) = result, other
    if operator == "Add":
        return low - most, high - least
    if operator == "Sub":
        return (low + least, high + most) if place == 0 else (least - high, most - low)
    if place == 1 or least <= 0:
        return None
    greatest = (max(abs(low), abs(high)) + 1) * most
    return -greatest, greatest


def _is_integer(dtype: ir.DataType) -> bool:
    return dtype.is_integer() or dtype == ir.DataType.BOOL


def _of_dtype(value: ir.Value) -> Range | None:
    """All that fits a value's dtype, where that is narrower than 64 bits."""
    dtype = value.dtype
    if dtype is None or not _is_integer(dtype) or dtype.itemsize > 4:
        return None
    if dtype == ir.DataType.BOOL:
        return 0, 1
    limits = np.iinfo(dtype.numpy())
    return int(limits.min), int(limits.max)


def _of(array: np.ndarray) -> Range:
    return (int(array.min()), int(array.max())) if array.size else (0, 0)


def _contains(outer: Range, inner: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


Operands = list[Range | None]


def _hull(ranges: Iterable[Range | None]) -> Range | None:
    known = list(ranges)
    if not known or any(one is None for one in known):
        return None
    return min(low for low, _ in filter(None, known)), max(high for _, high in filter(None, known))


def _corners(operator: Callable[[int, int], int]) -> Callable[[ir.Node, Operands], Range | None]:
    """The rule of an operator that is monotonic in each operand: its extremes lie at the extremes of both."""

    def rule(_: ir.Node, operands: Operands) -> Range | None:
        a, b = operands
        if a is None or b is None:
            return None
        results = [operator(x, y) for x in a for y in b]
        return min(results), max(results)

    return rule


def _divided(_: ir.Node, operands: Operands) -> Range | None:
    """Towards zero, so never farther from it than the dividend."""
    a, b = operands
    if a is None or b is None:
        return None
    if b[0] > 0:
        results = [abs(x) // y * (1 if x > 0 else -1) for x in a for y in b]
        return min(results), max(results)
    greatest = max(abs(x) for x in a)
    return -greatest, greatest


def _remainder(node: ir.Node, operands: Operands) -> Range | None:
    divisor = operands[1]
    if divisor is None:
        return None
    greatest = max(abs(x) for x in divisor) - 1
    low = 0 if divisor[0] > 0 and not node.attributes.get_int("fmod", 0) else -greatest
    return low, max(greatest, low)


def _absolute(_: ir.Node, operands: Operands) -> Range | None:
    a = operands[0]
    return None if a is None else (max(a[0], -a[1], 0), max(abs(a[0]), abs(a[1])))


def _negated(_: ir.Node, operands: Operands) -> Range | None:
    a = operands[0]
    return None if a is None else (-a[1], -a[0])


def _filled(node: ir.Node, _: Operands) -> Range | None:
    return _of(node.attributes["value"].as_tensor().numpy())


def _shape(node: ir.Node, _: Operands) -> Range | None:
    value = node.inputs[0]
    if value is None or value.shape is None:
        return 0, LARGEST_DIMENSION
    sizes = [(size, size) if isinstance(size, int) else (0, LARGEST_DIMENSION) for size in value.shape]
    return _hull(sizes) or (0, 0)


_RULES: Final[dict[str, Callable[[ir.Node, Operands], Range | None]]] = {
    "Add": _corners(lambda x, y: x + y),
    "Sub": _corners(lambda x, y: x - y),
    "Mul": _corners(lambda x, y: x * y),
    "Div": _divided,
    "Mod": _remainder,
    "Neg": _negated,
    "Abs": _absolute,
    "Min": lambda _, operands: _each(min, operands),
    "Max": lambda _, operands: _each(max, operands),
    "Concat": lambda _, operands: _hull(operands),
    "Where": lambda _, operands: _hull(operands[1:]),
    "Range": lambda _, operands: _hull(operands[:2]),
    "Pad": lambda node, operands: _hull([operands[0], operands[2] if operand(node, 2) is not None else (0, 0)]),
    "Shape": _shape,
    "Size": lambda *_: (0, _MOST_ELEMENTS),
    "ConstantOfShape": _filled,
    "ArgMax": lambda *_: (0, LARGEST_DIMENSION),
    "ArgMin": lambda *_: (0, LARGEST_DIMENSION),
    "NonZero": lambda *_: (0, LARGEST_DIMENSION),
}


def _each(extreme: Callable[[Iterable[int]], int], operands: Operands) -> Range | None:
    """Of the least and the greatest of all operands alike."""
    known = [one for one in operands if one is not None]
    if len(known) < len(operands):
        return None
    return extreme(low for low, _ in known), extreme(high for _, high in known)
