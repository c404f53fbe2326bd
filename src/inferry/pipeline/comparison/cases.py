"""Which samples a comparison looks at, and in which batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from inferry.core.bundle import PROCESSOR
from inferry.core.errors import ParityError, SampleError, UsageError
from inferry.core.protocols import Recipe
from inferry.core.samples import Dataset, Features, Reference, Rejected, Sample, Source
from inferry.datasets.registry import open_dataset
from inferry.pipeline.engine import rejected
from inferry.pipeline.execution import axis_name
from inferry.pipeline.model import Model
from inferry.pipeline.plan import measure_pieces, most_padded
from inferry.planning.batches import pack_batches
from inferry.planning.make import make_plan

LIMIT: Final = 32
"""Samples that are compared unless told otherwise."""

_BATCH: Final = 8


@dataclass(frozen=True)
class Case:
    """A sample with its features, ready for the network."""

    id: str
    features: Features
    reference: Reference | None


@dataclass(frozen=True)
class Cases:
    """The samples of a comparison; they are read batch by batch.

    Attributes:
        batches: Indices into `samples`, packed by length as `infer` packs them.
        samples: The chosen ones.
        of: How many samples the data set has.
        ids: Of all of them.
        rejected: What has no readable length, and what is so long that it runs in windows.
    """

    batches: tuple[tuple[int, ...], ...]
    samples: tuple[Sample, ...]
    of: int
    ids: frozenset[str]
    rejected: tuple[Rejected, ...]


def choose_cases(model: Model, recipe: Recipe, data: Path | None, limit: int | None, kind: str | None = None) -> Cases:
    """Samples spread evenly over the range of lengths, the shortest and the longest among them.

    Args:
        model: Knows how long a sample is.
        recipe: Its probes stand in where there is no data set.
        data: The data set, None for the recipe's probes.
        limit: Most samples; None for `LIMIT`.
        kind: The data set's layout, None to recognise it.

    Raises:
        UsageError: The limit is below 1, or a layout is named without a data set.
        ParityError: No sample has a readable length, or all are too long: nothing can be compared.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the limit must be at least 1, not {limit}: comparing nothing proves nothing")
    if data is None and kind is not None:
        raise UsageError("--layout is for --data: without it the family's own probes are compared")
    dataset = _probes(model, recipe) if data is None else open_dataset(data, kind)
    pieces, bad = measure_pieces(model, dataset.items, range(len(dataset.items)))
    lengths = {piece.index: piece.length for piece in pieces if not piece.cut}
    bad += [_too_long(dataset.items[piece.index]) for piece in pieces if piece.cut and piece.place == 0]
    if not lengths:
        reason = bad[0].reason if bad else "the data set is empty"
        raise ParityError(f"nothing was compared: {dataset.path}: none of its samples can be compared; {reason}")
    chosen = _spread(sorted(lengths, key=lambda index: lengths[index]), limit or LIMIT)
    axis = axis_name(model.bundle.manifest.inputs)
    some = [lengths[index] for index in chosen]
    cap = most_padded(axis, dict(enumerate(some)), automatic=True)
    packing = pack_batches(some, make_plan(some, axis=axis, batch_size=_BATCH, max_padded=cap))
    samples = tuple(item for index in chosen if isinstance(item := dataset.items[index], Sample))
    ids = frozenset(item.id for item in dataset.items)
    return Cases(tuple(b.indices for b in packing.batches), samples, len(dataset.items), ids, tuple(bad))


def read_cases(model: Model, cases: Cases, left_out: list[Rejected]) -> Iterator[list[Case]]:
    """The batches with their features, one at a time; empty ones are skipped.

    Args:
        model: Processes them.
        cases: What to read.
        left_out: Takes those that cannot be compared, with the reason.
    """
    for batch in cases.batches:
        read = [_read(model, cases.samples[index]) for index in batch]
        left_out += [one for one in read if isinstance(one, Rejected)]
        if good := [one for one in read if isinstance(one, Case)]:
            yield good


def _read(model: Model, sample: Sample) -> Case | Rejected:
    try:
        features = model.processor.process(sample.source)
    except SampleError as error:
        return rejected(sample, error)
    if features.answer is not None:
        return rejected(sample, SampleError("process", "the input alone decides its answer, no network is asked"))
    return Case(sample.id, features, sample.reference)


def _too_long(item: Sample | Rejected) -> Rejected:
    reason = "it is so long that it runs in windows, and the original knows none: nothing to compare with"
    return rejected(item, SampleError("process", reason))


def _probes(model: Model, recipe: Recipe) -> Dataset:
    sources: Sequence[Source] = recipe.probes(model.bundle.read_json(PROCESSOR))
    items = tuple(Sample(f"probe {index}", source) for index, source in enumerate(sources))
    return Dataset("probes", Path("the recipe's probes"), items)


def _spread(ordered: Sequence[int], count: int) -> list[int]:
    """At most `count` of them, evenly spaced, the first and the last included."""
    places = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return [ordered[place] for place in places]
