"""The samples of one or several runs, joined, the worst of them kept; memory does not grow with the data set."""

import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferry.core.errors import DatasetError, SampleError
from inferry.core.runs import PREDICTIONS, Run
from inferry.core.samples import Sample, Source
from inferry.datasets.registry import open_dataset
from inferry.metrics.normalisation import normalisation
from inferry.metrics.word_diff import word_diff
from inferry.pipeline.reporting.files import normalisation_of
from inferry.processing.audio import read
from inferry.report.media import Sound, encode_sound
from inferry.report.utterances import Answer, Exhibit, Row, Utterances

_KEPT_BYTES: Final = 1_000_000
"""Of rows in the page; it takes fewer still where other parts need the room."""

_EXHIBITS: Final = 12
_EXAMPLES: Final = 3
_MEDIA_BYTES: Final = 450_000
_RATE: Final = 16_000


@dataclass(frozen=True)
class Gathered:
    """What one pass over the predictions gives.

    Attributes:
        utterances: For the page.
        seconds: By run, the length of every sample that has one.
    """

    utterances: Utterances
    seconds: tuple["array[float]", ...]


def gather_samples(runs: Sequence[Run]) -> Gathered:
    """Read all predictions once, and keep the rows with the most errors.

    Args:
        runs: Finished ones.
    """
    seconds: tuple[array[float], ...] = tuple(array("d") for _ in runs)
    # As each run was scored, so that the page counts the same edits.
    normalise = [normalisation(normalisation_of(run)) for run in runs]
    worst = _Worst()
    for found in join_rows([run.rows() for run in runs]):
        row = _row(found, normalise)
        for one, lengths in zip(found, seconds, strict=True):
            if one is not None and one.get("seconds") is not None:
                lengths.append(float(one["seconds"]))
        worst.add(row)
    rows = worst.rows()
    exhibits, missing = _exhibits(runs, _on_show(rows, scored=worst.scored))
    source = ", ".join(str(run.path / PREDICTIONS) for run in runs)
    order = "most wrong words first" if worst.scored else "longest first"
    if len(runs) > 1 and not worst.scored:
        order = "those on which the runs differ first"
    return Gathered(Utterances(rows, worst.total, order, exhibits, source, missing), seconds)


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


class _Worst:
    """The worst rows whose sizes in the page stay within `_KEPT_BYTES`."""

    def __init__(self) -> None:
        self.total = 0
        self.scored = False
        self._size = 0
        self._heap: list[tuple[tuple[float, ...], Row, int]] = []

    def add(self, row: Row) -> None:
        """Take up a row, and let go of the best ones where there is no room."""
        self.scored = self.scored or any(answer is not None and answer.spans is not None for answer in row.answers)
        # The running number decides between equals, so that rows are never compared.
        key = (row.edits, max(_share(answer) for answer in row.answers), row.differ, row.seconds or 0.0, -self.total)
        self.total += 1
        size = row.size
        heapq.heappush(self._heap, (key, row, size))
        self._size += size
        while self._size > _KEPT_BYTES:
            self._size -= heapq.heappop(self._heap)[2]

    def rows(self) -> tuple[Row, ...]:
        """Worst first."""
        return tuple(row for _, row, _ in sorted(self._heap, key=lambda kept: kept[0], reverse=True))


def _share(answer: Answer | None) -> float:
    return 0.0 if answer is None or not answer.edits else answer.edits / max(1, answer.words or 0)


def _row(found: Sequence[dict[str, Any] | None], normalise: Sequence[Callable[[str], str]]) -> Row:
    some = next(row for row in found if row is not None)
    answers = (None if row is None else _answer(row, change) for row, change in zip(found, normalise, strict=True))
    return Row(str(some["id"]), some.get("seconds"), tuple(answers))


def _answer(row: dict[str, Any], normalise: Callable[[str], str]) -> Answer:
    text, reference = str(row["text"]), row["reference"]
    if reference is None:
        return Answer(text)
    diff = word_diff(normalise(reference), normalise(text))
    return Answer(text, diff.spans, diff.edits, diff.words)


def _on_show(rows: Sequence[Row], *, scored: bool) -> Sequence[Row]:
    """Only wrong answers where any is wrong: a right one tells nothing."""
    wrong = [row for row in rows[:_EXHIBITS] if row.edits]
    return wrong or rows[: _EXAMPLES if scored else _EXHIBITS]


def _exhibits(runs: Sequence[Run], rows: Sequence[Row]) -> tuple[tuple[Exhibit, ...], str]:
    """The worst rows with their sound as long as the page has room, and why there is no sound at all."""
    try:
        sources = _sources(runs, {row.id for row in rows})
    except DatasetError as error:
        return tuple(Exhibit(row, None) for row in rows), f"No sound can be played: the data set is gone. {error}"
    exhibits: list[Exhibit] = []
    room = _MEDIA_BYTES
    for row in rows:
        sound, problem = _sound(sources.get(row.id))
        if sound is not None and len(sound.mp3) > room:
            sound, problem = None, "Its sound was left out to keep the page small."
        room -= 0 if sound is None else len(sound.mp3)
        exhibits.append(Exhibit(row, sound, problem))
    return tuple(exhibits), ""


def _sources(runs: Sequence[Run], wanted: set[str]) -> dict[str, Source]:
    """Where the samples lie, from the data sets that the runs name."""
    found: dict[str, Source] = {}
    for data, kind in dict.fromkeys((run.info["config"]["data"], run.info["config"]["kind"]) for run in runs):
        items = open_dataset(Path(data), kind).items if wanted - found.keys() else ()
        found |= {item.id: item.source for item in items if isinstance(item, Sample) and item.id in wanted}
    return found


def _sound(source: Source | None) -> tuple[Sound | None, str]:
    if source is None:
        return None, "The data set does not have this sample any more."
    try:
        return encode_sound(read(source, _RATE), _RATE), ""
    except SampleError as error:
        return None, f"Its sound cannot be read: {error.reason}"
