"""``inferry infer``."""

from typing import Final

import typer

from inferry.cli import console
from inferry.cli.decoding import decoding_of
from inferry.cli.options import (
    Alpha,
    Backend,
    BatchSize,
    Beam,
    Beta,
    BundleArgument,
    Data,
    Hotword,
    HotwordWeight,
    Json,
    LanguageModel,
    Layout,
    Limit,
    MaxSeconds,
    Output,
    Plan,
    Precision,
    Strict,
    Threads,
    Workers,
)
from inferry.core.protocols import MAX_SECONDS, Decoding
from inferry.core.runs import ERRORS, Run
from inferry.report.captions import readable

EXAMPLE: Final = "inferry infer bundle/ --data folder-of-audio/ --output run/"
_SHOWN = 5


@console.verb
def command(
    bundle: BundleArgument,
    data: Data,
    output: Output,
    backend: Backend = "onnxruntime",
    precision: Precision = "fp32",
    threads: Threads = None,
    batch_size: BatchSize = None,
    plan: Plan = None,
    workers: Workers = None,
    limit: Limit = None,
    layout: Layout = None,
    max_seconds: MaxSeconds = MAX_SECONDS,
    beam: Beam = None,
    lm: LanguageModel = None,
    alpha: Alpha = Decoding.alpha,
    beta: Beta = Decoding.beta,
    hotword: Hotword = None,
    hotword_weight: HotwordWeight = Decoding.hotword_weight,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Run a data set through a bundle; an interrupted run goes on where it stopped."""
    from inferry.pipeline.infer import Options, infer, require_predictions

    decoding = decoding_of(beam, lm, alpha, beta, hotword, hotword_weight)
    options = Options(backend, precision, threads, batch_size, plan, workers, limit, layout, decoding, max_seconds)
    with console.progress_bar(quiet=as_json) as progress:
        run = infer(bundle, data, output, options, progress)
    if as_json:
        console.print_json({"run": str(run.path), **run.info})
    else:
        show_run(run)
    require_predictions(run)
    exit_if_quarantined(run, strict=strict)


def show_run(run: Run) -> None:
    """Counts and the first quarantine lines."""
    info = run.info
    console.out.print(
        f"{console.escape(readable(run.path))}: {info['predictions']:,} of {info['samples']:,} samples answered,"
        f" {info['quarantined']:,} quarantined"
    )
    if info["cut"]:
        console.out.print(f"  {info['cut']:,} longer than {info['config']['max_seconds']:g} s, joined from windows")
    for count, row in enumerate(run.rows(ERRORS)):
        if count == _SHOWN:
            console.out.print(f"  … all {info['quarantined']:,} in {console.escape(readable(run.path / ERRORS))}")
            break
        console.out.print(f"  [yellow]{console.escape(row['id'])}[/]: {row['stage']}: {console.escape(row['reason'])}")


def exit_if_quarantined(run: Run, *, strict: bool) -> None:
    """With ``--strict`` a quarantined sample is a failed check."""
    if strict and run.info["quarantined"]:
        raise typer.Exit(console.EXIT_FAILED)
