"""Data set to shape plan: lengths from headers, buckets by dynamic programming, the batch size by measurement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from inferry.core.bundle import open_bundle
from inferry.core.errors import DatasetError, SampleError
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Dataset, Features, Rejected, Sample
from inferry.datasets.registry import open_dataset
from inferry.pipeline.engine import rejected
from inferry.pipeline.execution import planned_axis
from inferry.pipeline.model import Model
from inferry.planning.batch_size import BatchChoice, choose_batch_size
from inferry.planning.batches import padding_in_given_order
from inferry.planning.histogram import LengthHistogram
from inferry.planning.make import make_plan
from inferry.planning.plan import ShapePlan

MAX_PADDED = {"samples": 16_000 * 240, "time": 100 * 240}
"""Most padded elements in a batch of several samples, by axis: four minutes of sound keep memory within bounds."""

_AUTOMATIC_PADDED = {"samples": 16_000 * 16, "time": 100 * 64}
"""The same where nobody asked for a batch size: no batch shall need much more memory than one long sample, and on a
processor larger ones are hardly faster. Spectrograms are smaller, and their recurrent networks gain more."""


@dataclass(frozen=True)
class Planned:
    """A plan and what it rests on.

    Attributes:
        plan: Buckets and batch size.
        histogram: Of the lengths.
        file_order_ratio: Padded to real if the same batches were filled in data set order instead.
        choice: The measured batch sizes, None if the caller gave one.
        rejected: Samples whose length cannot be read.
    """

    plan: ShapePlan
    histogram: LengthHistogram
    file_order_ratio: float
    choice: BatchChoice | None
    rejected: tuple[Rejected, ...]


def plan(
    bundle: str | Path,
    data: str | Path,
    *,
    shapes: int | None = None,
    batch_size: int | None = None,
    backend: str = "onnxruntime",
    threads: int | None = None,
    limit: int | None = None,
) -> Planned:
    """The shape plan of a data set for a bundle.

    Args:
        bundle: The bundle.
        data: The data set.
        shapes: Most shapes; None where the backend takes any shape.
        batch_size: None to measure the best one.
        backend: Where it is measured.
        threads: As for `infer`.
        limit: Use the first samples only.

    Raises:
        DatasetError: No sample has a readable length.
    """
    dataset = first(open_dataset(Path(data)), limit)
    with Model(open_bundle(bundle), backend, SessionOptions(threads=threads)) as model:
        lengths, bad = measure_lengths(model, dataset.items, range(len(dataset.items)))
        if not lengths:
            raise DatasetError(
                f"{data}: none of its {len(dataset.items)} samples has a readable length: {bad[0].reason}"
            )
        axis = planned_axis(model.bundle.manifest.inputs) or "samples"
        choice = None
        cap = most_padded(axis, lengths, automatic=batch_size is None)
        if batch_size is None:
            choice = measured_batch_size(model, dataset.items, lengths, cap)
            batch_size = choice.batch_size
        made = make_plan(lengths.values(), axis=axis, batch_size=batch_size, shapes=shapes, max_padded=cap)
    ratio = padding_in_given_order(lengths.values(), batch_size)
    return Planned(made, LengthHistogram.of(lengths.values()), ratio, choice, tuple(bad))


def first(dataset: Dataset, limit: int | None) -> Dataset:
    """The data set's first items only, all for None."""
    return dataset if limit is None else Dataset(dataset.kind, dataset.path, dataset.items[:limit])


def measure_lengths(
    model: Model,
    items: Sequence[Sample | Rejected],
    indices: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[int, int], list[Rejected]]:
    """Lengths by index, in data set order, and the samples that have none.

    Args:
        model: Knows the axis.
        items: The data set.
        indices: Which of its items to measure.
        progress: Is told how many are measured.
    """
    lengths: dict[int, int] = {}
    bad: list[Rejected] = []
    for count, index in enumerate(indices):
        item = items[index]
        if isinstance(item, Rejected):
            bad.append(item)
            continue
        try:
            lengths[index] = model.processor.measure(item.source)
        except SampleError as error:
            bad.append(rejected(item, error))
        if progress is not None and count % 1000 == 0:
            progress(count)
    return lengths, bad


def most_padded(axis: str, lengths: Mapping[int, int], *, automatic: bool) -> int | None:
    """Most padded elements in a batch of several samples, None for an axis of another task.

    Args:
        axis: That is padded.
        lengths: By index; the longest sample must fit into memory anyway.
        automatic: Whether nobody asked for a batch size.
    """
    cap = MAX_PADDED.get(axis)
    if cap is None or not automatic:
        return cap
    return min(cap, max(_AUTOMATIC_PADDED[axis], *lengths.values()))


def measured_batch_size(
    model: Model, items: Sequence[Sample | Rejected], lengths: Mapping[int, int], max_padded: int | None
) -> BatchChoice:
    """The batch size that is fastest here, on samples of the data set itself, with at most so many padded elements."""
    cache: dict[int, Features] = {}

    def seconds(rows: int, length: int) -> float:
        if length not in cache:
            cache[length] = _features_near(model, items, lengths, length)
        start = perf_counter()
        model.run_batch([cache[length]] * rows)
        return perf_counter() - start

    return choose_batch_size(seconds, lengths.values(), max_padded=max_padded)


def _features_near(
    model: Model, items: Sequence[Sample | Rejected], lengths: Mapping[int, int], length: int
) -> Features:
    """Features of a readable sample whose length is nearest to the wanted one."""
    problem = "no samples"
    for index in sorted(lengths, key=lambda i: abs(lengths[i] - length))[:20]:
        sample = items[index]
        assert isinstance(sample, Sample), "only samples have lengths"
        try:
            return model.processor.process(sample.source)
        except SampleError as error:
            problem = f"{sample.id}: {error}"
    raise DatasetError(f"no readable sample of a length near {length} to measure with; the last one tried: {problem}")
