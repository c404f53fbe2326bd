"""The operator Gelu of opset 20 becomes what it stands for, in operators that older opsets have too."""

import math
from dataclasses import dataclass
from typing import Final

import onnx_ir as ir

from inferry.passes.chain import Chain
from inferry.passes.fuse_gelu import exact_gelu
from inferry.passes.rewriting import Context, DeclinedError, Outcome, replace, rewrite

_CUBIC: Final = 0.044715
"""Of the tanh form (Hendrycks and Gimpel, arXiv:1606.08415)."""


@dataclass(frozen=True, slots=True)
class ExpandGelu:
    """For targets that end at opset 18. Without this, a network with one Gelu keeps its opset: no converter spells it.

    The exact form is the one that `FuseGelu` writes.
    """

    name: str = "expand-gelu"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Gelu"}, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    x = node.inputs[0]
    if x is None or x.dtype is None:
        raise DeclinedError("has an unknown type, which its constants would need")
    if node.attributes.get_string("approximate", "none") == "tanh":
        chain = Chain(node, context)
        chain.replace({node.outputs[0]: _tanh_gelu(x, chain)})
    else:
        replace(node, exact_gelu(x, node, context))
    return True


def _tanh_gelu(x: ir.Value, chain: Chain) -> ir.Value:
    """``x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))``."""
    assert x.dtype is not None, "checked by _rule"
    dtype = x.dtype.numpy()
    cube = chain.op("Mul", chain.op("Mul", x, chain.op("Mul", x, x)), chain.constant(_CUBIC, dtype))
    inner = chain.op("Mul", chain.op("Add", x, cube), chain.constant(math.sqrt(2 / math.pi), dtype))
    total = chain.op("Add", chain.op("Tanh", inner), chain.constant(1, dtype))
    return chain.op("Mul", chain.op("Mul", x, chain.constant(0.5, dtype)), total)
