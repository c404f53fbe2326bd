"""``make demo``: the whole way from checkpoint to scored transcripts, for every family, on data that the project ships.

Needs neither network nor anything outside the repository. Ends with the table of results, the path of the runs and a
page that shows them side by side.
"""

import argparse
import shutil
import sys
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from inferry.core.errors import InferryError
from inferry.core.machine import signature
from inferry.pipeline.evaluate import Evaluation
from inferry.pipeline.report import COMPARISON, report
from inferry.pipeline.run import Outcome, run

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "speech"
CLIPS = EXAMPLES / "clips" / "demo-clean"
CHECKPOINTS = {family: EXAMPLES / family for family in ("wav2vec2", "data2vec-audio", "deepspeech2")}
_SHOWN = 3


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
    for family, checkpoint in CHECKPOINTS.items():
        console.print(
            f"[bold]inferry run {family} --checkpoint {checkpoint} --data {CLIPS} --output {output / family}[/]"
        )
        shutil.rmtree(output / family, ignore_errors=True)
        start = perf_counter()
        try:
            outcome = run(family, checkpoint, CLIPS, output / family)
        except InferryError as error:
            console.print(f"[bold red]{family} failed:[/] {error}")
            failed = True
            continue
        for row, _ in zip(outcome.run.rows(), range(_SHOWN), strict=False):
            console.print(f"  {row['id']}: {row['text']}")
        table.add_row(family, *_cells(outcome, perf_counter() - start))
    console.print(table)
    console.print("; ".join(f"{name} {value}" for name, value in signature().items()))
    console.print(f"Runs: {output.absolute()} (report.html, predictions.jsonl, metrics.json and bundle/ in each)")
    if not failed:
        page = report([output / family for family in CHECKPOINTS], output / COMPARISON)
        console.print(f"All side by side, in any browser: {page.absolute()}")
    return int(failed)


def _table() -> Table:
    table = Table(
        title="What came out (parity: greatest logit difference to the original)", title_justify="left", box=None
    )
    table.add_column("family", no_wrap=True)
    for column in ("clips", "exact", "WER %", "95 % interval", "CER %", "parity", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _cells(outcome: Outcome, seconds: float) -> tuple[str, ...]:
    evaluation = outcome.evaluation
    assert isinstance(evaluation, Evaluation), "the demo's clips have transcripts"
    assert outcome.export is not None, "the demo starts from nothing"
    wer, cer = evaluation.score.wer, evaluation.score.cer
    compared = outcome.export.parity.original_compared
    worst = max(hop.max_abs for hop in outcome.export.parity.hops)
    return (
        str(evaluation.scored),
        str(evaluation.score.exact_matches),
        f"{wer.rate:.2f}",
        f"{wer.low:.2f} … {wer.high:.2f}",
        f"{cer.rate:.2f}",
        f"{worst:.1e}" if compared else "not compared",
        f"{seconds:.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
