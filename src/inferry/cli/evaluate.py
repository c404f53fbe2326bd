"""``inferry evaluate``."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Json, RunArgument

if TYPE_CHECKING:
    from inferry.pipeline.evaluate import Evaluation

EXAMPLE: Final = "inferry evaluate run/"
_SHOWN: Final = 5
Normalisation = Annotated[
    str, typer.Option(help="none: compare as they are. upper: upper case, no punctuation but apostrophes.")
]


@console.verb
def command(run: RunArgument, normalisation: Normalisation = "none", as_json: Json = False) -> None:
    """Score a run against the references of its data set."""
    from inferry.pipeline.evaluate import evaluate

    evaluation = evaluate(run, normalisation)
    if as_json:
        console.print_json(evaluation.to_json())
    else:
        show_evaluation(evaluation)


def show_evaluation(evaluation: "Evaluation") -> None:
    """Figures with their intervals and counts, what they cover, and their signature."""
    score = evaluation.score
    rows = [
        (rate.name, "-" if rate.percent is None else f"{rate.percent:.2f}", rate.interval, rate.counted)
        for rate in score.rates
    ]
    console.out.print(console.table("", ">%", "95 % interval", "counted", rows=rows))
    for remark in score.remarks:
        console.out.print(f"[bold yellow]note:[/] {console.escape(remark)}")
    noun = evaluation.task.noun
    console.out.print(
        f"{evaluation.scored:,} {noun}{'' if evaluation.scored == 1 else 's'} scored,"
        f" {score.exact:,} exactly right;"
        f" left out: {evaluation.without_reference:,} without a reference, {evaluation.quarantined:,} quarantined"
    )
    console.out.print(f"signature: {score.rates[0].signature}")
    _show_breakdowns(evaluation)


def _show_breakdowns(evaluation: "Evaluation") -> None:
    """The first lines of the report's tables below the figures."""
    from inferry.pipeline.reporting.views.registry import VIEWS

    for one in VIEWS[evaluation.task.name].breakdowns(evaluation.score.to_json(rows=False)):
        first = "" if len(one.rows) <= _SHOWN else f", the first {_SHOWN}; more in the report"
        console.out.print()
        console.out.print(console.table(*one.columns, rows=one.rows[:_SHOWN], title=f"{one.title}{first}"))
