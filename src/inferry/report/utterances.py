"""Samples one by one: the worst of them with their sound, and a table that sorts and searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inferry.report.markup import Markup, data, decimal, element, join, note, section, to_script_json

LONGEST_TEXT = 1500
"""Characters of one answer on the page; the run's files have all of it."""


class Span(Protocol):
    """A stretch of a text against its reference; equal where both agree, one side empty where it lacks words."""

    @property
    def reference(self) -> str:
        """What was said."""

    @property
    def hypothesis(self) -> str:
        """What was recognised."""


class Media(Protocol):
    """What can be heard or seen of a sample."""

    def to_markup(self, name: str) -> Markup:
        """As it stands in the page; `name` is the sample's id."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run said about a sample.

    Attributes:
        text: The answer.
        spans: It against the reference; None without a reference.
        edits: Words that are wrong; None likewise.
        words: In the reference; None likewise.
    """

    text: str
    spans: tuple[Span, ...] | None = None
    edits: int | None = None
    words: int | None = None

    def to_json(self) -> list[Any]:
        """Compact: ``[edits, words, stretches]``; a stretch is a text where both agree, else ``[said, recognised]``."""
        if self.spans is None:
            return [None, None, [_cut(self.text, LONGEST_TEXT)]]
        stretches: list[Any] = []
        room = LONGEST_TEXT
        for span in self.spans:
            said, heard = _cut(span.reference, room), _cut(span.hypothesis, room)
            stretches.append(said if span.reference == span.hypothesis else [said, heard])
            room -= max(len(said), len(heard))
            if room <= 0:
                break
        return [self.edits, self.words, stretches]


@dataclass(frozen=True, slots=True)
class Row:
    """One sample.

    Attributes:
        id: Of the sample.
        seconds: Its length; None for other tasks.
        answers: One a run, None where the run has none.
    """

    id: str
    seconds: float | None
    answers: tuple[Answer | None, ...]

    @property
    def edits(self) -> int:
        """Of the run that has the most."""
        return max((answer.edits or 0 for answer in self.answers if answer is not None), default=0)

    @property
    def differ(self) -> bool:
        """Whether the runs do not all say the same."""
        return len({None if answer is None else answer.text for answer in self.answers}) > 1

    def to_json(self) -> list[Any]:
        """Compact: ``[id, seconds, differ, answers]``."""
        seconds = None if self.seconds is None else round(self.seconds, 2)
        answers = [None if answer is None else answer.to_json() for answer in self.answers]
        return [_cut(self.id, LONGEST_TEXT), seconds, int(self.differ), answers]

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        return len(to_script_json(self.to_json()).encode()) + 1


@dataclass(frozen=True)
class Exhibit:
    """A sample that is shown on its own.

    Attributes:
        row: The sample.
        media: Its sound or picture; None where `problem` says why.
        problem: One sentence; empty otherwise.
    """

    row: Row
    media: Media | None
    problem: str = ""


@dataclass(frozen=True)
class Utterances:
    """All that is shown of the samples.

    Attributes:
        rows: Worst first; the page takes as many as fit.
        total: Samples with an answer in any run.
        order: How they are ordered, as a phrase: ``most wrong words first``.
        exhibits: The first ones, with sound.
        source: The file that has all.
        missing: Why no sound is there, for all of them; empty otherwise.
    """

    rows: tuple[Row, ...]
    total: int
    order: str
    exhibits: tuple[Exhibit, ...]
    source: str
    missing: str = ""


def utterances_section(labels: Sequence[str], utterances: Utterances, rows: Sequence[Row]) -> Markup:
    """The exhibits, then `rows` as a table that the page's script builds."""
    if not utterances.total:
        return section("Samples", "samples", element("p", "No sample has an answer.", class_="missing"))
    words = f"{len(rows):,} of {utterances.total:,} samples, {utterances.order}."
    if len(rows) < utterances.total:
        words += f" The page stays small; {utterances.source} has all."
    value = {"labels": list(labels), "rows": [row.to_json() for row in rows]}
    scored = any(answer is not None and answer.spans is not None for row in rows for answer in row.answers)
    controls = element("div", id="controls", class_="controls")
    holder = element("div", data(value), element("div", id="grid"), id="table", data_scored=scored)
    parts = [_legend()] if scored else []
    parts += [_exhibits(labels, utterances), element("h3", "One by one"), note(words), controls, holder]
    return section("Samples", "samples", *parts)


def fitting(rows: Sequence[Row], room: int) -> tuple[Row, ...]:
    """As many of the first rows as take no more than `room` bytes."""
    kept = []
    for row in rows:
        room -= row.size
        if room < 0:
            break
        kept.append(row)
    return tuple(kept)


def _exhibits(labels: Sequence[str], utterances: Utterances) -> Markup:
    cards = [_exhibit(labels, exhibit) for exhibit in utterances.exhibits]
    missing = element("p", utterances.missing, class_="missing") if utterances.missing else Markup()
    return join([missing, element("div", *cards, class_="exhibits")])


def _exhibit(labels: Sequence[str], exhibit: Exhibit) -> Markup:
    row = exhibit.row
    lines = [
        element("p", *([element("b", label), " "] if len(labels) > 1 else []), *_answer(answer), class_="text")
        for label, answer in zip(labels, row.answers, strict=True)
    ]
    facts = [] if row.seconds is None else [f"{decimal(row.seconds, 1)} s"]
    scored = [answer for answer in row.answers if answer is not None and answer.edits is not None]
    if scored:
        wrong = " / ".join(f"{answer.edits:,}" for answer in scored)
        facts.append(f"{wrong} wrong of {scored[0].words:,} words")
    heading = element("header", element("b", _cut(row.id, 80)), element("span", " · ".join(facts)))
    media = exhibit.media.to_markup(row.id) if exhibit.media is not None else note(exhibit.problem)
    return element("article", heading, *lines, media if exhibit.media is not None or exhibit.problem else Markup())


def _answer(answer: Answer | None) -> list[str]:
    if answer is None:
        return [element("i", "no answer")]
    pieces: list[str] = []
    for stretch in answer.to_json()[2]:
        if isinstance(stretch, str):
            pieces += [stretch, " "]
        else:
            said, heard = stretch
            pieces += [element("del", said), " "] if said else []
            pieces += [element("ins", heard), " "] if heard else []
    return pieces or [element("i", "(empty)")]


def _legend() -> Markup:
    sample = (
        element("del", "in the reference, not recognised"),
        " ",
        element("ins", "recognised, not in the reference"),
    )
    return element("p", *sample, class_="legend text")


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[:room] + "…"
