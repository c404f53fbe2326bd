"""Casts in a row become one where the first loses nothing."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.rewriting import Context, DeclinedError, Outcome, rewrite

_PLAIN: Final = {
    ir.DataType.from_numpy(np.dtype(name)): np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}


@dataclass(frozen=True, slots=True)
class MergeCasts:
    """A Cast of a Cast reads the original; a Cast to the type that is there already becomes an Identity."""

    name: str = "merge-casts"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Cast"}, _rule)


def _rule(node: ir.Node, _: Context) -> bool:
    merged = _merge(node)
    value = node.inputs[0]
    if value is not None and value.dtype is not None and value.dtype == _target(node):
        node.op_type = "Identity"
        node.attributes.clear()
        return True
    return merged


def _merge(node: ir.Node) -> bool:
    value = node.inputs[0]
    first = None if value is None else value.producer()
    if first is None or first.op_type != "Cast" or first.domain:
        return False
    source = first.inputs[0]
    if source is None or source.dtype is None:
        raise DeclinedError("follows a Cast from an unknown type")
    if not _lossless(source.dtype, _target(first)):
        raise DeclinedError(f"follows a Cast from {source.dtype} to {_target(first)}, which can change a value")
    node.replace_input_with(0, source)
    return True


def _target(node: ir.Node) -> ir.DataType:
    return ir.DataType(node.attributes["to"].as_int())


def _lossless(source: ir.DataType, target: ir.DataType) -> bool:
    if source not in _PLAIN or target not in _PLAIN:
        return False
    a, b = _PLAIN[source], _PLAIN[target]
    # numpy calls 64-bit integers to float64 safe, which has 53 bits for them.
    return np.can_cast(a, b, "safe") and not (b.kind == "f" and a.kind in "iu" and a.itemsize == 8)
