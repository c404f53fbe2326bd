"""``inferry run``."""

from typing import Final

from inferry.cli import console
from inferry.cli.evaluate import show_evaluation
from inferry.cli.export import show_export
from inferry.cli.infer import exit_if_quarantined, show_run
from inferry.cli.options import (
    Backend,
    BatchSize,
    Checkpoint,
    Data,
    FamilyArgument,
    Json,
    Layout,
    Limit,
    NoReference,
    Output,
    Plan,
    Precision,
    Strict,
    Threads,
    Workers,
)
from inferry.core.bundle import Bundle
from inferry.pipeline.export import Export

EXAMPLE: Final = "inferry run wav2vec2 --checkpoint wav2vec2-base-960h/ --data LibriSpeech/test-clean --output run/"


@console.verb
def command(
    family: FamilyArgument,
    checkpoint: Checkpoint,
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
    no_reference: NoReference = False,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Export, plan, infer and evaluate; what is done already is not done again."""
    from inferry.pipeline.infer import Options
    from inferry.pipeline.run import run

    def exported(made: Export | None, bundle: Bundle) -> None:
        if as_json:
            return
        if made is None:
            console.out.print(f"{bundle.path}: exported before from the same weights")
        else:
            show_export(made)

    options = Options(backend, precision, threads, batch_size, plan, workers, limit, layout)
    with console.progress_bar(quiet=as_json) as progress:
        outcome = run(
            family,
            checkpoint,
            data,
            output,
            options,
            reference=not no_reference,
            progress=progress,
            exported=exported,
        )
    if as_json:
        metrics = None if outcome.evaluation is None else outcome.evaluation.to_json(rows=False)
        console.print_json({"run": str(outcome.run.path), **outcome.run.info, "metrics": metrics})
    else:
        show_run(outcome.run)
        if outcome.evaluation is not None:
            show_evaluation(outcome.evaluation)
        else:
            console.out.print(f"[bold yellow]not scored:[/] {console.escape(outcome.unscored)}")
    exit_if_quarantined(outcome.run, strict=strict)
