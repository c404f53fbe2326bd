"""What passes that look for a spelled-out form ask about nodes and constants."""

import math

import numpy as np
import onnx_ir as ir

from inferry.passes.rewriting import constant, used_once


def made_by(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """The node that makes a value, if it is one of these operators of ONNX's own domain."""
    node = None if value is None else value.producer()
    return node if node is not None and not node.domain and node.op_type in operators else None


def number(value: ir.Value | None) -> float | None:
    """What a value is everywhere and always: a constant with one element and at most one dimension."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 and array.ndim <= 1 else None


def is_about(value: ir.Value | None, expected: float) -> bool:
    """Whether a value is a number, as nearly as its own dtype holds it."""
    found, array = number(value), constant(value)
    if found is None or array is None or array.dtype.kind != "f":
        return False
    return math.isclose(found, expected, rel_tol=float(np.finfo(array.dtype).eps))


def other_input(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The other one of a node's two inputs; the same once more where both are one."""
    first, second = node.inputs
    return second if first is value else first


def the_user(value: ir.Value) -> ir.Node | None:
    """The only node that reads a value, once; None where it is read elsewhere too or is an output of the graph."""
    return next(iter(value.uses())).node if used_once(value) else None
