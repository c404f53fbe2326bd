"""``inferry evaluate``."""

from typing import Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Json, RunArgument
from inferry.metrics.scores import ErrorRate
from inferry.pipeline.evaluate import Evaluation

EXAMPLE: Final = "inferry evaluate run/"
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


def show_evaluation(evaluation: Evaluation) -> None:
    """Rates with their intervals and counts, what they cover, and their signature."""
    score = evaluation.score
    named = (
        ("WER", score.wer),
        ("CER (spaces counted)", score.cer),
        ("CER (without spaces)", score.cer_without_spaces),
    )
    rows = [(name, *_cells(rate)) for name, rate in named]
    columns = ("", ">%", "95 % interval", ">edits", ">sub", ">del", ">ins", ">of")
    console.out.print(console.table(*columns, rows=rows))
    accuracy = score.character_accuracy
    if accuracy is not None:
        console.out.print(f"character accuracy {accuracy:.2f} % (what older recipes print as wer or Acc)")
    console.out.print(
        f"{evaluation.scored:,} utterance{'' if evaluation.scored == 1 else 's'} scored,"
        f" {score.exact_matches:,} exactly right;"
        f" left out: {evaluation.without_reference:,} without a reference, {evaluation.quarantined:,} quarantined"
    )
    console.out.print(f"signature: {score.signature}")


def _cells(rate: ErrorRate) -> tuple[str, ...]:
    counts = (rate.edits, rate.substitutions, rate.deletions, rate.insertions, rate.reference_units)
    percent = "-" if rate.rate is None else f"{rate.rate:.2f}"
    interval = "-" if rate.low is None or rate.high is None else f"{rate.low:.2f} … {rate.high:.2f}"
    return (percent, interval, *(f"{count:,}" for count in counts))
