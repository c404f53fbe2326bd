"""Every spelling of the exact GELU (Hendrycks and Gimpel, arXiv:1606.08415) becomes the one that runtimes recognise."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.patterns import is_about, made_by, number, other_input, the_user
from inferry.passes.rewriting import Context, DeclinedError, Outcome, add_constant, label, replace, rewrite

_ROOT: Final = math.sqrt(2.0)
_TANH: Final = math.sqrt(2.0 / math.pi)
_NEAR: Final = 1e-3
"""Part by which a constant may miss what it means and still shows what was meant."""


@dataclass(frozen=True, slots=True)
class FuseGelu:
    """``x * (erf(x / sqrt 2) + 1) * 0.5`` with a division, in this order.

    ONNX Runtime fuses it into one Gelu. So does atc, as far as its source is public (canndev,
    gelu_onnx_fusion_pass.cc): its GeluONNXFusionPass wants the division by a number within
    1e-5 of 1.41421, the sum with 1, and the product with x before that with 0.5 (or x * 0.5 before that with the sum),
    none of them read elsewhere. Neither takes a product with 1 / sqrt 2. The model's opset stays: the Gelu operator of
    opset 20 is beyond what atc reads, and ONNX Runtime makes it by itself.
    """

    name: str = "fuse-gelu"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Erf", "Tanh"}, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    if node.op_type == "Tanh":
        return _tanh(node)
    x = _argument(node)
    total = the_user(node.outputs[0])
    if x is None or total is None or total.op_type != "Add" or number(other_input(total, node.outputs[0])) != 1:
        return False
    last = _last_product(x, total.outputs[0])
    if _is_canonical(x, node, total, last):
        return False
    if not _is_own(node.inputs[0]):
        raise DeclinedError("holds the argument of an error function that is used elsewhere too")
    replace(last, exact_gelu(x, last, context))
    return True


def _tanh(node: ir.Node) -> bool:
    product = made_by(node.inputs[0], "Mul")
    factors = [] if product is None else [number(value) for value in product.inputs]
    if any(one is not None and math.isclose(one, _TANH, rel_tol=_NEAR) for one in factors):
        raise DeclinedError("is the tanh form of GELU: another function than the exact one")
    return False


def _argument(erf: ir.Node) -> ir.Value | None:
    """The x of ``erf(x / sqrt 2)``; None if it is another argument.

    Raises:
        DeclinedError: It is almost that.
    """
    inner = made_by(erf.inputs[0], "Div", "Mul")
    if inner is None:
        return None
    expected = _ROOT if inner.op_type == "Div" else 1 / _ROOT
    places = (1,) if inner.op_type == "Div" else (0, 1)
    for place in places:
        found = number(inner.inputs[place])
        if found is None or not math.isclose(found, expected, rel_tol=_NEAR):
            continue
        if not is_about(inner.inputs[place], expected):
            raise DeclinedError(f"has {found} where GELU has {expected:.8g}: another function within its precision")
        return inner.inputs[1 - place]
    return None


def _last_product(x: ir.Value, total: ir.Value) -> ir.Node:
    """The node whose output is ``x * total * 0.5``, whatever was multiplied first.

    Raises:
        DeclinedError: There is none that nothing else reads a part of.
    """
    factor, seen, value = 1.0, False, total
    while not (seen and factor == 0.5):
        node = the_user(value)
        part = None if node is None else _part(node, value, x)
        if node is None or part is None or (seen and part[1]):
            raise DeclinedError("is no part of x * 0.5 * (1 + erf(x / sqrt 2)), or something else reads a part of it")
        factor, seen, value = factor * part[0], seen or part[1], node.outputs[0]
    last = value.producer()
    assert last is not None
    return last


def _part(node: ir.Node, value: ir.Value, x: ir.Value) -> tuple[float, bool] | None:
    """What a node multiplies a value with: a number, and whether x too; None if it does something else."""
    if node.domain or node.op_type not in {"Mul", "Div"} or len(node.inputs) != 2:
        return None
    other = other_input(node, value)
    if node.op_type == "Div":
        divisor = number(other) if node.inputs[0] is value else None
        return (1 / divisor, False) if divisor else None
    plain = number(other)
    if plain is not None:
        return plain, False
    if other is x:
        return 1.0, True
    return _scaled(other, x)


def _scaled(value: ir.Value | None, x: ir.Value) -> tuple[float, bool] | None:
    """The number by which a value is a multiple of x."""
    node = made_by(value, "Mul", "Div")
    if node is None or x not in node.inputs:
        return None
    part = _part(node, x, x)
    return None if part is None or part[1] else (part[0], True)


def _is_own(value: ir.Value | None) -> bool:
    return value is not None and the_user(value) is not None


def _is_canonical(x: ir.Value, erf: ir.Node, total: ir.Node, last: ir.Node) -> bool:
    inner, product = made_by(erf.inputs[0], "Div"), made_by(last.inputs[0], "Mul")
    if inner is None or product is None or not _is_own(erf.inputs[0]):
        return False
    ordered = product.inputs[0] is x and product.inputs[1] is total.outputs[0] and total.inputs[0] is erf.outputs[0]
    return ordered and last.op_type == "Mul" and number(last.inputs[1]) == 0.5


def exact_gelu(x: ir.Value, last: ir.Node, context: Context) -> list[ir.Node]:
    """The form that runtimes recognise, in the place of a node; its weights are of x's dtype."""
    dtype = np.dtype(np.float32) if x.dtype is None else np.dtype(x.dtype.numpy())
    root, one, half = (
        add_constant(last, context, f"{label(last)}_{name}", np.array(value, dtype))
        for name, value in (("root", _ROOT), ("one", 1.0), ("half", 0.5))
    )
    chain: list[ir.Node] = []

    def op(kind: str, *inputs: ir.Value) -> ir.Value:
        name = context.fresh(f"{label(last)}_{kind}")
        chain.append(ir.node(kind, list(inputs), outputs=[ir.Value(name=name)], name=name))
        return chain[-1].outputs[0]

    op("Mul", op("Mul", x, op("Add", op("Erf", op("Div", x, root)), one)), half)
    return chain
