"""``inferry optimize``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Json
from inferry.core.errors import UsageError

if TYPE_CHECKING:
    from inferry.pipeline.optimising.ledger import Entry, Ledger

EXAMPLE: Final = "inferry optimize bundle/ --target ascend310p --output optimised/"
_SHOWN: Final = 3


@console.verb
def command(
    model: Annotated[Path, typer.Argument(help="A bundle's folder, or any ONNX file.", metavar="BUNDLE|MODEL.onnx")],
    output: Annotated[Path, typer.Option(help="Bundle to write, or ONNX file if the model is one.")],
    target: Annotated[str, typer.Option(help="What it is for: onnxruntime or ascend310p.")] = "onnxruntime",
    passes: Annotated[
        str | None,
        typer.Option(help="Names, separated by commas; default: those of the target. An unknown name lists all."),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Fix dynamic dimensions first, such as batch=1,samples=16000.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rewrite a graph, pass by pass; one that changes an answer is rolled back and named (exit code 1)."""
    with console.all_or_nothing():
        from inferry.pipeline.optimize import optimize

        chosen = None if passes is None else [name.strip() for name in passes.split(",")]
        ledger = optimize(model, output, chosen, target, sizes=_sizes(sizes))
    if as_json:
        console.print_json(ledger.to_json())
    else:
        _show(ledger)
    if not ledger.ok:
        raise typer.Exit(console.EXIT_FAILED)


def _sizes(text: str | None) -> dict[str, int]:
    """Sizes by the name of their dimension.

    Raises:
        UsageError: It is no list of ``name=number``, or a name stands twice.
    """
    sizes: dict[str, int] = {}
    for part in [] if text is None else text.split(","):
        name, _, number = (piece.strip() for piece in part.rpartition("="))
        if not name or not number.isdecimal() or name in sizes:
            raise UsageError(f"--sizes names each dimension once, such as batch=1,samples=16000; found {part!r}")
        sizes[name] = int(number)
    return sizes


def _show(ledger: "Ledger") -> None:
    """A line a pass, what was declined and why, and what it was proven on."""
    rows = [_row(entry) for entry in ledger.entries]
    console.out.print(console.table("pass", ">matches", ">declined", ">nodes", ">difference", "", rows=rows))
    for entry in ledger.entries:
        for reason, count in list(entry.reasons.items())[:_SHOWN]:
            console.out.print(f"{entry.name} declined {count}: {console.escape(reason)}")
        more = len(entry.reasons) - _SHOWN
        if more > 0:
            rest = "1 more reason (--json has it)" if more == 1 else f"{more} more reasons (--json has them)"
            console.out.print(f"{entry.name} declined for {rest}")
    for entry in ledger.rolled_back:
        _show_failure(entry)
    for problem in ledger.problems:
        console.out.print(f"[bold red]{ledger.target} would refuse it:[/] {console.escape(problem)}")
    console.out.print(f"proven on inputs of these sizes: {console.escape(_listed(ledger.cases))}")
    if ledger.skipped:
        sizes = console.escape(_listed(tuple(ledger.skipped)))
        console.out.print(f"[yellow]the model itself does not run at:[/] {sizes} (--json has the reasons)")
    if ledger.left_out:
        console.out.print(f"[yellow]not used:[/] {ledger.left_out} of the family's probes, too large for these sizes")
    for hop in ledger.hops:
        ties = f", {hop.near_ties} near ties not counted" if hop.near_ties else ""
        said = f"the old bundle's for {hop.samples} probes, greatest difference {hop.max_abs:.1e}{ties}"
        console.out.print(f"answers of the new bundle, {hop.name}: {said}")
    for file in ledger.untouched:
        console.out.print(f"[yellow]not rewritten:[/] {file} is as it was; passes see the bundle's main graph")
    name = console.escape(str(ledger.output))
    console.out.print(f"{name}: greatest difference {ledger.difference:.1e} of an output's scale")


def _show_failure(entry: "Entry") -> None:
    """What broke, and where a developer finds it."""
    place = f" at the node {entry.node}" if entry.node else ""
    console.out.print(f"[bold red]rolled back:[/] {entry.name}{console.escape(place)}: {console.escape(entry.problem)}")
    if entry.failure is not None:
        part = f"a part of {entry.failure.nodes} node{'' if entry.failure.nodes == 1 else 's'} that shows it"
        what = f"the whole model, for {entry.failure.whole}" if entry.failure.whole else part
        console.out.print(f"kept in {console.escape(str(entry.failure.folder))}: {console.escape(what)}")


def _row(entry: "Entry") -> tuple[str, ...]:
    difference = "-" if entry.difference is None else f"{entry.difference:.1e}"
    nodes = str(entry.nodes_before) if entry.result != "kept" else f"{entry.nodes_before} → {entry.nodes_after}"
    result = "unchanged" if entry.result == "nothing to change" else entry.result
    return (entry.name, str(entry.matches), str(len(entry.declined)), nodes, difference, result)


def _listed(cases: Sequence[str]) -> str:
    return "; ".join(cases) or "fixed"
