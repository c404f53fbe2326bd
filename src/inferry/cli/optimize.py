"""``inferry optimize``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Json

if TYPE_CHECKING:
    from inferry.pipeline.optimising.ledger import Entry, Ledger

EXAMPLE: Final = "inferry optimize model.onnx --target ascend310p --output optimised.onnx"
_SHOWN: Final = 3


@console.verb
def command(
    model: Annotated[Path, typer.Argument(help="Any ONNX file; a bundle's is model.onnx.", metavar="MODEL.onnx")],
    output: Annotated[Path, typer.Option(help="ONNX file to write.")],
    target: Annotated[str, typer.Option(help="What it is for: onnxruntime or ascend310p.")] = "onnxruntime",
    passes: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default: those of the target.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rewrite an ONNX file, pass by pass; one that changes an answer is rolled back and named (exit code 1)."""
    from inferry.pipeline.optimize import optimize

    try:
        ledger = optimize(model, output, None if passes is None else passes.split(","), target)
    except KeyboardInterrupt as error:
        console.err.print("interrupted; nothing was written")
        raise typer.Exit(console.EXIT_INTERRUPTED) from error
    if as_json:
        console.print_json(ledger.to_json())
    else:
        _show(ledger)
    if not ledger.ok:
        raise typer.Exit(console.EXIT_FAILED)


def _show(ledger: "Ledger") -> None:
    """A line a pass, what was declined and why, and what it was proven on."""
    rows = [_row(entry) for entry in ledger.entries]
    console.out.print(console.table("pass", ">matches", ">declined", ">nodes", ">difference", "", rows=rows))
    for entry in ledger.entries:
        for reason, count in list(entry.reasons.items())[:_SHOWN]:
            console.out.print(f"{entry.name} declined {count}: {console.escape(reason)}")
    for entry in ledger.rolled_back:
        place = f" at the node {entry.node}" if entry.node else ""
        console.out.print(
            f"[bold red]rolled back:[/] {entry.name}{console.escape(place)}: {console.escape(entry.problem)}"
        )
    for problem in ledger.problems:
        console.out.print(f"[bold red]{ledger.target} would refuse it:[/] {console.escape(problem)}")
    console.out.print(f"proven on inputs of these sizes: {console.escape(_listed(ledger.cases))}")
    if ledger.skipped:
        sizes = console.escape(_listed(tuple(ledger.skipped)))
        console.out.print(f"[yellow]the model itself does not run at:[/] {sizes} (--json has the reasons)")
    name = console.escape(str(ledger.output))
    console.out.print(f"{name}: greatest difference {ledger.difference:.1e} of an output's scale")


def _row(entry: "Entry") -> tuple[str, ...]:
    difference = "-" if entry.difference is None else f"{entry.difference:.1e}"
    nodes = f"{entry.nodes_before} → {entry.nodes_after}"
    return (entry.name, str(entry.matches), str(len(entry.declined)), nodes, difference, entry.result)


def _listed(cases: Sequence[str]) -> str:
    return "; ".join(cases) or "fixed"
