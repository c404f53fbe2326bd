"""``make demo``: the whole way from checkpoint to scored answers, for every family, on data that the project ships.

Needs neither network nor anything outside the repository. Ends with the table of results, the path of the runs and a
page that shows the speech families side by side.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from inferry.core.errors import InferryError
from inferry.core.machine import signature
from inferry.core.protocols import ExportOptions
from inferry.pipeline.report import COMPARISON, report
from inferry.pipeline.run import Outcome, run

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CLIPS = EXAMPLES / "speech" / "clips" / "demo-clean"
QUESTIONS = EXAMPLES / "questions"
_SHOWN = 3


@dataclass(frozen=True)
class Part:
    """One family's part of the demo.

    Attributes:
        checkpoint: Of the family.
        data: What it is run on.
        options: For the export.
    """

    checkpoint: Path
    data: Path
    options: ExportOptions = field(default_factory=ExportOptions)

    def command(self, family: str, output: Path) -> str:
        """The same in a shell."""
        options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in self.options.given.items())
        return f"inferry run {family} --checkpoint {self.checkpoint}{options} --data {self.data} --output {output}"


SPEECH = ("wav2vec2", "data2vec-audio", "deepspeech2")
PARTS = {
    **{family: Part(EXAMPLES / "speech" / family, CLIPS) for family in SPEECH},
    "beit": Part(EXAMPLES / "images" / "beit", EXAMPLES / "images" / "shapes"),
    "vilbert-vqa": Part(
        QUESTIONS / "vilbert-vqa" / "vilbert-vqa-demo.tar.gz",
        QUESTIONS / "scenes",
        ExportOptions(detector=str(QUESTIONS / "vilbert-vqa" / "detector.pth")),
    ),
}


def main() -> int:
    """Run every family and print the table; 1 if a family failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-run"),
        help="folder for the runs; those of an earlier demo are replaced",
    )
    output = parser.parse_args().output
    console = Console(highlight=False, soft_wrap=True)
    table = _table()
    failed = False
    for family, part in PARTS.items():
        console.print(f"[bold]{part.command(family, output / family)}[/]")
        shutil.rmtree(output / family, ignore_errors=True)
        start = perf_counter()
        try:
            outcome = run(family, part.checkpoint, part.data, output / family, choices=part.options)
        except InferryError as error:
            console.print(f"[bold red]{family} failed:[/] {error}")
            failed = True
            continue
        for row, _ in zip(outcome.run.rows(), range(_SHOWN), strict=False):
            console.print(f"  {row['id']}: {_answer(row)}", markup=False)
        table.add_row(family, *_cells(outcome, perf_counter() - start))
    console.print(table)
    console.print("; ".join(f"{name} {value}" for name, value in signature().items()))
    console.print(f"Runs: {output.absolute()} (report.html, predictions.jsonl, metrics.json and bundle/ in each)")
    if not failed:
        page = report([output / family for family in SPEECH], output / COMPARISON)
        console.print(f"The speech families side by side, in any browser: {page.absolute()}")
    return int(failed)


def _answer(row: dict[str, Any]) -> str:
    return str(next(row[name] for name in ("text", "label", "answer") if name in row))


def _table() -> Table:
    table = Table(
        title="What came out (parity: greatest logit difference to the original)", title_justify="left", box=None
    )
    table.add_column("family", no_wrap=True)
    table.add_column("exact", justify="right", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for column in ("%", "95 % interval", "parity", "s"):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _cells(outcome: Outcome, seconds: float) -> tuple[str, ...]:
    assert outcome.evaluation is not None, "the demo's samples have references"
    assert outcome.export is not None, "the demo starts from nothing"
    score = outcome.evaluation.score
    main_rate = score.rates[0]
    compared = outcome.export.parity.original_compared
    worst = max(hop.max_abs for hop in outcome.export.parity.hops)
    return (
        f"{score.exact} of {score.scored}",
        main_rate.name,
        f"{main_rate.percent:.2f}",
        main_rate.interval,
        f"{worst:.1e}" if compared else "not compared",
        f"{seconds:.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
