"""What an operator on (batch, channels, length) becomes on tensors with a unit axis before their last axis.

The unit axis always stands there, also where the other axes have been transposed, so that one rule holds for every
operand: what has two or more axes gets it before the last, numbers and vectors stay as they are.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.passes.axes import axes_are_input, axes_of, sliced_axes
from inferry.passes.elementwise import BROADCAST, UNARY
from inferry.passes.rewriting import constant


@dataclass(frozen=True)
class Lift:
    """How a node changes.

    Attributes:
        operands: Which of its inputs get the unit axis.
        attributes: In place of those it has.
        constants: Arrays in place of inputs, by their position.
    """

    operands: Sequence[int]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[int, Array] = field(default_factory=dict)


def lift(node: ir.Node, opset: int, carried: Collection[ir.Value]) -> Lift | None:
    """How a node of ONNX's own domain makes its 3-D output with a unit axis; None where it cannot.

    Args:
        node: Any node.
        opset: Of the model.
        carried: Values that are known to be 3-D and to have the axis.
    """
    rule = None if node.domain or opset < 11 else _RULES.get(node.op_type)
    if rule is None or any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return None
    ranks = [0 if value is None else 3 if value in carried else rank(value) for value in node.inputs]
    whole = ranks[0] if node.op_type not in BROADCAST else max(one or 0 for one in ranks)
    lifted = rule(node, opset) if whole == 3 else None
    if lifted is None or any(ranks[place] is None or (ranks[place] or 0) > 3 for place in lifted.operands):
        return None
    return lifted


def lift_convolution(node: ir.Node) -> Lift:
    """A 1-D Conv; its weights (outputs, inputs / group, k) become (outputs, inputs / group, 1, k)."""
    return Lift((0, 1), _window(node))


def rank(value: ir.Value | None) -> int | None:
    """Number of a value's axes, None where it is unknown."""
    return None if value is None or value.shape is None else len(value.shape)


def _window(node: ir.Node) -> dict[str, Any]:
    """The attributes of a 1-D window that is 1 high."""
    sizes = {
        name: [1, *node.attributes[name].as_ints()]
        for name in ("kernel_shape", "strides", "dilations")
        if name in node.attributes
    }
    if "pads" in node.attributes:
        begin, end = node.attributes["pads"].as_ints()
        sizes["pads"] = [0, begin, 0, end]
    return sizes


def _axis(axis: int) -> int:
    """Where an axis of the three lies once there are four."""
    return (0, 1, 3)[axis]


def _everywhere(node: ir.Node, _: int) -> Lift:
    return Lift(range(len(node.inputs)))


def _first(_: ir.Node, __: int) -> Lift:
    return Lift((0,))


def _pooled(node: ir.Node, _: int) -> Lift:
    return Lift((0,), _window(node))


def _along(node: ir.Node, _: int) -> Lift:
    """Operators with one axis. Those that flatten (Softmax before opset 13) see the same two parts as before."""
    axis = {"axis": _axis(node.attributes.get_int("axis", -1))} if "axis" in node.attributes else {}
    return Lift(range(len(node.inputs)), axis)


def _transpose(node: ir.Node, _: int) -> Lift:
    perm = node.attributes["perm"].as_ints() if "perm" in node.attributes else (2, 1, 0)
    first, second, last = (_axis(axis) for axis in perm)
    return Lift((0,), {"perm": [first, second, 2, last]})


def _slice(node: ir.Node, _: int) -> Lift | None:
    axes = sliced_axes(node)
    return None if axes is None else Lift((0,), constants={3: _lifted(axes)})


def _pad(node: ir.Node, _: int) -> Lift | None:
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    if axes is not None:
        fixed = constant(axes)
        return None if fixed is None else Lift((0,), constants={3: _lifted(fixed.tolist())})
    pads = constant(node.inputs[1])
    return None if pads is None else Lift((0,), constants={1: np.insert(pads, [2, 5], 0)})


def _reduce(node: ir.Node, opset: int) -> Lift | None:
    axes = axes_of(node, opset)
    if axes is None or not node.attributes.get_int("keepdims", 1):
        return None
    if not axes:
        return Lift((0,))
    if axes_are_input(node, opset):
        return Lift((0,), constants={1: _lifted(axes)})
    return Lift((0,), {"axes": _lifted(axes).tolist()})


def _lifted(axes: Sequence[int]) -> Array:
    return np.array([_axis(axis) for axis in axes], np.int64)


_RULES: Final[Mapping[str, Callable[[ir.Node, int], Lift | None]]] = {
    **dict.fromkeys(UNARY | BROADCAST, _everywhere),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization", "GroupNormalization", "GlobalAveragePool", "GlobalMaxPool"),
        _first,
    ),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pooled),
    **dict.fromkeys(("LayerNormalization", "Softmax", "LogSoftmax", "Concat"), _along),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare", "ReduceProd"), _reduce
    ),
    "Transpose": _transpose,
    "Slice": _slice,
    "Pad": _pad,
}
