"""Samples as rows of the page: what is known of them, and what each run answered."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from inferry.core.samples import Box
from inferry.report.markup import decimal, to_script_json

LONGEST_TEXT = 1500
"""Characters of one answer on the page; the run's files have all of it."""

LONGEST_LABEL = 200
"""Characters of one of several answers."""

Value = str | float | None
"""What a cell holds; None where nothing is known."""


class Mark(StrEnum):
    """How a piece of an answer stands to what people say."""

    SAME = ""
    MISSING = "-"
    EXTRA = "+"
    RIGHT = "="
    WRONG = "!"


class Piece(NamedTuple):
    """A stretch of an answer."""

    text: str
    mark: Mark = Mark.SAME


class Figure(NamedTuple):
    """A number of an answer.

    Attributes:
        value: What is sorted by.
        text: As it is shown.
    """

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        title: Its head.
        digits: Of its numbers after the point; None where it holds texts.
        unit: Stands behind a number on a card.
        folds: Whether it is among the first that a narrow screen shows below the row.
        heads: Whether it stands on a card without its title, and before all else.
    """

    title: str
    digits: int | None = None
    unit: str = ""
    folds: bool = False
    heads: bool = False

    def say(self, value: Value) -> str:
        """A value on a card."""
        return f"{decimal(value, self.digits or 0)}{self.unit}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples of a task are shown.

    Attributes:
        facts: What is known of a sample besides its answers.
        figures: Of an answer that was scored; the first of them stands for all where several runs are side by side.
        answer: What an answer is called.
        against: Title of a column with answers that were scored.
        legend: Explains the marks; may be empty.
        order: Of scored samples, as a phrase: ``most wrong words first``.
        unscored: Of samples without a reference.
        search: What the search looks through.
        differ: Said of samples on which runs differ.
    """

    facts: tuple[Column, ...]
    figures: tuple[Column, ...]
    answer: str
    against: str
    legend: tuple[Piece, ...]
    order: str
    unscored: str
    search: str
    differ: str

    def to_json(self) -> dict[str, Any]:
        """What the page's script needs of it."""
        columns = {name: [asdict(one) for one in getattr(self, name)] for name in ("facts", "figures")}
        return {**columns, **{name: getattr(self, name) for name in ("answer", "against", "search", "differ")}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run said about a sample.

    Attributes:
        text: The answer.
        pieces: It against what people say.
        error: 0 where it is right, the more the worse; None without a reference.
        share: The part of it that is wrong; decides where `error` is the same.
        figures: As in `Layout.figures`; empty without a reference.
        said: The figures in words, for a card.
        others: Further answers that were considered, best first; for a card.
    """

    text: str
    pieces: tuple[Piece, ...]
    error: float | None = None
    share: float = 0.0
    figures: tuple[Figure, ...] = ()
    said: str = ""
    others: tuple[Piece, ...] = ()

    def shown(self) -> list[Piece]:
        """The first pieces, up to `LONGEST_TEXT`."""
        room, kept = LONGEST_TEXT, []
        for piece in self.pieces:
            if room <= 0:
                break
            kept.append(Piece(cut(piece.text, room), piece.mark))
            room -= len(piece.text)
        return kept

    def to_json(self) -> list[Any]:
        """Compact: ``[error, figures, pieces]``; a piece is a text where both agree, else ``[mark, text]``."""
        figures = [[round(one.value, 4), one.text] for one in self.figures]
        pieces = [[one.mark, one.text] if one.mark else one.text for one in self.shown()]
        return [None if self.error is None else round(self.error, 4), figures, pieces]


class Absence(StrEnum):
    """Why a run has no answer to a sample that another run has."""

    QUARANTINED = "quarantined"
    ELSEWHERE = "not among this run's samples"


@dataclass(frozen=True, slots=True)
class Row:
    """One sample.

    Attributes:
        id: Of the sample.
        facts: As in `Layout.facts`.
        answers: One a run.
        regions: Where the network looked at; drawn over its picture.
    """

    id: str
    facts: tuple[Value, ...]
    answers: tuple[Answer | Absence, ...]
    regions: tuple[Box, ...] = ()

    @property
    def found(self) -> tuple[Answer, ...]:
        """The answers that are there."""
        return tuple(answer for answer in self.answers if isinstance(answer, Answer))

    @property
    def error(self) -> float:
        """Of the run that is most wrong."""
        return max((answer.error or 0.0 for answer in self.found), default=0.0)

    @property
    def differ(self) -> bool:
        """Whether the runs that have this sample do not all say the same."""
        said = {answer.text for answer in self.found}
        return len(said) + (Absence.QUARANTINED in self.answers) > 1

    @property
    def badness(self) -> tuple[float, ...]:
        """What rows are ordered by, the worst first: errors, their share, differences, numbers such as a length."""
        share = max((answer.share for answer in self.found), default=0.0)
        return self.error, share, self.differ, max((one for one in self.facts if isinstance(one, float)), default=0.0)

    def to_json(self) -> list[Any]:
        """Compact: ``[id, facts, differ, answers]``; in place of an answer that is not there stands why."""
        facts = [round(one, 2) if isinstance(one, float) else one and cut(one) for one in self.facts]
        answers = [one.to_json() if isinstance(one, Answer) else one for one in self.answers]
        return [cut(self.id), facts, int(self.differ), answers]

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        return len(to_script_json(self.to_json()).encode()) + 1


def fitting(rows: Sequence[Row], room: int) -> tuple[Row, ...]:
    """As many of the first rows as take no more than `room` bytes."""
    kept = []
    for row in rows:
        room -= row.size
        if room < 0:
            break
        kept.append(row)
    return tuple(kept)


def cut(text: str, room: int = LONGEST_TEXT) -> str:
    """At most so many characters, and a sign where there were more."""
    return text if len(text) <= room else text[:room] + "…"
