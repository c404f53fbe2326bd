"""``inferry plan``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Backend, BatchSize, BundleArgument, Data, Json, Limit, MaxSeconds, Precision, Threads
from inferry.core.protocols import MAX_SECONDS
from inferry.report.captions import readable

if TYPE_CHECKING:
    from inferry.pipeline.plan import Planned

EXAMPLE: Final = "inferry plan bundle/ --data folder-of-audio/ --shapes 4 --output plan.json"
_BINS = 12
_BAR = 40


@console.verb
def command(
    bundle: BundleArgument,
    data: Data,
    shapes: Annotated[int | None, typer.Option(min=1, help="Most shapes; default: every length its own.")] = None,
    batch_size: BatchSize = None,
    output: Annotated[Path | None, typer.Option(help="Write the plan file, for `inferry infer --plan`.")] = None,
    backend: Backend = "onnxruntime",
    precision: Precision = "fp32",
    threads: Threads = None,
    limit: Limit = None,
    max_seconds: MaxSeconds = MAX_SECONDS,
    as_json: Json = False,
) -> None:
    """The shape plan of a data set, and what it saves."""
    from inferry.pipeline.plan import plan
    from inferry.planning.make import write_plan

    planned = plan(
        bundle,
        data,
        shapes=shapes,
        batch_size=batch_size,
        backend=backend,
        precision=precision,
        threads=threads,
        limit=limit,
        max_seconds=max_seconds,
    )
    if as_json:
        console.print_json(
            {
                "plan": planned.plan.to_json(),
                "file_order_ratio": planned.file_order_ratio,
                "measurements": None if planned.choice is None else planned.choice.to_json(),
                "cut": planned.cut,
                "rejected": [row.to_json() for row in planned.rejected],
            }
        )
    else:
        _show(planned)
    if output is None:
        return
    # Last: what was measured is on the screen even if it cannot be written.
    write_plan(planned.plan, output)
    if not as_json:
        console.out.print(f"written: {console.escape(readable(output))}")


def _show(planned: "Planned") -> None:
    plan = planned.plan
    if plan.histogram.longest > 1:  # pictures have no length: every one is 1
        _show_lengths(planned)
    if plan.buckets:
        shapes = [(f"{b.length:,}", f"{b.count:,}", str(b.batch_size)) for b in plan.buckets]
        console.out.print(console.table(">bucket", ">count", ">batch size", rows=shapes))
    if planned.choice is not None:
        measured = [
            (
                str(m.batch_size),
                "-" if m.items_per_second is None else f"{m.items_per_second:.2f}",
                f"{m.gain:+.0%} ± {m.noise:.0%} against {m.against}",
                m.verdict,
            )
            for m in planned.choice.measurements
        ]
        console.out.print(console.table(">batch size", ">items/s", "gain", "", rows=measured))
    noun = "samples and windows" if planned.cut else "sample" if plan.count == 1 else "samples"
    if plan.histogram.shortest == plan.histogram.longest:
        saved = "all of one size: nothing is padded"
    else:
        saved = (
            f"padded to real: {plan.padded_to_real:.3f} (in file order {planned.file_order_ratio:.3f}, all padded to "
            f"the longest {plan.single_shape_ratio:.3f})"
        )
    console.out.print(f"{plan.count:,} {noun}, batch size {plan.batch_size}; {saved}")
    if planned.cut:
        console.out.print(f"  {planned.cut:,} longer than --max-seconds, planned as windows")
    for row in planned.rejected:
        console.out.print(f"[yellow]rejected:[/] {console.escape(row.id)}: {row.stage}: {console.escape(row.reason)}")


def _show_lengths(planned: "Planned") -> None:
    bins = planned.histogram.bins(_BINS)
    most = max(bin_.count for bin_ in bins)
    rows = [(f"{bin_.low:,}-{bin_.high:,}", f"{bin_.count:,}", "█" * round(_BAR * bin_.count / most)) for bin_ in bins]
    console.out.print(console.table(f">{planned.plan.axis}", ">count", "", rows=rows))
