"""Computes at once what depends on constants only, with ONNX's own reference implementation."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import RemoveUnusedNodesPass

from inferry.core.specs import Array
from inferry.passes.patterns import made_by
from inferry.passes.rewriting import (
    Context,
    Declined,
    DeclinedError,
    Outcome,
    add_constant,
    constant,
    label,
    sizes_of_shape,
)

_LARGEST: Final = 1 << 16
"""Elements of a result that may be larger than what it is made from; a file should not grow by more."""

_KEPT: Final = frozenset({"Constant", "QuantizeLinear", "DequantizeLinear", "Bernoulli", "Dropout", "RandomNormalLike"})
"""Operators that stay: those that draw random numbers, and those that say how a weight is stored."""


@dataclass(frozen=True, slots=True)
class FoldConstants:
    """Nodes whose inputs are all constant become initializers, and so do fixed sizes that are read from a Shape."""

    name: str = "fold-constants"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        context = Context(model)
        matches, declined = 0, []
        for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
            try:
                matches += _fold(node, context)
            except DeclinedError as reason:
                declined.append(Declined(label(node), str(reason)))
        if matches:
            RemoveUnusedNodesPass()(model)
        return Outcome(model, matches, tuple(declined))


def _fold(node: ir.Node, context: Context) -> bool:
    arrays = None if node.domain or node.op_type in _KEPT else _results(node, context)
    if arrays is None:
        return False
    if any(value.is_graph_output() for value in node.outputs):
        raise DeclinedError("makes an output of its graph, which a node must make")
    for value, array in zip(node.outputs, arrays, strict=True):
        value.replace_all_uses_with(add_constant(node, context, value.name or "folded", array))
    return True


def _results(node: ir.Node, context: Context) -> list[Array] | None:
    """The node's outputs; None where they are not constant."""
    sizes = _fixed_sizes(node)
    if sizes is not None:
        return [sizes]
    inputs = {value.name or "": constant(value) for value in node.inputs if value is not None}
    arrays = {name: array for name, array in inputs.items() if array is not None}
    if not inputs or len(arrays) < len(inputs):
        return None
    if any(
        attribute.type in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS} for attribute in node.attributes.values()
    ):
        raise DeclinedError("holds a graph")
    results = _evaluate(node, arrays, context)
    if sum(array.size for array in results) > max(_LARGEST, sum(array.size for array in arrays.values())):
        raise DeclinedError(f"gives more than {_LARGEST:,} elements, which the file would hold")
    return results


def _fixed_sizes(node: ir.Node) -> Array | None:
    """What a Shape gives, or what is gathered from one, where none of it is dynamic."""
    gather = node.op_type == "Gather" and made_by(node.inputs[0], "Shape")
    shape = gather or node
    sizes = sizes_of_shape(shape) if shape.op_type == "Shape" else None
    if sizes is None:
        return None
    places = constant(node.inputs[1]) if gather else np.arange(len(sizes))
    if places is None or not all(-len(sizes) <= place < len(sizes) for place in places.flat):
        return None
    found = [sizes[place] for place in places.flat]
    return None if None in found else np.array(found, np.int64).reshape(places.shape)


def _evaluate(node: ir.Node, arrays: dict[str, Array], context: Context) -> list[Array]:
    inputs = [onnx.helper.make_empty_tensor_value_info(name) for name in arrays]
    outputs = [onnx.helper.make_empty_tensor_value_info(value.name or "") for value in node.outputs]
    graph = onnx.helper.make_graph([ir.serde.serialize_node(node)], "fold", inputs, outputs)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", context.opset)])
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(proto).run(None, arrays)
    except Exception as error:  # the reference implementation raises nearly every kind of error
        raise DeclinedError(f"ONNX's reference implementation cannot compute it: {error}") from error
    found = [np.asarray(result) for result in results]
    if any(array.dtype.kind not in "fiub" for array in found):
        raise DeclinedError("gives no plain numbers")
    return found
