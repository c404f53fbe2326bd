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

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_FIELDS = ("scale", "bias", "mean", "variance")


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """A convolution, transposed or not, and BatchNormalization in inference become one; sums are made in float64."""

    name: str = "fold-batch-norm"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"BatchNormalization"}, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    middle = node.inputs[0]
    conv = None if middle is None else middle.producer()
    if middle is None or conv is None or conv.op_type not in _CONVOLUTIONS or conv.domain:
        raise DeclinedError("follows no convolution")
    if node.attributes.get_int("training_mode", 0) or any(value.uses() for value in node.outputs[1:]):
        raise DeclinedError("is in training")
    if not used_once(middle):
        raise DeclinedError(f"follows a {conv.op_type} whose result is used elsewhere too")
    weight, bias = _folded(node, conv)
    name = context.fresh(conv.name)
    inputs = [
        conv.inputs[0],
        add_constant(node, context, f"{name}_weight", weight),
        add_constant(node, context, f"{name}_bias", bias),
    ]
    made = ir.node(conv.op_type, inputs, attributes=conv.attributes, outputs=[ir.Value(name=name)], name=name)
    if len(node.outputs) > 1:
        node.resize_outputs(1)
    replace(node, [made])
    return True


def _folded(node: ir.Node, conv: ir.Node) -> tuple[Array, Array]:
    """Weight and bias of the new convolution, the weight in the layout of the old one."""
    weight = constant(conv.inputs[1])
    known = {field: constant(value) for field, value in zip(_FIELDS, node.inputs[1:], strict=True)}
    old_bias = conv.inputs[2] if len(conv.inputs) > 2 else None
    known[f"bias of the {conv.op_type}"] = np.zeros(1) if old_bias is None else constant(old_bias)
    unknown = [field for field, array in known.items() if array is None]
    if weight is None or unknown:
        raise DeclinedError(
            f"follows a {conv.op_type}, and one of the two has no constant {unknown[0] if unknown else 'weight'}"
        )
    scale, shift, mean, variance, old = (array.astype(np.float64) for array in known.values() if array is not None)
    factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    kernel = (1,) * (weight.ndim - 2)
    if conv.op_type == "Conv":  # (filters, channels / group, kernel)
        folded = weight * factor.reshape(-1, 1, *kernel)
    else:  # (channels, filters / group, kernel), the channels group by group
        group = conv.attributes.get_int("group", 1)
        grouped = weight.reshape(group, -1, *weight.shape[1:]) * factor.reshape(group, 1, -1, *kernel)
        folded = grouped.reshape(weight.shape)
    return folded.astype(weight.dtype), ((old - mean) * factor + shift).astype(weight.dtype)
