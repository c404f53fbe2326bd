"""The shapes of a job: those that the user names, those of a plan, and what is missing from the data themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from inferry.ascend.gear_set import GearSet
from inferry.core.errors import DatasetError, SampleError
from inferry.core.samples import Dataset, Question, Regions, Source
from inferry.core.specs import TensorSpec
from inferry.pipeline.execution import axis_name
from inferry.pipeline.gears import plan_gears, symbolic_dims
from inferry.pipeline.model import Model
from inferry.pipeline.pieces import Piece
from inferry.pipeline.plan import measure_pieces
from inferry.planning.make import make_plan
from inferry.planning.plan import ShapePlan

SHAPES: Final = 4
"""Shapes of a data set whose only open size is its length; atc's documentation advises 3 or 4."""


def job_gears(
    model: Model,
    dataset: Dataset,
    *,
    plan: ShapePlan | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    batch_sizes: Sequence[int] | None = None,
) -> GearSet:
    """The shapes for a data set.

    Args:
        model: Knows the inputs, and measures samples.
        dataset: What is to fit.
        plan: As for `plan_gears`.
        sizes: Likewise.
        batch_sizes: Likewise.

    Raises:
        UsageError: As `plan_gears` says.
        DatasetError: No sample has a readable length.
    """
    manifest, given = model.bundle.manifest, dict(sizes or {})
    planned = set() if plan is None else {plan.axis}
    missing = [dim for dim in symbolic_dims(manifest) if dim not in given and dim not in planned]
    if missing:
        given |= _sizes_of_data(model, dataset, missing)
    return plan_gears(manifest, plan=plan, sizes=given, batch_sizes=batch_sizes)


def sizes_of(inputs: Sequence[TensorSpec], arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes of one sample along the symbolic dimensions but the batch.

    Args:
        inputs: Of the graph.
        arrays: Its inputs by name, without the batch dimension.
    """
    return {str(spec.dims[axis]): arrays[spec.name].shape[axis - 1] for spec in inputs for axis in spec.dynamic_axes}


def _sizes_of_data(model: Model, dataset: Dataset, missing: Sequence[str]) -> dict[str, list[int]]:
    """The longest of each dimension; of the length, where nothing else is open, few sizes with the least padding."""
    pieces, bad = measure_pieces(model, dataset.items, range(len(dataset.items)))
    if not pieces:
        raise DatasetError(f"{dataset.path}: no sample has a readable length; the first reason: {bad[0].reason}")
    axis = axis_name(model.bundle.manifest.inputs)
    found = {}
    if axis in missing:
        shapes = SHAPES if len(missing) == 1 else 1
        made = make_plan([_length(model, piece) for piece in pieces], axis=axis, batch_size=1, shapes=shapes)
        found[axis] = [bucket.length for bucket in made.buckets]
    if others := [dim for dim in missing if dim != axis]:
        longest = _longest(model, pieces)
        found |= {dim: [longest[dim]] for dim in others if dim in longest}
    return found


def _length(model: Model, piece: Piece) -> int:
    """Of a window its own length: pieces are planned with the first window's, and rates that do not divide differ."""
    try:
        return model.processor.measure(piece.source) if piece.cut else piece.length
    except SampleError:
        return piece.length


def _longest(model: Model, pieces: Sequence[Piece]) -> dict[str, int]:
    """The largest size of each symbolic dimension, of those samples that can be processed."""
    inputs, longest = model.bundle.manifest.inputs, dict[str, int]()
    for piece in pieces:
        try:
            features = model.processor.process(_without_picture(piece.source, inputs))
        except SampleError:
            continue
        for dim, size in sizes_of(inputs, features.inputs).items():
            longest[dim] = max(size, longest.get(dim, 0))
    return longest


def _without_picture(source: Source, inputs: Sequence[TensorSpec]) -> Source:
    """A question about one region: its tokens are the same, and no detector looks at a picture for them."""
    if not isinstance(source, Question):
        return source
    width = next(int(spec.dims[-1]) for spec in inputs if spec.name == "box_features")
    region = Regions(np.zeros((1, width), np.float32), np.array([[0, 0, 1, 1]], np.float32))
    return replace(source, image=None, regions=region)
