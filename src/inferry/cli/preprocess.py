"""``inferry preprocess``."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from inferry.cli import console
from inferry.cli.options import BundleArgument, Data, Json, Layout, Limit, MaxSeconds, Output, Plan, Strict, Workers
from inferry.cli.shapes import BatchSizes, Sizes, job_options
from inferry.core.protocols import MAX_SECONDS
from inferry.core.samples import Rejected
from inferry.report.captions import readable

if TYPE_CHECKING:
    from inferry.pipeline.jobs.folder import Job

EXAMPLE: Final = "inferry preprocess bundle/ --data folder-of-audio/ --output job/"
_SHOWN: Final = 5


@console.verb
def command(
    bundle: BundleArgument,
    data: Data,
    output: Output,
    plan: Plan = None,
    sizes: Sizes = None,
    batch_sizes: BatchSizes = None,
    fp16_inputs: Annotated[
        bool, typer.Option("--fp16-inputs", help="For a model that takes its float inputs in half precision.")
    ] = False,
    aipp: Annotated[bool, typer.Option("--aipp", help="For a model that normalises uint8 pictures itself.")] = False,
    compiled: Annotated[
        str | None, typer.Option(help="Key of a compiled model of the bundle; it says shapes and types.")
    ] = None,
    limit: Limit = None,
    layout: Layout = None,
    max_seconds: MaxSeconds = MAX_SECONDS,
    workers: Workers = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Write a data set as the input files of ais_bench and msame, for `inferry postprocess` to read what they make.

    Shapes that neither --plan nor --sizes names come from the data. msame runs one file at a time (batch size 1).
    """
    with console.all_or_nothing():
        from inferry.pipeline.jobs.preprocess import preprocess

        data_options = {"limit": limit, "kind": layout, "max_seconds": max_seconds, "workers": workers}
        types = {"fp16_inputs": fp16_inputs, "aipp": aipp, "compiled": compiled}
        options = job_options(plan, sizes, batch_sizes, **data_options, **types)
        with console.progress_bar(quiet=as_json) as progress:
            job = preprocess(bundle, data, output, options, progress)
    if as_json:
        console.print_json({"job": str(job.folder), **job.to_json()})
    else:
        _show(job)
    if strict and job.counts["quarantined"]:
        raise typer.Exit(console.EXIT_FAILED)


def _show(job: "Job") -> None:
    counts = job.counts
    console.out.print(
        f"{console.escape(readable(job.folder))}: {counts['samples']:,} samples, {counts['pieces']:,} files an input,"
        f" {counts['answered']:,} answered without the network, {counts['quarantined']:,} quarantined"
    )
    if counts["cut"]:
        console.out.print(f"  {counts['cut']:,} longer than {job.config['max_seconds']:g} s, cut into windows")
    rows = [(part.folder, f"{part.files:,}", ", ".join(part.inputs), _outputs(job, part.folder)) for part in job.parts]
    console.out.print(console.table("folder", ">files", "inputs", "outputs go into", rows=rows))
    _show_quarantined(job)


def _outputs(job: "Job", folder: str) -> str:
    return ", ".join(run.name for run in job.runs if run.part.folder == folder)


def _show_quarantined(job: "Job") -> None:
    from inferry.pipeline.jobs.folder import SAMPLES, read_samples

    if not job.counts["quarantined"]:
        return
    bad: list[dict[str, Any]] = []
    for row in read_samples(job):
        if isinstance(row, Rejected):
            bad.append(row.to_json())
        if len(bad) == _SHOWN:
            break
    for one in bad:
        console.out.print(f"  [yellow]{console.escape(one['id'])}[/]: {one['stage']}: {console.escape(one['reason'])}")
    if job.counts["quarantined"] > _SHOWN:
        file = console.escape(readable(job.folder / SAMPLES))
        console.out.print(f"  … all {job.counts['quarantined']:,} in {file}")
