"""Computing in float64 becomes computing in float32 where no number needs more."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from inferry.core.specs import Array
from inferry.passes.integer_ranges import IntegerRanges
from inferry.passes.real_ranges import RealRanges
from inferry.passes.retyping import Dtypes, Part, components, parts_of, retype
from inferry.passes.rewriting import Declined, DeclinedError, Outcome, constant, label

_DTYPES: Final = Dtypes(ir.DataType.DOUBLE, ir.DataType.FLOAT)
_WHOLE: Final = 1 << 24
"""Up to here float32 has every whole number."""


@dataclass(frozen=True, slots=True)
class NarrowDoubles:
    """Connected operations on float64 become float32 where no number among them needs float64 or may leave float32.

    For real numbers 24 bits are taken to be enough; what size they may have is in `inferry.passes.real_ranges`. What is
    made of whole numbers, or becomes one, needs a bound on them.
    """

    name: str = "narrow-doubles"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is a node that computes with fewer bits."""
        ranges = IntegerRanges(model)
        sizes = RealRanges(model, ranges)
        chosen: list[Part] = []
        declined = []
        for component in components(parts_of(model, _DTYPES)):
            try:
                _require_narrow(component, ranges)
                _require_bounded(component, sizes)
            except DeclinedError as reason:
                declined.append(Declined(label(component[0].node), str(reason)))
            else:
                chosen += component
        if chosen:
            retype(model, chosen, _DTYPES)
            RemoveUnusedNodesPass()(model)
        return Outcome(model, len({part.node for part in chosen}), tuple(declined))


def _require_narrow(component: Collection[Part], ranges: IntegerRanges) -> None:
    """Decline a component with a number that float32 does not hold.

    Raises:
        DeclinedError: The reason.
    """
    for part in component:
        for value in part.read():
            array = constant(value)
            if array is not None:
                _require_fitting(array, value.name or "a constant")
        if part.node.op_type == "ConstantOfShape" and part.outputs:
            _require_fitting(
                part.node.attributes["value"].as_tensor().numpy(), part.node.outputs[0].name or "a constant"
            )
        source = part.node.inputs[0] if part.node.op_type == "Cast" else None
        if source is None:
            continue
        if part.outputs and source.dtype is not None and source.dtype.is_integer():
            found = ranges[source]
            if found is None or max(abs(limit) for limit in found) > _WHOLE:
                raise DeclinedError(f"computes with {source.name}, whole numbers that may exceed 2^24")
        if part.inputs and part.node.outputs[0].dtype not in {None, *_REAL}:
            raise DeclinedError(f"ends in {part.node.outputs[0].name}, whole numbers that a rounding would change")


def _require_bounded(component: Collection[Part], sizes: RealRanges) -> None:
    """Decline a component with a node that may leave float32's range.

    Raises:
        DeclinedError: The first such node.
    """
    # A Cast to another dtype takes numbers of any size as float32 does.
    checked = [(part, part.made() if part.node.op_type == "Cast" else part.values()) for part in component]
    unbounded = [part for part, values in checked if any(sizes[value] is None for value in values)]
    # Those after it are unbounded for its sake.
    causes = [part for part in unbounded if all(sizes[value] is not None for value in part.read())]
    for part in (causes or unbounded)[:1]:
        node = part.node
        raise DeclinedError(f"may leave float32's range: {label(node)} is a {node.op_type} of numbers of unknown size")


_REAL: Final = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE})


def _require_fitting(array: Array, name: str) -> None:
    finite = array[np.isfinite(array)]
    if (np.abs(finite) > np.finfo(np.float32).max).any():
        raise DeclinedError(f"computes with {name}, which exceeds float32")
    large = finite[np.abs(finite) > _WHOLE]
    if ((large == np.round(large)) & (large.astype(np.float32) != large)).any():
        raise DeclinedError(f"computes with {name}, whole numbers beyond 2^24")
