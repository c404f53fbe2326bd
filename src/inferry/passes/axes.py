"""Where the operators of ONNX say which axes they work on: an input in newer opsets, an attribute in older ones."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.rewriting import constant

_INPUT_SINCE: Final[Mapping[str, int]] = {"Squeeze": 13, "Unsqueeze": 13, "ReduceSum": 13}
"""The opset in which the axes became an input; 18 for the other reductions."""


def axes_are_input(node: ir.Node, opset: int) -> bool:
    """Whether the axes of a Squeeze, Unsqueeze or reduction are its second input."""
    return opset >= _INPUT_SINCE.get(node.op_type, 18)


def axes_of(node: ir.Node, opset: int) -> tuple[int, ...] | None:
    """The axes of a Squeeze, Unsqueeze or reduction; empty where it names none, None where they are not constant."""
    if not axes_are_input(node, opset):
        return tuple(node.attributes["axes"].as_ints()) if "axes" in node.attributes else ()
    given = node.inputs[1] if len(node.inputs) > 1 else None
    return () if given is None else _ints(given)


def sliced_axes(node: ir.Node) -> tuple[int, ...] | None:
    """The axes of a Slice of opset 10 or later; None where they are not constant."""
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        return _ints(node.inputs[3])
    starts = node.inputs[1]
    if starts is None or starts.shape is None or not starts.shape.is_static():
        return None
    return tuple(range(int(starts.shape.numpy()[0])))


def _ints(value: ir.Value) -> tuple[int, ...] | None:
    array = constant(value)
    return None if array is None else tuple(int(one) for one in np.atleast_1d(array))
