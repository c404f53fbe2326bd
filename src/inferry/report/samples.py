"""Samples one by one: the worst of them with what can be heard or seen of them, and a table that sorts and searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from inferry.report.markup import Markup, data, element, join, note, section
from inferry.report.rows import LONGEST_LABEL, Absence, Answer, Column, Layout, Mark, Piece, Row, cut

_ELEMENTS: Final = {
    Mark.MISSING: ("del", None),
    Mark.EXTRA: ("ins", None),
    Mark.RIGHT: ("b", "good"),
    Mark.WRONG: ("b", "bad"),
}
"""Name and class; page.js has the same."""


class Media(Protocol):
    """What can be heard or seen of a sample."""

    @property
    def size(self) -> int:
        """Bytes of its content."""

    def to_markup(self, name: str) -> Markup:
        """As it stands in the page; `name` is the sample's id."""


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
class Samples:
    """All that is shown of the samples.

    Attributes:
        layout: How.
        rows: Worst first; the page takes as many as fit.
        total: Samples with an answer in any run.
        order: How they are ordered, as a phrase.
        exhibits: The first ones, with sound or picture.
        source: The file that has all.
        missing: Why nothing can be heard or seen, for all of them; empty otherwise.
    """

    layout: Layout
    rows: tuple[Row, ...]
    total: int
    order: str
    exhibits: tuple[Exhibit, ...]
    source: str
    missing: str = ""


def samples_section(labels: Sequence[str], samples: Samples, rows: Sequence[Row]) -> Markup:
    """The exhibits, then `rows` as a table that the page's script builds."""
    if not samples.total:
        return section("Samples", "samples", element("p", "No sample has an answer.", class_="missing"))
    words = f"{len(rows):,} of {samples.total:,} samples, {samples.order}."
    if len(rows) < samples.total:
        words += f" The page stays small; {samples.source} has all."
    value = {"labels": list(labels), "layout": samples.layout.to_json(), "rows": [row.to_json() for row in rows]}
    scored = any(answer.error is not None for row in rows for answer in row.found)
    controls = element("div", id="controls", class_="controls")
    holder = element("div", data(value), element("div", id="grid"), id="table", data_scored=scored)
    legend = [element("p", *_marked(samples.layout.legend), class_="legend text")] if samples.layout.legend else []
    parts = [*(legend if scored else []), _exhibits(labels, samples), element("h3", "One by one"), note(words)]
    return section("Samples", "samples", *parts, controls, holder)


def _exhibits(labels: Sequence[str], samples: Samples) -> Markup:
    cards = [_exhibit(labels, samples.layout, exhibit) for exhibit in samples.exhibits]
    missing = element("p", samples.missing, class_="missing") if samples.missing else Markup()
    return join([missing, element("div", *cards, class_="exhibits")])


def _exhibit(labels: Sequence[str], layout: Layout, exhibit: Exhibit) -> Markup:
    row, alone = exhibit.row, len(labels) == 1
    facts = [(column, value) for column, value in zip(layout.facts, row.facts, strict=True) if value is not None]
    heading = [column.say(value) for column, value in facts if column.digits is not None]
    heading += [answer.said for answer in row.found if answer.said] if alone else []
    texts = [_fact(column, cut(column.say(value))) for column, value in facts if column.digits is None]
    lines = [_line(label, answer, alone=alone) for label, answer in zip(labels, row.answers, strict=True)]
    header = element("header", element("b", cut(row.id, 80)), element("span", " · ".join(heading)))
    media = exhibit.media.to_markup(row.id) if exhibit.media is not None else Markup()
    problem = note(exhibit.problem) if exhibit.problem else Markup()
    return element("article", header, *texts, *lines, media, problem)


def _fact(column: Column, text: str) -> Markup:
    if column.heads:
        return element("p", text, class_="heads")
    return element("p", element("span", column.title, class_="note"), " ", text)


def _line(label: str, answer: Answer | Absence, *, alone: bool) -> Markup:
    """The answer of one run."""
    if isinstance(answer, Absence):
        return element("p", element("b", label), " ", element("i", answer.value), class_="text")
    figure = [" ", element("span", answer.figures[0].text, class_="badge")] if answer.figures else []
    badge = [] if alone else [element("b", label), *figure, " "]
    said = _marked(answer.shown()) if answer.pieces else [element("i", "(empty)")]
    after = [Piece(cut(piece.text, LONGEST_LABEL), piece.mark) for piece in answer.others]
    others = [element("span", "then ", *_marked(after, ", "), class_="note")] if after else []
    return element("p", *badge, *said, *others, class_="text")


def _marked(pieces: Sequence[Piece], between: str = " ") -> list[str]:
    marked: list[str] = []
    for piece in pieces:
        name, class_ = _ELEMENTS.get(piece.mark, ("", None))
        marked += [element(name, piece.text, class_=class_) if name else piece.text, between]
    return marked[:-1] if between != " " else marked
