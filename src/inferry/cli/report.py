"""``inferry report``."""

from pathlib import Path
from typing import Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Json

EXAMPLE: Final = "inferry report run/"
Runs = Annotated[list[Path], typer.Argument(help="Folders of runs; several are laid side by side.", metavar="RUN…")]
File = Annotated[
    Path | None,
    typer.Option(
        "--output", help="File to write; default: report.html in the run, comparison.html in the first of several."
    ),
]


@console.verb
def command(runs: Runs, output: File = None, as_json: Json = False) -> None:
    """One HTML page, without a network: accuracy, parity, speed, and every sample with its errors."""
    from inferry.pipeline.report import report

    written = report(runs, output)
    size = written.stat().st_size
    if as_json:
        console.print_json({"report": str(written), "bytes": size, "runs": [str(run) for run in runs]})
    else:
        console.out.print(f"{console.escape(str(written))}: {size / 1e6:.2f} MB, open it in any browser")
