"""``inferry export``."""

from typing import TYPE_CHECKING, Final

import typer

from inferry.cli import console
from inferry.cli.options import Checkpoint, Detector, FamilyArgument, ImageSize, Json, NoReference, Output, Tokenizer
from inferry.core.bundle import Bundle
from inferry.core.protocols import ExportOptions
from inferry.report.captions import readable

if TYPE_CHECKING:
    from inferry.pipeline.export import Export
    from inferry.pipeline.parity import ParityReport

EXAMPLE: Final = "inferry export wav2vec2 --checkpoint wav2vec2-base-960h/ --output bundle/"


@console.verb
def command(
    family: FamilyArgument,
    checkpoint: Checkpoint,
    output: Output,
    image_size: ImageSize = None,
    tokenizer: Tokenizer = None,
    detector: Detector = None,
    no_reference: NoReference = False,
    as_json: Json = False,
) -> None:
    """Write a verified bundle from a trained checkpoint."""
    from inferry.pipeline.export import export_with_report

    options = ExportOptions(image_size, tokenizer, detector)
    try:
        made = export_with_report(family, checkpoint, output, options, reference=not no_reference)
    except KeyboardInterrupt as error:
        # Unlike a run, the same command begins again.
        console.err.print("interrupted; no bundle was written")
        raise typer.Exit(console.EXIT_INTERRUPTED) from error
    if as_json:
        console.print_json(
            {
                "bundle": str(made.bundle.path),
                "digest": made.bundle.digest,
                "bytes": made.bundle.size,
                "nodes": made.nodes,
                "seconds": made.seconds,
                "notes": list(made.bundle.manifest.notes),
                "parity": made.parity.to_json(),
            }
        )
    else:
        show_export(made)


def show_export(made: "Export") -> None:
    """The bundle, the reader's notes, and the hops."""
    bundle = made.bundle
    size, opset = bundle.size / 1e6, bundle.manifest.opset
    name = console.escape(readable(bundle.path))
    console.out.print(f"{name}: {made.nodes} nodes, {size:.1f} MB, opset {opset}, {made.seconds:.1f} s")
    show_notes(bundle)
    show_parity(made.parity)


def show_notes(bundle: Bundle) -> None:
    """What the reader decided."""
    for note in bundle.manifest.notes:
        console.out.print(f"note: {console.escape(note)}")


def show_parity(parity: "ParityReport") -> None:
    """A line a hop, and plainly what was not compared."""
    rows = []
    for hop in parity.hops:
        if hop.skipped:
            rows.append((hop.name, "", "", "", "not compared"))
            continue
        numbers = (f"{hop.max_abs:.1e}", f"{hop.tolerance:.0e}", f"{hop.answers_changed} of {hop.samples}")
        rows.append((hop.name, *numbers, "ok" if hop.passed else "BROKEN"))
    console.out.print(console.table("hop", ">max |d|", ">tolerance", ">answers changed", "", rows=rows))
    for hop in parity.hops:
        if hop.skipped:
            console.out.print(f"[bold yellow]not compared:[/] {hop.name}: {console.escape(hop.skipped)}")
