"""Gather with a constant index that counts from the end, in forms that need no kernel to do so."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.passes.rewriting import (
    Context,
    DeclinedError,
    Outcome,
    add_constant,
    constant,
    dim,
    label,
    replace,
    rewrite,
)

_END: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class PositiveGather:
    """The index counts from the start where the size is fixed; otherwise a single one becomes a Slice."""

    name: str = "positive-gather"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Gather"}, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    data, index = node.inputs[0], constant(node.inputs[1])
    if data is None or index is None or not (index < 0).any():
        return False
    axis = node.attributes.get_int("axis", 0)
    size = dim(data, axis)
    if size is not None:
        positive = np.where(index < 0, index + size, index).astype(index.dtype)
        node.replace_input_with(1, add_constant(node, context, f"{label(node)}_positive", positive))
        return True
    if index.size != 1 or index.ndim > 1:
        raise DeclinedError("has several indices along an axis without a fixed size")
    if context.opset < 11:
        raise DeclinedError(f"would need Slice and Squeeze of opset 11, the model has {context.opset}")
    replace(node, _sliced(node, context, data, index, axis))
    return True


def _sliced(node: ir.Node, context: Context, data: ir.Value, index: Array, axis: int) -> list[ir.Node]:
    """A Slice of length one, and a Squeeze where the index has no dimension."""
    start = int(index.reshape(()))
    limits = (start, start + 1 if start < -1 else _END, axis)
    constants = [
        add_constant(node, context, f"{label(node)}_{what}", np.array([limit], np.int64))
        for what, limit in zip(("start", "end", "axis"), limits, strict=True)
    ]
    name = context.fresh(f"{label(node)}_Slice")
    slice_node = ir.node("Slice", [data, *constants], outputs=[ir.Value(name=name)], name=name)
    if index.ndim:
        return [slice_node]
    name = context.fresh(f"{label(node)}_Squeeze")
    # From opset 13 on the axes are an input, before they are an attribute.
    inputs, attributes = ([constants[-1]], {}) if context.opset >= 13 else ([], {"axes": [axis]})
    return [
        slice_node,
        ir.node("Squeeze", [*slice_node.outputs, *inputs], attributes, outputs=[ir.Value(name=name)], name=name),
    ]
