"""Computing with 64-bit integers becomes computing with 32 bits where every number is known to fit."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from inferry.passes.integer_ranges import IntegerRanges
from inferry.passes.retyping import Dtypes, Part, casts_needed, components, parts_of, retype
from inferry.passes.rewriting import Declined, Outcome, constant, label, sizes_of_shape

_DTYPES: Final = Dtypes(ir.DataType.INT64, ir.DataType.INT32)
_LEAST, _GREATEST = int(np.iinfo(np.int32).min), int(np.iinfo(np.int32).max)

_COMPUTING: Final = frozenset(
    {"Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Min", "Max", "Where", "Range", "ReduceMax", "ReduceMin"}
    | {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}
)
"""What is worth a Cast: the vector units have no 64-bit integers."""

_NOT_WORTH_IT: Final = "belongs to a computation that would need more Casts than it has operations"

_FOLDS: Final = "counts to a fixed size, which ONNX takes for int64 whatever its dtype (fold-constants makes it one)"

_MOVING: Final = frozenset(
    {"Cast", "Concat", "ConstantOfShape", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity"}
    | {"Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)


@dataclass(frozen=True, slots=True)
class NarrowIntegers:
    """Connected operations on int64 become int32 where that saves more of them than it costs Casts.

    ONNX's signatures say which inputs may be int32; sizes that Reshape or Expand take stay int64.
    The numbers are bounded by `inferry.passes.integer_ranges`.
    """

    name: str = "narrow-integers"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is an operation that computes with fewer bits."""
        ranges = IntegerRanges(model)
        parts = [part for part in parts_of(model, _DTYPES) if part.node.op_type in _COMPUTING | _MOVING]
        fitting = [part for part in parts if all(_fits(ranges, value) for value in part.values())]
        counted = [part for part in fitting if part.node.op_type == "Range" and _has_fixed_limit(part.node)]
        fitting = [part for part in fitting if part not in counted]
        chosen = []
        declined = [*_unbounded(ranges, parts), *(Declined(label(part.node), _FOLDS) for part in counted)]
        for component in components(fitting):
            computing = [part for part in component if part.node.op_type in _COMPUTING]
            if computing and casts_needed(component) <= len(computing):
                chosen += component
            elif computing:
                declined.append(Declined(label(computing[0].node), _NOT_WORTH_IT))
        if chosen:
            retype(model, chosen, _DTYPES)
            RemoveUnusedNodesPass()(model)
        return Outcome(model, sum(part.node.op_type in _COMPUTING for part in chosen), tuple(declined))


def _has_fixed_limit(node: ir.Node) -> bool:
    """Whether ONNX's shape inference knows an input that is not constant.

    Sizes that it follows through a graph are int64 to it, and it refuses a Range beside whose limit int32 stands.
    """
    return any(value is not None and constant(value) is None and _is_fixed(value) for value in node.inputs)


def _is_fixed(value: ir.Value) -> bool:
    """Whether a whole number follows from fixed sizes and constants alone."""
    seen, waiting = {value}, [value]
    while waiting:
        one = waiting.pop()
        node = one.producer()
        if constant(one) is not None:
            continue
        if node is None or one.dtype != _DTYPES.wide:
            return False
        if node.op_type == "Shape":
            if None in (sizes_of_shape(node) or (None,)):
                return False
            continue
        found = [source for source in node.inputs if source is not None and source not in seen]
        seen.update(found)
        waiting += found
    return True


def _fits(ranges: IntegerRanges, value: ir.Value) -> bool:
    found = ranges[value]
    return found is not None and found[0] >= _LEAST and found[1] <= _GREATEST


def _unbounded(ranges: IntegerRanges, parts: Collection[Part]) -> Iterator[Declined]:
    """The values at which computing in 32 bits ends: each once, and not what is made of them."""
    seen = set()
    for part in parts:
        for value in part.values() if part.node.op_type in _COMPUTING else ():
            if value in seen or _fits(ranges, value):
                continue
            seen.add(value)
            if ranges[value] is not None:
                yield Declined(value.name or label(part.node), "may hold numbers beyond 32 bits")
            elif not _is_made_of_unbounded(ranges, value):
                yield Declined(value.name or label(part.node), "is int64 and its range is unknown")


def _is_made_of_unbounded(ranges: IntegerRanges, value: ir.Value) -> bool:
    """Whether the range of a value is unknown only because that of what it is made of is unknown."""
    node = value.producer()
    if node is None:
        return False
    wide = [one for one in node.inputs if one is not None and one.dtype == ir.DataType.INT64 and constant(one) is None]
    return node.op_type in _COMPUTING | _MOVING and any(ranges[one] is None for one in wide)
