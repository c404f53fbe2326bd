"""``inferry pack``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.ascend.pack_script import INPUTS, RESULTS
from inferry.cli import console
from inferry.cli.options import BundleArgument, Data, Json, Layout, Limit, MaxSeconds, Plan, Strict, Workers
from inferry.cli.shapes import BatchSizes, Sizes, job_options
from inferry.core.protocols import MAX_SECONDS
from inferry.report.captions import readable

if TYPE_CHECKING:
    from inferry.pipeline.pack import Pack

EXAMPLE: Final = "inferry pack bundle/ --data folder-of-audio/ --soc Ascend310P3 --batch-sizes 1,4 --output pack.tar.gz"
_MEGABYTE: Final = 1e6


@console.verb
def command(
    bundle: BundleArgument,
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder to write, or an archive: NAME.tar, NAME.tar.gz or NAME.tgz.")],
    target: Annotated[str, typer.Option(help="What the graph is rewritten for first; see `inferry optimize`.")] = (
        "ascend310p"
    ),
    no_optimize: Annotated[bool, typer.Option("--no-optimize", help="Pack the graph as it is.")] = False,
    soc: Annotated[str, typer.Option(help="The chip: Ascend and the name that `npu-smi info` prints.")] = "Ascend310P3",
    precision: Annotated[str, typer.Option(help="fp32 (as the graph stands), fp16 or mixed.")] = "fp32",
    plan: Plan = None,
    sizes: Sizes = None,
    batch_sizes: BatchSizes = None,
    fp16_inputs: Annotated[
        bool, typer.Option("--fp16-inputs", help="The model takes its float inputs in half precision.")
    ] = False,
    aipp: Annotated[bool, typer.Option("--aipp", help="The model normalises uint8 pictures itself.")] = False,
    limit: Limit = None,
    layout: Layout = None,
    max_seconds: MaxSeconds = MAX_SECONDS,
    workers: Workers = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Everything to compile and run a data set on a machine that has CANN and nothing of Inferry.

    `sh run.sh` there makes the results that `inferry postprocess` reads here.
    """
    with console.all_or_nothing():
        from inferry.pipeline.pack import PackOptions, pack

        data_options = {"limit": limit, "kind": layout, "max_seconds": max_seconds, "workers": workers}
        job = job_options(plan, sizes, batch_sizes, **data_options, fp16_inputs=fp16_inputs, aipp=aipp)
        options = PackOptions(soc, None if no_optimize else target, precision, job)
        with console.progress_bar(quiet=as_json) as progress:
            made = pack(bundle, data, output, options, progress)
    if as_json:
        console.print_json(made.to_json())
    else:
        _show(made, bundle)
    if strict and made.job.counts["quarantined"]:
        raise typer.Exit(console.EXIT_FAILED)


def _show(made: "Pack", bundle: Path) -> None:
    from inferry.pipeline.jobs.folder import SAMPLES

    counts, path = made.job.counts, console.escape(readable(made.path))
    console.out.print(
        f"{path}: {counts['samples']:,} samples, {counts['quarantined']:,} quarantined, "
        f"{made.bytes / _MEGABYTE:,.1f} MB"
    )
    if counts["quarantined"]:
        console.out.print(f"  the reasons are in {console.escape(readable(made.folder / INPUTS / SAMPLES))}")
    rows = [(unit.stem, run.name, " ".join(run.options) or "static") for unit in made.units for run in unit.runs]
    console.out.print(console.table("om", "run", "ais_bench is told", rows=rows))
    drift = made.compilation.drift
    for note in (*(drift.lines if drift else ()), *made.compilation.notes):
        console.out.print(console.escape(note))
    console.out.print(
        "Nothing was compiled here. On the NPU's machine run: sh run.sh; then, with what comes back, here:\n"
        f"{console.escape(_way_back(made, bundle))}"
    )


def _way_back(made: "Pack", bundle: Path) -> str:
    """What makes a run of the results, for a shell; of an archive the inputs are needed here as well."""
    words = ["postprocess", str(bundle), "--job", str(made.folder / INPUTS), "--outputs", RESULTS, "--output", "RUN"]
    command = shlex.join(["inferry", *words])
    if made.folder == made.path:
        return command
    return f"{shlex.join(['tar', '-C', str(made.path.parent), '-xf', str(made.path)])} && {command}"
