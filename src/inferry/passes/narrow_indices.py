"""Indices of 64 bits become 32 bits where each is known to fit: a target with 32 has nothing to cast."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.rewriting import Context, DeclinedError, Outcome, add_constant, constant, label, rewrite

_INDEXED: Final = frozenset({"Gather", "GatherElements", "ScatterElements"})
"""Operators that take either type; all have their indices in the second place."""


@dataclass(frozen=True, slots=True)
class NarrowIndices:
    """Constant indices are stored anew; those cast from int32 are read before the Cast."""

    name: str = "narrow-indices"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. Indices that the graph takes or computes in int64 are none of its business."""
        return rewrite(model, _INDEXED, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    index = node.inputs[1]
    array = constant(index)
    if array is not None:
        if array.dtype != np.int64:
            return False
        narrow = array.astype(np.int32)
        if not np.array_equal(narrow, array):
            raise DeclinedError("has an index beyond 32 bits")
        node.replace_input_with(1, add_constant(node, context, f"{label(node)}_index", narrow))
        return True
    cast = None if index is None else index.producer()
    if cast is None or cast.op_type != "Cast" or cast.domain:
        return False
    source = cast.inputs[0]
    if source is None or source.dtype != ir.DataType.INT32 or cast.attributes["to"].as_int() != ir.DataType.INT64:
        return False
    node.replace_input_with(1, source)
    return True
