"""Answers to questions about pictures beside those of people, with thumbnails."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from inferry.core.errors import SampleError
from inferry.core.runs import Run
from inferry.core.samples import Box, Question, Source
from inferry.metrics.vqa import labels_of, leave_one_out
from inferry.pipeline.reporting.views.ranked import SPEECH_SETTINGS, best_of, unscored
from inferry.pipeline.reporting.views.view import Reader, Shown, View
from inferry.pipeline.tasks.questions import ANSWERS
from inferry.processing.answers import normalise_answer
from inferry.processing.images import open_rgb
from inferry.report.media import Thumbnail, encode_picture
from inferry.report.rows import Answer, Column, Figure, Layout, Mark, Piece

_REMEMBERED: Final = 1 << 16
"""Answers whose normal form is kept: most questions have few different ones, and all have many of the same."""

LAYOUT: Final = Layout(
    facts=(Column("question", heads=True), Column("people's answers", folds=True)),
    figures=(Column("VQA score", digits=1), Column("official", digits=1, folds=True)),
    answer="answer",
    against="answer",
    legend=(Piece("an answer that people gave", Mark.RIGHT), Piece("one that nobody gave", Mark.WRONG)),
    order="the lowest VQA score first",
    unscored="in the order of the data set",
    search="Search ids, questions and answers",
    differ="answers differ",
)


def reader(run: Run) -> Reader:
    """Answers scored as in metrics.json; a run without its answers.txt knows the answers that it gave only."""
    normalise = lru_cache(_REMEMBERED)(normalise_answer)
    text = run.text(ANSWERS)
    lines = () if text is None else text.removesuffix("\n").split("\n")
    index_of = {answer: index for index, answer in enumerate(lines)}

    def show(row: Mapping[str, Any]) -> Shown:
        best, people = best_of(row), row["reference"]
        regions = tuple((left, top, right, bottom) for left, top, right, bottom in row.get("regions", ()))
        if not isinstance(people, list):
            return Shown((None, people), unscored(best), regions)
        labels = labels_of(people, index_of or {label: index for index, label in best}, normalise)
        weights: dict[int, float] = {}
        for index, weight in zip(labels.indices, labels.weights, strict=True):
            weights[index] = weights.get(index, 0.0) + weight
        official = leave_one_out(best[0][1], people, normalise)
        return Shown((None, _people(people)), _scored(best, weights, official), regions)

    return show


def _scored(best: Sequence[tuple[int, str]], weights: Mapping[int, float], official: float) -> Answer:
    marked = [Piece(label, Mark.RIGHT if weights.get(index) else Mark.WRONG) for index, label in best]
    score = weights.get(best[0][0], 0.0)
    figures = tuple(Figure(100.0 * one, f"{100.0 * one:.1f}") for one in (score, official))
    others = tuple(piece if piece.mark == Mark.RIGHT else Piece(piece.text) for piece in marked[1:])
    said = "VQA score {}\N{NO-BREAK SPACE}%, official {}\N{NO-BREAK SPACE}%".format(*(one.text for one in figures))
    return Answer(marked[0].text, (marked[0],), max(0.0, 1.0 - score), 1.0 - official, figures, said, others)


def _people(answers: Sequence[str]) -> str:
    """The most frequent first, each with the number of people where it is not one."""
    counted = Counter(answers).most_common()
    return ", ".join(answer if people == 1 else f"{answer}\N{NO-BREAK SPACE}({people})" for answer, people in counted)


def media(source: Source, regions: tuple[Box, ...]) -> Thumbnail:
    """The picture that is asked about, small, with the regions that were looked at.

    Raises:
        SampleError: There is none, or it cannot be read.
    """
    if not isinstance(source, Question) or source.image is None:
        raise SampleError("read", "it was asked about ready-made regions, without a picture")
    return replace(encode_picture(open_rgb(source.image)), regions=regions)


def asked(source: Source) -> str | None:
    """The text of the question."""
    return source.text if isinstance(source, Question) else None


VIEW: Final = View(
    layout=LAYOUT,
    headline=("VQA score", "VQA accuracy (official)"),
    scale="Accuracies in percent, more is better",
    silent=SPEECH_SETTINGS,
    cards=24,
    reader=reader,
    medium="picture",
    media=media,
    gone="Neither questions nor pictures can be shown",
    asked=asked,
)
