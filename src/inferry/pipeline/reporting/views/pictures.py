"""Classes of pictures against the right ones, with thumbnails; the classes and confusions that matter."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from inferry.core.runs import Run
from inferry.core.samples import Box, Source
from inferry.metrics.classification import parse_reference
from inferry.pipeline.reporting.views.ranked import SPEECH_SETTINGS, best_of, unscored
from inferry.pipeline.reporting.views.view import Reader, Shown, View
from inferry.pipeline.tasks.classification import LABELS
from inferry.processing.images import open_rgb
from inferry.report.accuracy import Breakdown
from inferry.report.markup import count, decimal
from inferry.report.media import Thumbnail, encode_picture
from inferry.report.rows import Answer, Column, Figure, Layout, Mark, Piece

_WORST: Final = 20
"""Classes and confusions on the page."""

_ANY: Final = 1 << 31
"""Classes, where the run does not say how many the network has."""

LAYOUT: Final = Layout(
    facts=(Column("right class"),),
    figures=(Column("rank", digits=0),),
    answer="class given",
    against="class given",
    legend=(Piece("the right class", Mark.RIGHT), Piece("a wrong answer", Mark.WRONG)),
    order="the lowest rank of the right class first",
    unscored="in the order of the data set",
    search="Search ids and classes",
    differ="classes differ",
)


def reader(run: Run) -> Reader:
    """Classes under their names; a run without its labels.txt has their numbers."""
    text = run.text(LABELS)
    labels = None if text is None else text.removesuffix("\n").split("\n")

    def show(row: Mapping[str, Any]) -> Shown:
        best, reference = best_of(row), row["reference"]
        try:
            right = () if reference is None else parse_reference(reference, _ANY if labels is None else len(labels))
        except ValueError:  # none of this network's classes: the run could not be scored either
            return Shown((f"class {reference}",), unscored(best))
        if not right:
            return Shown((None,), unscored(best))
        names = (f"class {index}" if labels is None else labels[index] for index in right)
        return Shown((" | ".join(names),), _scored(best, right))

    return show


def _scored(best: Sequence[tuple[int, str]], right: Sequence[int]) -> Answer:
    rank = next((place for place, (index, _) in enumerate(best, 1) if index in right), None)
    first = Piece(best[0][1], Mark.RIGHT if rank == 1 else Mark.WRONG)
    others = tuple(Piece(label, Mark.RIGHT if index in right else Mark.SAME) for index, label in best[1:])
    last = len(best)
    figure = Figure(last + 1, f"> {last}") if rank is None else Figure(rank, str(rank))
    said = f"not among the best {last}" if rank is None else f"rank {rank} of the best {last}"
    return Answer(first.text, (first,), error=figure.value - 1, figures=(figure,), said=said, others=others)


def media(source: Source, _: tuple[Box, ...]) -> Thumbnail:
    """The picture, small.

    Raises:
        SampleError: It cannot be read.
    """
    return encode_picture(open_rgb(source))


def warnings(score: Mapping[str, Any]) -> tuple[str, ...]:
    """Labels that count the classes in another way than the network."""
    mix_up = score["mix_up"]
    return () if mix_up is None else (f"The labels seem to be numbered otherwise: {mix_up['reason']}.",)


def breakdowns(score: Mapping[str, Any]) -> tuple[Breakdown, ...]:
    """The classes that are recognised worst, and the most frequent confusions."""
    classes, confusions = score["classes"], score["confusions"]
    worst = sorted(
        (one for one in classes if one["top1"] < one["pictures"]), key=lambda one: one["top1"] / one["pictures"]
    )
    found = []
    if worst:
        found.append(_classes(worst, len(classes)))
    if confusions:
        # What happened once tells nothing beside what happened again.
        often = [one for one in confusions if one["pictures"] > 1] or confusions
        rows = [(one["label"], one["answer_label"], count(one["pictures"])) for one in often[:_WORST]]
        said = "The most frequent wrong answers."
        found.append(Breakdown("Confusions", ("right class", "class given", ">pictures"), tuple(rows), said))
    return tuple(found)


def _classes(worst: Sequence[Mapping[str, Any]], total: int) -> Breakdown:
    rows = tuple(
        (
            one["label"],
            count(one["pictures"]),
            *(decimal(100 * one[name] / one["pictures"], 1) for name in ("top1", "top5")),
        )
        for one in worst[:_WORST]
    )
    said = f"The lowest top-1 accuracy first: {len(rows):,} of {total:,} classes, {total - len(worst):,} have no error."
    return Breakdown("Worst classes", ("right class", ">pictures", ">top-1 %", ">top-5 %"), rows, said)


VIEW: Final = View(
    layout=LAYOUT,
    headline=("top-1", "top-5"),
    scale="Accuracies in percent, more is better",
    silent=SPEECH_SETTINGS,
    cards=24,
    reader=reader,
    medium="picture",
    media=media,
    gone="No picture can be shown",
    warnings=warnings,
    breakdowns=breakdowns,
)
