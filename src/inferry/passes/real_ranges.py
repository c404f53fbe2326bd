"""Whether the real numbers of a graph stay within float32: interval arithmetic (Moore 1966) over its nodes.

Nobody says how large a number of a network is. Assumed is that what is float already, or comes in as float64, is zero
or between `SMALLEST` and `GREATEST` in size: the eight decades up to float32's limits are for what constants do to it.
Infinities and NaN are the same in both dtypes and are left out of account; so is rounding to 24 bits.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.passes.chain import operand
from inferry.passes.integer_ranges import LARGEST_DIMENSION, IntegerRanges
from inferry.passes.rewriting import constant, dim

GREATEST: Final = 1e30
SMALLEST: Final = 1e-30

_LIMIT: Final = float(np.finfo(np.float32).max) + 2.0**102
"""Whatever is not above this rounds to a number of float32."""

_TINY: Final = float(np.finfo(np.float32).tiny)

_SAME: Final = frozenset(
    {"Identity", "Cast", "Gather", "GatherElements", "GatherND", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Flatten"}
    | {"Transpose", "Expand", "Tile", "Split", "ReduceMax", "ReduceMin", "TopK", "Clip", "Relu", "DepthToSpace"}
    | {"SpaceToDepth", "ReverseSequence", "Compress", "Unique", "Trilu", "MaxPool", "GlobalMaxPool"}
)
"""Operators whose outputs are elements of their first input, or lie between these and a bound."""


@dataclass(frozen=True, slots=True)
class RealRange:
    """Between which finite numbers the elements of a tensor lie.

    Attributes:
        low: None is less.
        high: None is greater.
        small: No other than 0 is closer to it; 0 where numbers may vanish in float32 that do not in float64.
    """

    low: float
    high: float
    small: float

    @property
    def size(self) -> float:
        """The greatest absolute value."""
        return max(abs(self.low), abs(self.high))


_ANY: Final = RealRange(-GREATEST, GREATEST, SMALLEST)
_UNIT: Final = RealRange(-1.0, 1.0, 0.0)
_SHARE: Final = RealRange(0.0, 1.0, 0.0)

Operands = list[RealRange | None]


class RealRanges:
    """The ranges of a model's float64 tensors.

    Args:
        model: With types and shapes as far as they are known.
        integers: Its integers.
    """

    def __init__(self, model: ir.Model, integers: IntegerRanges) -> None:
        self._integers = integers
        self._known: dict[ir.Value, RealRange | None] = dict.fromkeys(model.graph.inputs, _ANY)
        for node in model.graph.all_nodes():
            for value in node.outputs:
                if value.dtype == ir.DataType.DOUBLE and not node.domain:
                    self._known[value] = _within_float(self._made(node))

    def __getitem__(self, value: ir.Value | None) -> RealRange | None:
        """The range of all elements; None where it is unknown, or leaves float32's."""
        array = None if value is None else constant(value)
        if array is not None:
            return _within_float(_of(array))
        return None if value is None else self._known.get(value)

    def _made(self, node: ir.Node) -> RealRange | None:
        source = node.inputs[0] if node.op_type == "Cast" else None
        if source is not None and source.dtype != ir.DataType.DOUBLE:
            return self._cast(source)
        operands = [self[one] for one in node.inputs]
        if node.op_type in _SAME:
            return _clipped(node, operands) if node.op_type == "Clip" else operands[0]
        rule = _RULES.get(node.op_type)
        return None if rule is None else rule(node, operands)

    def _cast(self, source: ir.Value) -> RealRange | None:
        if source.dtype is not None and source.dtype.is_floating_point():
            return _ANY
        found = self._integers[source]
        return None if found is None else RealRange(float(found[0]), float(found[1]), 1.0)


def _within_float(found: RealRange | None) -> RealRange | None:
    """The range as float32 has it: without what is too small, None for what is too large."""
    if found is None or not found.size <= _LIMIT:
        return None
    apart = max(found.low, -found.high)
    small = max(found.small, apart)
    return RealRange(found.low, found.high, small if small >= _TINY else 0.0)


def _of(array: Array) -> RealRange | None:
    if array.dtype.kind not in "fiub":
        return None
    finite = np.abs(array[np.isfinite(array)]), array[np.isfinite(array)]
    if not finite[1].size:
        return RealRange(0.0, 0.0, math.inf)
    small = float(finite[0][finite[0] > 0].min(initial=math.inf))
    return RealRange(float(finite[1].min()), float(finite[1].max()), small)


def _hull(operands: Operands) -> RealRange | None:
    known = [one for one in operands if one is not None]
    if not known or len(known) < len(operands):
        return None
    return RealRange(min(one.low for one in known), max(one.high for one in known), min(one.small for one in known))


def _each(rule: Callable[[RealRange], RealRange | None]) -> Callable[[ir.Node, Operands], RealRange | None]:
    """The rule of an operator of one known operand."""
    return lambda _, operands: None if operands[0] is None else rule(operands[0])


def _pair(rule: Callable[[RealRange, RealRange], RealRange | None]) -> Callable[[ir.Node, Operands], RealRange | None]:
    """The rule of an operator of two known operands."""
    return lambda _, operands: None if operands[0] is None or operands[1] is None else rule(operands[0], operands[1])


def _sum(a: RealRange, b: RealRange) -> RealRange:
    """Where numbers of both signs cancel, float32 may leave nothing of what float64 still has."""
    one_sign = min(a.low, b.low) >= 0 or max(a.high, b.high) <= 0
    return RealRange(a.low + b.low, a.high + b.high, min(a.small, b.small) if one_sign else 0.0)


def _negated(a: RealRange) -> RealRange:
    return RealRange(-a.high, -a.low, a.small)


