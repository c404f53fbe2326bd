"""``inferry compare``."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from inferry.cli import console
from inferry.cli.options import BundleArgument, Json, Layout
from inferry.core.protocols import ExportOptions

if TYPE_CHECKING:
    from inferry.pipeline.compare import Comparison
    from inferry.pipeline.comparison.hops import Figure, Hop

EXAMPLE: Final = "inferry compare bundle/ --checkpoint wav2vec2-base-960h/ --data folder-of-audio/"
_SHOWN = 5

Checkpoint = Annotated[
    str | None, typer.Option(help="The original: path of the checkpoint, or the name of a preset, which is fetched.")
]
Other = Annotated[Path | None, typer.Option("--bundle", help="Another bundle, to take as the truth.")]
Outputs = Annotated[Path | None, typer.Option(help="Folder of logits made elsewhere: <id>.npy or .npz a sample.")]
Data = Annotated[Path | None, typer.Option(help="Data set; default: the family's seeded probes.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Most samples, spread over the lengths; default: 32.")]
Output = Annotated[Path | None, typer.Option(help="Folder for parity.json; a run's folder, for its report.")]
Tokenizer = Annotated[str | None, typer.Option(help="Where it lies now, if not where it lay at export (vilbert-vqa).")]
Detector = Annotated[str | None, typer.Option(help="Likewise, the region detector's weights (vilbert-vqa).")]
NoReference = Annotated[
    bool, typer.Option("--no-reference", help="Leave out the original network; the ledger says so.")
]


@console.verb
def command(
    bundle: BundleArgument,
    checkpoint: Checkpoint = None,
    other: Other = None,
    outputs: Outputs = None,
    data: Data = None,
    limit: Limit = None,
    layout: Layout = None,
    output: Output = None,
    no_reference: NoReference = False,
    tokenizer: Tokenizer = None,
    detector: Detector = None,
    as_json: Json = False,
) -> None:
    """Compare a bundle with the original, hop by hop; name the node that changes the answer."""
    from inferry.pipeline.compare import Against, compare

    options = ExportOptions(tokenizer=tokenizer, detector=detector)
    against = Against(checkpoint, other, outputs, reference=not no_reference, options=options)
    try:
        comparison = compare(bundle, against, data=data, limit=limit, kind=layout, output=output)
    except KeyboardInterrupt as error:
        console.err.print("interrupted; nothing was written")
        raise typer.Exit(console.EXIT_INTERRUPTED) from error
    if as_json:
        console.print_json(comparison.to_json())
    else:
        show_comparison(comparison)
    if not comparison.passed:
        raise typer.Exit(console.EXIT_FAILED)


def show_comparison(comparison: "Comparison") -> None:
    """What was compared, the ledger, what was left out, and the fault's sentence."""
    compared = max(hop.samples for hop in comparison.hops)
    what = comparison.data or "the family's probes"
    console.out.print(f"{compared:,} of {comparison.available:,} samples of {console.escape(what)}")
    console.out.print(f"every hop against: {console.escape(comparison.truth)}; near ties count apart from answers")
    console.out.print(ledger(comparison.hops))
    for hop in comparison.hops:
        if hop.skipped:
            console.out.print(f"[bold yellow]not compared:[/] {hop.name}: {console.escape(hop.skipped)}")
    for note in comparison.notes:
        console.out.print(f"[yellow]note:[/] {console.escape(note)}")
    for one in comparison.left_out[:_SHOWN]:
        console.out.print(f"[yellow]left out:[/] {console.escape(one.id)}: {console.escape(one.reason)}")
    if len(comparison.left_out) > _SHOWN:
        console.out.print(f"  … {len(comparison.left_out):,} left out in all")
    if comparison.fault is not None:
        console.out.print(f"[bold red]broken:[/] {console.escape(comparison.fault.sentence)}")


def ledger(hops: Sequence["Hop"]) -> Table:
    """A column a hop, a line a measure; those of answers and frames only where they say anything."""
    compared = [hop for hop in hops if not hop.skipped]
    lines: list[tuple[str, Callable[[Hop], str]]] = [
        ("greatest difference", lambda hop: _small(hop.max_abs)),
        ("  added by this hop", lambda hop: _small(hop.added_max_abs)),
        ("mean difference", lambda hop: _small(hop.difference.mean_abs)),
        ("99.9th percentile", lambda hop: _small(hop.difference.p999_abs)),
        ("1 - cosine", lambda hop: _small(1 - hop.difference.cosine)),
        ("tolerance", lambda hop: _small(hop.tolerance)),
        ("  that just passes", lambda hop: _small(hop.difference.just_passes)),
    ]
    if any(hop.frames > hop.samples for hop in compared):
        lines.append(("frames changed", lambda hop: f"{hop.frames_changed:,} of {hop.frames:,}"))
    lines.append(("answers changed", lambda hop: f"{hop.answers_changed:,} of {hop.samples:,}"))
    lines.append(("  near ties", lambda hop: f"{hop.near_ties:,}"))
    lines += _figures(compared, lambda hop: hop.agreement)
    lines += _figures(compared, lambda hop: hop.accuracy)
    lines.append(("", lambda hop: "ok" if hop.passed else "BROKEN"))
    rows = [(name, *(cell(hop) for hop in compared)) for name, cell in lines]
    made = console.table("", *(f">{hop.name}" for hop in compared), rows=rows)
    # Four hops fit into 80 columns if their names are what is broken over lines.
    made.columns[0].no_wrap = True
    return made


def _figures(
    hops: Sequence["Hop"], figure: Callable[["Hop"], "Figure | None"]
) -> list[tuple[str, Callable[["Hop"], str]]]:
    """A line under the figure's own name; none where no hop has it."""
    names = [found.name for hop in hops if (found := figure(hop)) is not None]
    return [(name, lambda hop: _percent(figure(hop))) for name in names[:1]]


def _small(value: float | None) -> str:
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "not finite"
    return "0" if value == 0 else f"{value:.1e}"


def _percent(figure: "Figure | None") -> str:
    return "-" if figure is None else f"{figure.percent:.2f} %"
