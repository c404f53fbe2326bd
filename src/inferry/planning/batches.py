"""Which samples run together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from inferry.planning.histogram import Lengths, checked_lengths
from inferry.planning.plan import ShapePlan, rows_within


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that run together, padded to one length.

    Attributes:
        indices: Places of the samples in the list of lengths, longest sample first.
        length: To which all are padded, in elements.
        outside: Whether they are longer than the plan's largest bucket and so run in their own exact shape.
    """

    indices: tuple[int, ...]
    length: int
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Packing:
    """All batches of a data set, in the order in which to run them.

    Attributes:
        batches: The longest first: what will not fit in memory fails at once and not after hours, and the short batches
            at the end leave several workers little to wait for.
        outside: Samples longer than the largest bucket; 0 for a plan without buckets.
        oversized: Samples that alone exceed the plan's `max_padded`; each runs alone.
        real: Sum of all lengths, in elements.
        padded: Sum over batches of rows times padded length, in elements.
    """

    batches: tuple[Batch, ...]
    outside: int
    oversized: int
    real: int
    padded: int

    @property
    def padded_to_real(self) -> float:
        """Padded elements over real elements, 1 or more."""
        return self.padded / self.real


def pack_batches(lengths: Iterable[int], plan: ShapePlan) -> Packing:
    """Put every sample into exactly one batch; none is dropped or cut.

    Inside a bucket samples are sorted by length, equal lengths in data set order, so that the packing depends on the
    lengths and the plan alone. A sample longer than the largest bucket keeps its own length as the shape.

    Args:
        lengths: Of each sample, in elements along the plan's axis, in data set order.
        plan: Buckets, batch size and memory cap.

    Raises:
        UsageError: There is no length, or one is below 1.
    """
    array = checked_lengths(lengths)
    # np.lexsort sorts by its last key first: length descending, then place.
    order = np.lexsort((np.arange(array.size), -array))
    shapes = _shapes(array, plan)
    batches = tuple(_cut(order.tolist(), array.tolist(), shapes.tolist(), plan))
    largest = plan.buckets[-1].length if plan.buckets else None
    return Packing(
        batches=batches,
        outside=0 if largest is None else int((array > largest).sum()),
        oversized=0 if plan.max_padded is None else int((shapes > plan.max_padded).sum()),
        real=int(array.sum()),
        padded=sum(batch.length * len(batch.indices) for batch in batches),
    )


def padding_in_given_order(lengths: Iterable[int], batch_size: int) -> float:
    """Padded over real elements if consecutive samples were batched and padded to the longest: what a plan saves."""
    array = checked_lengths(lengths)
    starts = np.arange(0, array.size, batch_size)
    rows = np.diff(np.append(starts, array.size))
    return float((np.maximum.reduceat(array, starts) * rows).sum() / array.sum())


def _shapes(lengths: Lengths, plan: ShapePlan) -> Lengths:
    """The padded length of each sample; its own where there is no bucket for it."""
    if not plan.buckets:
        return lengths
    sizes = np.array([bucket.length for bucket in plan.buckets], np.int64)
    place = np.searchsorted(sizes, lengths, side="left")
    return np.where(place < sizes.size, sizes[np.minimum(place, sizes.size - 1)], lengths)


def _cut(order: Sequence[int], lengths: Sequence[int], shapes: Sequence[int], plan: ShapePlan) -> Iterable[Batch]:
    """Cut the sorted samples where a batch is full or, under a plan with buckets, where the shape changes."""
    limits = {bucket.length: bucket.batch_size for bucket in plan.buckets}
    start = 0
    while start < len(order):
        shape = shapes[order[start]]
        rows = limits.get(shape, rows_within(shape, plan.batch_size, plan.max_padded))
        end = start + 1
        while end < len(order) and end - start < rows and (not plan.buckets or shapes[order[end]] == shape):
            end += 1
        outside = bool(plan.buckets) and lengths[order[start]] > plan.buckets[-1].length
        yield Batch(tuple(order[start:end]), shape, outside)
        start = end
