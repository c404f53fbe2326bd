"""Features to batches and batches back to samples; the same for every family."""

from collections.abc import Mapping, Sequence

import numpy as np

from inferry.core.errors import SampleError
from inferry.core.samples import Features
from inferry.core.specs import Array, TensorSpec


def planned_axis(inputs: Sequence[TensorSpec]) -> str | None:
    """The symbolic dimension that a shape plan buckets: the first dynamic one of the inputs."""
    for spec in inputs:
        for axis in spec.dynamic_axes:
            return str(spec.dims[axis])
    return None


def axis_name(inputs: Sequence[TensorSpec]) -> str:
    """The planned axis, or ``items`` where every sample has one shape."""
    return planned_axis(inputs) or "items"


def batch_shapes(
    features: Sequence[Features], inputs: Sequence[TensorSpec], pad_to: int | None = None
) -> dict[str, tuple[int, ...]]:
    """The shapes of what `collate` makes of them."""
    planned = planned_axis(inputs)
    shapes = {}
    for spec in inputs:
        rows = [f.inputs[spec.name] for f in features]
        least = [pad_to or 0 if dim == planned else 0 for dim in spec.dims[1:]]
        sizes = (max(size, *(row.shape[axis] for row in rows)) for axis, size in enumerate(least))
        shapes[spec.name] = (len(rows), *sizes)
    return shapes


def planned_size(shapes: Mapping[str, tuple[int, ...]], inputs: Sequence[TensorSpec]) -> tuple[int, int]:
    """Rows of a batch, and its size along the planned axis; 1 where every sample has one shape."""
    planned = planned_axis(inputs)
    spec = next((one for one in inputs if planned in one.dims), inputs[0])
    shape = shapes[spec.name]
    return shape[0], 1 if planned is None else shape[spec.dims.index(planned)]


def collate(features: Sequence[Features], inputs: Sequence[TensorSpec], pad_to: int | None = None) -> dict[str, Array]:
    """One batch of the graph's inputs, zero padded to the longest sample.

    Args:
        features: One sample a row.
        inputs: Of the graph.
        pad_to: Least size along the planned axis.

    Returns:
        Arrays with the batch dimension first, in the graph's dtypes.
    """
    shapes = batch_shapes(features, inputs, pad_to)
    batch = {}
    for spec in inputs:
        rows, shape = [f.inputs[spec.name] for f in features], shapes[spec.name]
        if shape == (1, *rows[0].shape):
            batch[spec.name] = np.ascontiguousarray(rows[0][None], dtype=spec.dtype)
            continue
        array: Array = np.zeros(shape, dtype=spec.dtype)
        for index, row in enumerate(rows):
            # [index, ...] is a view even for a scalar row, which array[index] is not.
            array[index, ...][tuple(slice(size) for size in row.shape)] = row
        batch[spec.name] = array
    return batch


def separate(outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> list[dict[str, Array]]:
    """One dictionary a row, each output cut to its row's true length.

    Args:
        outputs: Of one batch.
        specs: Of the graph's outputs; `TensorSpec.length` names the output with the true lengths.
    """
    rows = len(outputs[specs[0].name])
    return [{spec.name: _row(outputs, spec, index) for spec in specs} for index in range(rows)]


def _row(outputs: Mapping[str, Array], spec: TensorSpec, index: int) -> Array:
    value: Array = outputs[spec.name][index]
    if spec.length is None:
        return value
    (axis,) = spec.dynamic_axes
    cut = [slice(None)] * value.ndim
    cut[axis - 1] = slice(int(outputs[spec.length][index]))
    return value[tuple(cut)]


def require_finite(outputs: Mapping[str, Array]) -> None:
    """Refuse NaN and infinities within the true length.

    Raises:
        SampleError: Some output is not finite.
    """
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise SampleError("infer", f"the network's output {name} is not finite")
