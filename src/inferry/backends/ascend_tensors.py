"""Arrays on their way into an om and out of it: dtypes, and what was padded."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from inferry.backends.ascend_model import Port
from inferry.core.errors import BackendError
from inferry.core.specs import BATCH, Array, TensorSpec

NARROWED: Final = {"float16": "float32", "int32": "int64"}
"""What atc makes of a dtype: the om's, and the graph's. A value that does not fit is refused."""


def to_om(array: Array, port: Port, graph: str | None) -> Array:
    """The input in the om's dtype.

    Args:
        array: As the graph takes it.
        port: The om's input.
        graph: The dtype of the input as the om was compiled; None if unknown.

    Raises:
        BackendError: Another dtype, or a value beyond the om's dtype.
    """
    taken = [graph] if graph else [port.dtype, *([NARROWED[port.dtype]] if port.dtype in NARROWED else [])]
    if graph == port.dtype == "float16":  # compiled to take halves: the graph itself took floats
        taken.append("float32")
    if array.dtype.name not in taken:
        raise BackendError(f"the input {port.name} takes {' or '.join(taken)}, not {array.dtype}")
    if array.dtype.name == port.dtype:
        return array
    if NARROWED.get(port.dtype) != array.dtype.name:
        raise BackendError(f"the om takes {port.dtype} for {port.name}, where its graph takes {array.dtype}")
    with np.errstate(over="ignore"):
        narrow: Array = array.astype(port.dtype)
    lost = np.isinf(narrow) & ~np.isinf(array) if port.dtype == "float16" else narrow != array
    if lost.any():
        raise BackendError(f"{lost.sum()} values of the input {port.name} do not fit into {port.dtype}")
    return narrow


def cut(arrays: Sequence[Array], specs: Sequence[TensorSpec], batch: tuple[int, int] | None) -> dict[str, Array]:
    """The outputs by name, in the graph's dtypes, without the rows and the ends that padding added.

    Args:
        arrays: In the om's order.
        specs: What each becomes. `TensorSpec.length` names the output that says how long its rows are.
        batch: Rows given, and rows that ran; None where there is no batch axis.

    Raises:
        BackendError: Rows ran that cannot be cut.
    """
    found = {}
    for array, spec in zip(arrays, specs, strict=True):
        found[spec.name] = _rows(array, spec, *batch) if batch else array
    return {spec.name: _end(found, spec).astype(spec.dtype, copy=False) for spec in specs}


def _rows(array: Array, spec: TensorSpec, given: int, ran: int) -> Array:
    if given == ran or (spec.dims and spec.dims[0] != BATCH):
        return array
    if array.shape[:1] != (ran,):
        raise BackendError(
            f"the output {spec.name} of shape {array.shape} has not one row for each of the {ran} that ran: its "
            f"padding cannot be cut; give batches of {ran}"
        )
    return array[:given]


def _end(found: dict[str, Array], spec: TensorSpec) -> Array:
    array = found[spec.name]
    if spec.length is None:
        return array
    (axis,) = spec.dynamic_axes
    return array[(*[slice(None)] * axis, slice(int(found[spec.length].max())))]
