"""Data set to shape plan: lengths from headers, buckets by dynamic programming, the batch size by measurement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from inferry.core.bundle import open_bundle
from inferry.core.errors import DatasetError, SampleError, UsageError
from inferry.core.protocols import MAX_SECONDS, SessionOptions, Window
from inferry.core.samples import Dataset, Features, Rejected, Sample, Source
from inferry.datasets.registry import open_dataset
from inferry.pipeline.engine import rejected
from inferry.pipeline.execution import axis_name
from inferry.pipeline.model import Model
from inferry.pipeline.pieces import Piece
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
        cut: Samples that run in windows, which are planned in their place.
    """

    plan: ShapePlan
    histogram: LengthHistogram
    file_order_ratio: float
    choice: BatchChoice | None
    rejected: tuple[Rejected, ...]
    cut: int


def plan(
    bundle: str | Path,
    data: str | Path,
    *,
    shapes: int | None = None,
    batch_size: int | None = None,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    threads: int | None = None,
    limit: int | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Planned:
    """The shape plan of a data set for a bundle.

    Args:
        bundle: The bundle.
        data: The data set.
        shapes: Most shapes; None where the backend takes any shape.
        batch_size: None to measure the best one.
        backend: Where it is measured.
        precision: As for `infer`.
        threads: As for `infer`.
        limit: Use the first samples only.
        max_seconds: As for `infer`: windows are planned, not what they are cut from.

    Raises:
        DatasetError: No sample has a readable length.
    """
    dataset = first(open_dataset(Path(data)), limit)
    options = SessionOptions(precision, threads)
    with Model(open_bundle(bundle), backend, options, max_seconds=max_seconds) as model:
        pieces, bad = measure_pieces(model, dataset.items, range(len(dataset.items)))
        if not pieces:
            raise DatasetError(
                f"{data}: none of its {len(dataset.items)} samples has a readable length: {bad[0].reason}"
            )
        lengths = [piece.length for piece in pieces]
        axis = axis_name(model.bundle.manifest.inputs)
        choice = None
        cap = most_padded(axis, dict(enumerate(lengths)), automatic=batch_size is None)
        if batch_size is None:
            choice = measured_batch_size(model, pieces, cap)
            batch_size = choice.batch_size
        made = make_plan(lengths, axis=axis, batch_size=batch_size, shapes=shapes, max_padded=cap)
    ratio = padding_in_given_order(lengths, batch_size)
    cut = len({piece.index for piece in pieces if piece.cut})
    return Planned(made, LengthHistogram.of(lengths), ratio, choice, tuple(bad), cut)


def first(dataset: Dataset, limit: int | None) -> Dataset:
    """The data set's first items only, all for None."""
    return dataset if limit is None else Dataset(dataset.kind, dataset.path, dataset.items[:limit])


def measure_pieces(
    model: Model, items: Sequence[Sample | Rejected], indices: Sequence[int]
) -> tuple[list[Piece], list[Rejected]]:
    """What the network will see, with lengths, in data set order; and the samples that have no length.

    Args:
        model: Knows the axis, and cuts what is too long.
        items: The data set.
        indices: Which of its items to measure.
    """
    return _measured(model, items, indices, model.cut)


def measure_lengths(
    model: Model, items: Sequence[Sample | Rejected], indices: Sequence[int]
) -> tuple[dict[int, int], list[Rejected]]:
    """Lengths of whole samples by index, in data set order, and the samples that have none; see `measure_pieces`."""
    pieces, bad = _measured(model, items, indices, lambda source: (Window(source),))
    return {piece.index: piece.length for piece in pieces}, bad


def _measured(
    model: Model,
    items: Sequence[Sample | Rejected],
    indices: Sequence[int],
    cut: Callable[[Source], tuple[Window, ...]],
) -> tuple[list[Piece], list[Rejected]]:
    pieces: list[Piece] = []
    bad: list[Rejected] = []
    for index in indices:
        item = items[index]
        if isinstance(item, Rejected):
            bad.append(item)
            continue
        try:
            windows = cut(item.source)
            length = model.processor.measure(windows[0].source)
            pieces += [Piece(index, windows, place, length) for place in range(len(windows))]
        except SampleError as error:
            bad.append(rejected(item, error))
        except UsageError as error:  # a sound in a list of pictures: of all samples only this one is wrong
            bad.append(rejected(item, SampleError("read", str(error))))
    return pieces, bad


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


def measured_batch_size(model: Model, pieces: Sequence[Piece], max_padded: int | None) -> BatchChoice:
    """The batch size that is fastest here, on pieces of the data set itself, with at most so many padded elements."""
    cache: dict[int, Features] = {}

    def seconds(rows: int, length: int) -> float:
        if length not in cache:
            cache[length] = _features_near(model, pieces, length)
        start = perf_counter()
        model.run_batch([cache[length]] * rows)
        return perf_counter() - start

    return choose_batch_size(seconds, [piece.length for piece in pieces], max_padded=max_padded)


def _features_near(model: Model, pieces: Sequence[Piece], length: int) -> Features:
    """Features of a readable piece whose length is nearest to the wanted one."""
    problem = "no samples"
    for piece in sorted(pieces, key=lambda one: abs(one.length - length))[:20]:
        try:
            return model.processor.process(piece.source)
        except SampleError as error:
            problem = str(error)
    raise DatasetError(f"no readable sample of a length near {length} to measure with; the last one tried: {problem}")
