"""From lengths to a plan, and plans on disk."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from inferry.core.errors import UsageError
from inferry.core.files import to_json_text, write_atomic
from inferry.planning.batches import pack_batches
from inferry.planning.buckets import Cost, linear_cost, optimal_buckets
from inferry.planning.histogram import LengthHistogram, checked_lengths
from inferry.planning.plan import Bucket, ShapePlan, rows_within


def make_plan(
    lengths: Iterable[int],
    *,
    axis: str,
    batch_size: int,
    shapes: int | None = None,
    max_padded: int | None = None,
    cost: Cost = linear_cost,
) -> ShapePlan:
    """The plan with the least padding for these lengths.

    Args:
        lengths: Of all samples, in elements along `axis`.
        axis: Symbolic name of the input axis (``samples`` or ``time``).
        batch_size: Most samples in a batch.
        shapes: Most shapes to compile; None where shapes may vary, each batch then pads to its longest sample.
        max_padded: Most padded elements in a batch of several samples; None for no cap.
        cost: Of one padded sample, for choosing the shapes.

    Raises:
        UsageError: No lengths, or a number below 1.
    """
    problems = [
        f"{name} is {value}"
        for name, value in (("batch_size", batch_size), ("shapes", shapes), ("max_padded", max_padded))
        if value is not None and value < 1
    ]
    if problems:
        raise UsageError(f"a plan needs numbers of 1 or more, but {' and '.join(problems)}")
    array = checked_lengths(lengths).tolist()
    histogram = LengthHistogram.of(array)
    sizes = () if shapes is None else optimal_buckets(histogram, shapes, cost)
    plan = ShapePlan(
        axis=axis,
        buckets=_fill(histogram, sizes, batch_size, max_padded),
        batch_size=batch_size,
        max_padded=max_padded,
        histogram=histogram.summary(),
        padded_to_real=1.0,
    )
    return replace(plan, padded_to_real=pack_batches(array, plan).padded_to_real)


def _fill(
    histogram: LengthHistogram, sizes: tuple[int, ...], batch_size: int, max_padded: int | None
) -> tuple[Bucket, ...]:
    """Buckets with their sample counts."""
    counts = dict.fromkeys(sizes, 0)
    place = 0
    for length, count in zip(histogram.lengths, histogram.counts, strict=True) if sizes else ():
        while length > sizes[place]:
            place += 1
        counts[sizes[place]] += count
    return tuple(Bucket(size, counts[size], rows_within(size, batch_size, max_padded)) for size in sizes)


def write_plan(plan: ShapePlan, path: Path) -> None:
    """Write a plan file.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        write_atomic(path, to_json_text(plan.to_json()))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error}): choose another --output") from error


def read_plan(path: Path) -> ShapePlan:
    """Read a plan file.

    Raises:
        UsageError: The file cannot be read, is not JSON, or is no plan; all problems are listed.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no readable plan file ({error}). Make one with `inferry plan`") from error
    try:
        return ShapePlan.from_json(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
