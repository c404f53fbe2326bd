"""A product with a number after a linear layer becomes part of its weights."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.patterns import made_by, number
from inferry.passes.rewriting import Context, DeclinedError, Outcome, add_constant, constant, rewrite, used_once

_SAME_VALUES: Final = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")


@dataclass(frozen=True, slots=True)
class FoldScale:
    """The scale of attention's queries or keys becomes part of their projection: only its matrix products are left.

    The number moves up through what only reshapes, into bias and weight of a MatMul. A power of two, as for heads of
    64, changes no bit.
    """

    name: str = "fold-scale"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Mul", "Div"}, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    place = 0 if node.op_type == "Mul" and number(node.inputs[1]) is None else 1
    factor, value = number(node.inputs[place]), node.inputs[1 - place]
    path = _path(value) if value is not None and used_once(value) else []
    if not factor or not path:
        return False
    if not all(used_once(one) for one in path):
        raise DeclinedError("scales a linear layer of which something else reads a part")
    if node.outputs[0].is_graph_output():
        raise DeclinedError("makes an output of its graph")
    for one in path:
        _scale(one, factor if node.op_type == "Mul" else 1 / factor, context)
    node.outputs[0].replace_all_uses_with(path[0])
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    return True


def _path(value: ir.Value) -> list[ir.Value]:
    """From a value up to the weight of the linear layer that makes it, over its bias if any; empty if none does."""
    path = [value]
    while (node := made_by(path[-1], *_SAME_VALUES)) is not None and node.inputs[0] is not None:
        path.append(node.inputs[0])
    total = made_by(path[-1], "Add")
    if total is not None:
        path += sorted((one for one in total.inputs if one is not None), key=lambda one: constant(one) is None)
    product = made_by(path[-1], "MatMul")
    weight = None if product is None else product.inputs[1]
    array = constant(weight)
    return [*path, weight] if weight is not None and array is not None and array.dtype.kind == "f" else []


def _scale(value: ir.Value, factor: float, context: Context) -> None:
    """Multiply a value that one node reads, if it is constant."""
    array = constant(value)
    if array is None:
        return
    (use,) = value.uses()
    scaled = (array.astype(np.float64) * factor).astype(array.dtype)
    use.node.replace_input_with(use.idx, add_constant(use.node, context, value.name or "scaled", scaled))
