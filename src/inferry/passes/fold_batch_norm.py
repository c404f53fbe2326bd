"""Batch normalisation after a convolution becomes part of its weights."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.passes.rewriting import (
    Context,
    DeclinedError,
    Outcome,
    add_constant,
    constant,
    replace,
    rewrite,
    used_once,
)

_FIELDS = ("scale", "bias", "mean", "variance")


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """Conv and BatchNormalization in inference become one Conv; the sums are made in float64."""

    name: str = "fold-batch-norm"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"BatchNormalization"}, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    middle = node.inputs[0]
    conv = None if middle is None else middle.producer()
    if middle is None or conv is None or conv.op_type != "Conv" or conv.domain:
        return False
    if node.attributes.get_int("training_mode", 0) or any(value.uses() for value in node.outputs[1:]):
        raise DeclinedError("is in training")
    if not used_once(middle):
        raise DeclinedError("follows a Conv whose result is used elsewhere too")
    weight, bias = _folded(node, conv)
    name = context.fresh(conv.name)
    inputs = [
        conv.inputs[0],
        add_constant(node, context, f"{name}_weight", weight),
        add_constant(node, context, f"{name}_bias", bias),
    ]
    made = ir.node("Conv", inputs, attributes=conv.attributes, outputs=[ir.Value(name=name)], name=name)
    if len(node.outputs) > 1:
        node.resize_outputs(1)
    replace(node, [made])
    return True


def _folded(node: ir.Node, conv: ir.Node) -> tuple[Array, Array]:
    """Weight and bias of the new Conv: (filters, channels / group, kernel) and (filters)."""
    weight = constant(conv.inputs[1])
    known = {field: constant(value) for field, value in zip(_FIELDS, node.inputs[1:], strict=True)}
    old_bias = conv.inputs[2] if len(conv.inputs) > 2 else None
    known["bias of the Conv"] = np.zeros(1) if old_bias is None else constant(old_bias)
    unknown = [field for field, array in known.items() if array is None]
    if weight is None or unknown:
        raise DeclinedError(f"or its Conv has no constant {unknown[0] if unknown else 'weight'}")
    scale, shift, mean, variance, old = (array.astype(np.float64) for array in known.values() if array is not None)
    factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    folded = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    return folded.astype(weight.dtype), ((old - mean) * factor + shift).astype(weight.dtype)
