"""The samples of one or several runs, joined, the worst of them kept; memory does not grow with the data set."""

import heapq
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from inferry.core.errors import DatasetError, SampleError
from inferry.core.runs import ERRORS, PREDICTIONS, Run
from inferry.core.samples import Sample, Source
from inferry.datasets.registry import open_dataset
from inferry.pipeline.reporting.views.view import Reader, View
from inferry.report.rows import Absence, Row
from inferry.report.samples import Exhibit, Samples

_KEPT_BYTES: Final = 1_000_000
"""Of rows in the page; it takes fewer still where other parts need the room."""

_EXAMPLES: Final = 3
"""Samples on their own where no answer is wrong."""

_MEDIA_BYTES: Final = 450_000


@dataclass(frozen=True)
class Gathered:
    """What one pass over the predictions gives.

    Attributes:
        samples: For the page.
        seconds: By run, the length of every sample that has one.
    """

    samples: Samples
    seconds: tuple["array[float]", ...]


def gather_samples(runs: Sequence[Run], view: View) -> Gathered:
    """Read all predictions once, and keep the rows with the most errors.

    Args:
        runs: Finished ones, of one task.
        view: Of that task.
    """
    seconds: tuple[array[float], ...] = tuple(array("d") for _ in runs)
    readers = [view.reader(run) for run in runs]
    quarantined = _quarantined(runs)
    worst = _Worst()
    for found in join_rows([run.rows() for run in runs]):
        for one, lengths in zip(found, seconds, strict=True):
            if one is not None and one.get("seconds") is not None:
                lengths.append(float(one["seconds"]))
        worst.add(_row(found, readers, quarantined))
    layout, rows = view.layout, worst.rows()
    order = layout.order if worst.scored else layout.unscored
    if len(runs) > 1 and not worst.scored:
        order = "those on which the runs differ first"
    rows, exhibits, missing = _with_sources(runs, view, rows, scored=worst.scored)
    source = ", ".join(str(run.path / PREDICTIONS) for run in runs)
    return Gathered(Samples(layout, rows, worst.total, order, exhibits, source, missing), seconds)


def join_rows(files: Sequence[Iterator[dict[str, Any]]]) -> Iterator[tuple[dict[str, Any] | None, ...]]:
    """Rows of several runs by their id, None where a run has no such row.

    Runs over the same data set have the same order, so that only what some of them quarantined has to wait.
    """
    waiting: dict[str, list[dict[str, Any] | None]] = {}
    live = dict(enumerate(files))
    while live:
        for place, file in list(live.items()):
            row = next(file, None)
            if row is None:
                del live[place]
                continue
            slots = waiting.setdefault(row["id"], [None] * len(files))
            slots[place] = row
            if None not in slots:
                yield tuple(waiting.pop(row["id"]))
    yield from map(tuple, waiting.values())


def _quarantined(runs: Sequence[Run]) -> tuple[frozenset[str], ...]:
    """Ids by run; a single run has an answer to all that is on its page."""
    if len(runs) == 1:
        return (frozenset(),)
    return tuple(frozenset(str(row["id"]) for row in run.rows(ERRORS)) for run in runs)


class _Worst:
    """The worst rows whose sizes in the page stay within `_KEPT_BYTES`."""

    def __init__(self) -> None:
        self.total = 0
        self.scored = False
        self._full = False
        self._size = 0
        self._heap: list[tuple[tuple[float, ...], Row, int]] = []

    def add(self, row: Row) -> None:
        """Take up a row, and let go of the best ones where there is no room."""
        self.scored = self.scored or any(answer.error is not None for answer in row.found)
        # The running number decides between equals, so that rows are never compared.
        key = (*row.badness, -self.total)
        self.total += 1
        if self._full and key < self._heap[0][0]:
            return
        size = row.size
        heapq.heappush(self._heap, (key, row, size))
        self._size += size
        while self._size > _KEPT_BYTES:
            self._size -= heapq.heappop(self._heap)[2]
            self._full = True

    def rows(self) -> tuple[Row, ...]:
        """Worst first."""
        return tuple(row for _, row, _ in sorted(self._heap, key=lambda kept: kept[0], reverse=True))


def _row(
    found: Sequence[dict[str, Any] | None], readers: Sequence[Reader], quarantined: Sequence[frozenset[str]]
) -> Row:
    id_ = str(next(row["id"] for row in found if row is not None))
    shown = [None if row is None else read(row) for row, read in zip(found, readers, strict=True)]
    answers = tuple(
        (Absence.QUARANTINED if id_ in ids else Absence.ELSEWHERE) if one is None else one.answer
        for one, ids in zip(shown, quarantined, strict=True)
    )
    some = next(one for one in shown if one is not None)
    return Row(id_, some.facts, answers, some.regions)


def _with_sources(
    runs: Sequence[Run], view: View, rows: tuple[Row, ...], *, scored: bool
) -> tuple[tuple[Row, ...], tuple[Exhibit, ...], str]:
    """Rows with what only the data set knows, the worst with sound or picture, and why there is none at all."""
    shown = _on_show(rows, view.cards, scored=scored)
    try:
        sources = _sources(runs, {row.id for row in (rows if view.asked is not None else shown)})
    except DatasetError as error:
        missing = f"{view.gone}: the data set is gone. {error}"
        return rows, tuple(Exhibit(row, None) for row in shown), missing
    rows = tuple(_asked(row, view, sources.get(row.id)) for row in rows)
    return rows, _exhibits(view, rows[: len(shown)], sources), ""


def _on_show(rows: Sequence[Row], cards: int, *, scored: bool) -> Sequence[Row]:
    """The first rows, and of these only wrong answers where any is wrong: a right one tells nothing."""
    wrong = sum(row.error > 0 for row in rows[:cards])
    return rows[: wrong or (_EXAMPLES if scored else cards)]


def _sources(runs: Sequence[Run], wanted: set[str]) -> dict[str, Source]:
    """Where the samples lie, from the data sets that the runs name."""
    found: dict[str, Source] = {}
    for data, kind in dict.fromkeys((run.info["config"]["data"], run.info["config"]["kind"]) for run in runs):
        items = open_dataset(Path(data), kind).items if wanted - found.keys() else ()
        found |= {item.id: item.source for item in items if isinstance(item, Sample) and item.id in wanted}
    return found


def _asked(row: Row, view: View, source: Source | None) -> Row:
    if view.asked is None or source is None:
        return row
    return replace(row, facts=(view.asked(source), *row.facts[1:]))


def _exhibits(view: View, rows: Sequence[Row], sources: dict[str, Source]) -> tuple[Exhibit, ...]:
    """Each row with its sound or picture as long as the page has room."""
    exhibits: list[Exhibit] = []
    room = _MEDIA_BYTES
    for row in rows:
        exhibit = _exhibit(view, row, sources.get(row.id))
        if exhibit.media is not None and exhibit.media.size > room:
            exhibit = Exhibit(row, None, f"Its {view.medium} was left out to keep the page small.")
        room -= 0 if exhibit.media is None else exhibit.media.size
        exhibits.append(exhibit)
    return tuple(exhibits)


def _exhibit(view: View, row: Row, source: Source | None) -> Exhibit:
    if source is None:
        return Exhibit(row, None, "The data set does not have this sample any more.")
    try:
        return Exhibit(row, view.media(source, row.regions))
    except SampleError as error:
        return Exhibit(row, None, f"It has no {view.medium} to show: {error.reason}")
