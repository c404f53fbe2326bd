"""Transcripts against their references word by word, with their sounds."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from inferry.core.runs import Run
from inferry.core.samples import Box, Source
from inferry.metrics.normalisation import normalisation
from inferry.metrics.word_diff import WordDiff, word_diff
from inferry.pipeline.reporting.files import normalisation_of
from inferry.pipeline.reporting.views.view import Reader, Shown, View
from inferry.processing.audio import read
from inferry.report.media import Sound, encode_sound
from inferry.report.rows import Answer, Column, Figure, Layout, Mark, Piece

_RATE: Final = 16_000

LAYOUT: Final = Layout(
    facts=(Column("seconds", digits=2, unit=" s", folds=True),),
    figures=(Column("wrong", digits=0), Column("WER %", digits=1, folds=True)),
    answer="text",
    against="text against its reference",
    legend=(
        Piece("in the reference, not recognised", Mark.MISSING),
        Piece("recognised, not in the reference", Mark.EXTRA),
    ),
    order="most wrong words first",
    unscored="longest first",
    search="Search ids and texts",
    differ="texts differ",
)


def reader(run: Run) -> Reader:
    """Texts normalised as the run was scored, so that the page counts the same edits."""
    normalise = normalisation(normalisation_of(run))

    def show(row: Mapping[str, Any]) -> Shown:
        text, reference, seconds = str(row["text"]), row["reference"], row.get("seconds")
        facts = (None if seconds is None else float(seconds),)
        if reference is None:
            return Shown(facts, Answer(text, (Piece(text),) if text else ()))
        return Shown(facts, _scored(text, word_diff(normalise(reference), normalise(text))))

    return show


def _scored(text: str, diff: WordDiff) -> Answer:
    share = diff.edits / max(1, diff.words)
    figures = [Figure(diff.edits, f"{diff.edits:,} of {diff.words:,}")]
    if diff.words:
        figures.append(Figure(100.0 * share, f"{100.0 * share:.1f}"))
    said = f"{diff.edits:,} wrong of {diff.words:,} words"
    return Answer(text, tuple(_pieces(diff)), diff.edits, share, tuple(figures), said)


def _pieces(diff: WordDiff) -> Iterator[Piece]:
    for span in diff.spans:
        if span.reference == span.hypothesis:
            yield Piece(span.reference)
            continue
        if span.reference:
            yield Piece(span.reference, Mark.MISSING)
        if span.hypothesis:
            yield Piece(span.hypothesis, Mark.EXTRA)


def media(source: Source, _: tuple[Box, ...]) -> Sound:
    """The sample's sound.

    Raises:
        SampleError: It cannot be read.
    """
    return encode_sound(read(source, _RATE), _RATE)


VIEW: Final = View(
    layout=LAYOUT,
    headline=("WER", "CER"),
    scale="Error rates in percent, less is better",
    silent=frozenset(),
    cards=12,
    reader=reader,
    medium="sound",
    media=media,
    gone="No sound can be played",
)
