"""What a task is to the report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from inferry.core.runs import Run
from inferry.core.samples import Box, Source
from inferry.report.accuracy import Breakdown
from inferry.report.rows import Answer, Layout, Value
from inferry.report.samples import Media


class Shown(NamedTuple):
    """A row of predictions.jsonl as the page shows it.

    Attributes:
        facts: As in `Layout.facts`.
        answer: With its figures where the row has a reference.
        regions: Where the network looked at, as the row has them.
    """

    facts: tuple[Value, ...]
    answer: Answer
    regions: tuple[Box, ...] = ()


Reader = Callable[[Mapping[str, Any]], Shown]
"""Takes a row of predictions.jsonl."""


@dataclass(frozen=True)
class View:
    """How the report shows a task.

    Attributes:
        layout: Of the samples.
        headline: Names of the rates at the head of the page.
        scale: What the rates are, and which way is better.
        silent: Settings of a run that say nothing about this task.
        cards: Samples that are shown on their own, at most.
        reader: For the rows of one run.
        medium: What can be heard or seen of a sample: ``sound`` or ``picture``.
        media: It, with the row's regions drawn over it; raises SampleError with the reason where there is none.
        gone: What the page lacks without the data set, the beginning of a sentence.
        asked: The first of the facts, where only the data set knows it.
        warnings: Of a score, what makes its figures doubtful.
        breakdowns: Of a score, the tables below the rates; may raise KeyError, TypeError, ValueError or AttributeError.
    """

    layout: Layout
    headline: tuple[str, ...]
    scale: str
    silent: frozenset[str]
    cards: int
    reader: Callable[[Run], Reader]
    medium: str
    media: Callable[[Source, tuple[Box, ...]], Media]
    gone: str
    asked: Callable[[Source], str | None] | None = None
    warnings: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda _: ()
    breakdowns: Callable[[Mapping[str, Any]], tuple[Breakdown, ...]] = lambda _: ()