def _absolute(a: RealRange) -> RealRange:
    return RealRange(max(a.low, -a.high, 0.0), a.size, a.small)


def _multiplied(node: ir.Node, operands: Operands) -> RealRange | None:
    a, b = operands
    if a is None or b is None:
        return None
    if node.inputs[0] is node.inputs[1]:
        return RealRange(0.0, a.size * a.size, a.small * a.small)
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return RealRange(min(corners), max(corners), _product(a.small, b.small))


def _product(x: float, y: float) -> float:
    """Of least sizes, of which an infinite one is of zeros alone."""
    return math.inf if math.inf in {x, y} else x * y


def _divided(a: RealRange, b: RealRange) -> RealRange | None:
    if b.small == 0 or b.size == 0:
        return None
    size = a.size / b.small
    low = 0.0 if a.low >= 0 and b.low >= 0 else -size
    return RealRange(low, size, a.small / b.size)


def _root(a: RealRange) -> RealRange | None:
    return None if a.small == 0 else RealRange(0.0, math.sqrt(max(a.high, 0.0)), math.sqrt(a.small))


def _exponential(a: RealRange) -> RealRange | None:
    # e^89 is beyond float32; math.exp itself fails beyond e^709.
    return None if a.high > 89 else RealRange(math.exp(a.low), math.exp(a.high), math.exp(a.low))


def _logarithm(a: RealRange) -> RealRange | None:
    if a.small in {0.0, math.inf} or a.high <= 0:
        return None
    # Near 1 a logarithm is as small as the rounding of its argument.
    return RealRange(math.log(a.small), math.log(a.high), float(np.finfo(np.float32).eps))


def _power(node: ir.Node, operands: Operands) -> RealRange | None:
    base, exponent = operands[0], constant(node.inputs[1])
    if base is None or exponent is None or exponent.size != 1 or base.size == 0 or math.isinf(base.small):
        return None
    power = float(exponent.reshape(()))
    if base.small == 0 and power < 1:
        return None
    with np.errstate(over="ignore", under="ignore"):
        ends = sorted(float(np.float64(one) ** power) for one in (base.small, base.size))
    return RealRange(0.0 if base.low >= 0 else -ends[1], ends[1], ends[0])


def _clipped(node: ir.Node, operands: Operands) -> RealRange | None:
    bounds = [constant(operand(node, place)) for place in (1, 2)]
    low, high = (None if bound is None or bound.size != 1 else float(bound.reshape(())) for bound in bounds)
    found = operands[0]
    if found is None:
        return None
    least = found.low if low is None else max(found.low, low)
    most = found.high if high is None else min(found.high, high)
    small = min(found.small, *(abs(one) for one in (low, high) if one), math.inf)
    return RealRange(min(least, most), max(least, most), small)


def _added_up(node: ir.Node, operands: Operands) -> RealRange | None:
    """A sum of as many terms as the whole tensor has at most; a mean is a sum first."""
    a = operands[0]
    if a is None:
        return None
    count = _elements(node.inputs[0])
    low = 0.0 if a.low >= 0 else -a.size * count
    return RealRange(low, a.size * count, a.small if a.low >= 0 else 0.0)


def _elements(value: ir.Value | None) -> int:
    sizes = [] if value is None or value.shape is None else list(value.shape)
    known = bool(sizes) and all(isinstance(size, int) for size in sizes)
    return math.prod(size for size in sizes if isinstance(size, int)) if known else LARGEST_DIMENSION


def _mean(node: ir.Node, operands: Operands) -> RealRange | None:
    a, total = operands[0], _within_float(_added_up(node, operands))
    return None if a is None or total is None else RealRange(a.low, a.high, 0.0)


def _matrix(node: ir.Node, operands: Operands) -> RealRange | None:
    a, b = operands[:2]
    if a is None or b is None or node.inputs[0] is None:
        return None
    size = a.size * b.size * (dim(node.inputs[0], -1) or LARGEST_DIMENSION)
    return RealRange(-size, size, 0.0)


_RULES: Final[Mapping[str, Callable[[ir.Node, Operands], RealRange | None]]] = {
    "Add": _pair(_sum),
    "Sub": _pair(lambda a, b: _sum(a, _negated(b))),
    "Mul": _multiplied,
    "Div": _pair(_divided),
    "Reciprocal": _each(lambda a: _divided(RealRange(1.0, 1.0, 1.0), a)),
    "Neg": _each(_negated),
    "Abs": _each(_absolute),
    "Sqrt": _each(_root),
    "Exp": _each(_exponential),
    "Log": _each(_logarithm),
    "Pow": _power,
    **dict.fromkeys(("Floor", "Ceil", "Round"), _each(lambda a: RealRange(a.low - 1, a.high + 1, 1.0))),
    **dict.fromkeys(("Sin", "Cos", "Tanh", "Erf", "Sign"), _each(lambda _: _UNIT)),
    **dict.fromkeys(("Sigmoid", "Softmax", "HardSigmoid"), _each(lambda _: _SHARE)),
    **dict.fromkeys(("Min", "Max", "Concat"), lambda _, operands: _hull(operands)),
    "Where": lambda _, operands: _hull(operands[1:]),
    "Pad": lambda node, operands: _hull([operands[0], operands[2] if operand(node, 2) is not None else operands[0]]),
    "ConstantOfShape": lambda node, _: _of(node.attributes["value"].as_tensor().numpy()),
    "ReduceSum": _added_up,
    "ReduceL1": _added_up,
    "CumSum": _added_up,
    "ReduceMean": _mean,
    "GlobalAveragePool": _mean,
    "MatMul": _matrix,
}
