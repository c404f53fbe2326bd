"""Slices in a row along different axes become one."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.passes.rewriting import (
    Context,
    DeclinedError,
    Outcome,
    add_constant,
    constant,
    label,
    rewrite,
    same_axis,
    used_once,
)

_FIELDS = ("starts", "ends", "axes", "steps")


@dataclass(frozen=True, slots=True)
class MergeSlices:
    """A Slice of a Slice reads the original and cuts along the axes of both."""

    name: str = "merge-slices"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Slice"}, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    middle = node.inputs[0]
    first = None if middle is None else middle.producer()
    if middle is None or first is None or first.op_type != "Slice" or first.domain:
        return False
    if context.opset < 10:
        raise DeclinedError(f"holds its limits as attributes in opset {context.opset}")
    if not used_once(middle):
        raise DeclinedError("follows a Slice whose result is used elsewhere too")
    cuts = [_cuts(one) for one in (first, node)]
    if any(same_axis(middle, int(a), int(b)) for a, b in product(cuts[0][2], cuts[1][2])):
        raise DeclinedError("cuts along an axis that the Slice before it cuts along")
    merged = [np.concatenate(pair) for pair in zip(*cuts, strict=True)]
    node.resize_inputs(5)
    node.replace_input_with(0, first.inputs[0])
    for index, (field, array) in enumerate(zip(_FIELDS, merged, strict=True), 1):
        node.replace_input_with(index, add_constant(node, context, f"{label(node)}_{field}", array))
    return True


def _cuts(node: ir.Node) -> tuple[Array, Array, Array, Array]:
    """Starts, ends, axes and steps, int64 (axes)."""
    given = [constant(value) for value in node.inputs[1:]]
    missing = [value is not None and array is None for value, array in zip(node.inputs[1:], given, strict=True)]
    if any(missing) or given[0] is None or given[1] is None:
        raise DeclinedError("follows a Slice, and one of the two has limits that are not constant")
    starts, ends = given[0].astype(np.int64), given[1].astype(np.int64)
    axes = given[2] if len(given) > 2 and given[2] is not None else np.arange(len(starts))
    steps = given[3] if len(given) > 3 and given[3] is not None else np.ones(len(starts))
    return starts, ends, axes.astype(np.int64), steps.astype(np.int64)
