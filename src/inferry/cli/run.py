"""``inferry run``."""

from typing import TYPE_CHECKING, Any, Final

import typer

from inferry.cli import console
from inferry.cli.decoding import decoding_of
from inferry.cli.evaluate import show_evaluation
from inferry.cli.export import show_export
from inferry.cli.infer import exit_if_quarantined, show_run
from inferry.cli.options import (
    Alpha,
    Backend,
    BatchSize,
    Beam,
    Beta,
    Checkpoint,
    Data,
    Detector,
    FamilyArgument,
    Hotword,
    HotwordWeight,
    ImageSize,
    Json,
    LanguageModel,
    Layout,
    Limit,
    MaxSeconds,
    NoReference,
    Output,
    Plan,
    Precision,
    Strict,
    Threads,
    Tokenizer,
    Workers,
)
from inferry.core.bundle import Bundle
from inferry.core.protocols import MAX_SECONDS, Decoding, ExportOptions
from inferry.report.captions import readable

if TYPE_CHECKING:
    from inferry.pipeline.export import Export
    from inferry.pipeline.run import Outcome

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
    max_seconds: MaxSeconds = MAX_SECONDS,
    beam: Beam = None,
    lm: LanguageModel = None,
    alpha: Alpha = Decoding.alpha,
    beta: Beta = Decoding.beta,
    hotword: Hotword = None,
    hotword_weight: HotwordWeight = Decoding.hotword_weight,
    image_size: ImageSize = None,
    tokenizer: Tokenizer = None,
    detector: Detector = None,
    no_reference: NoReference = False,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Export, plan, infer, evaluate and report; what is done already is not done again."""
    from inferry.pipeline.infer import Options
    from inferry.pipeline.run import run

    decoding = decoding_of(beam, lm, alpha, beta, hotword, hotword_weight)
    options = Options(backend, precision, threads, batch_size, plan, workers, limit, layout, decoding, max_seconds)
    choices = ExportOptions(image_size, tokenizer, detector)
    reference, tell = not no_reference, None if as_json else _show_bundle
    with console.progress_bar(quiet=as_json) as bar:
        made = run(
            family, checkpoint, data, output, options, choices=choices, reference=reference, progress=bar, exported=tell
        )
    if as_json:
        console.print_json(_to_json(made))
    else:
        _show(made)
    exit_if_quarantined(made.run, strict=strict)
    if made.failed:
        raise typer.Exit(console.EXIT_FAILED)


def _to_json(made: "Outcome") -> dict[str, Any]:
    metrics = None if made.evaluation is None else made.evaluation.to_json(rows=False)
    ending = {"metrics": metrics, "unscored": made.unscored or None, "report": str(made.report)}
    return {"run": str(made.run.path), **made.run.info, **ending}


def _show_bundle(made: "Export | None", bundle: Bundle) -> None:
    if made is None:
        console.out.print(f"{console.escape(readable(bundle.path))}: exported before from the same weights")
    else:
        show_export(made)


def _show(outcome: "Outcome") -> None:
    show_run(outcome.run)
    if outcome.evaluation is not None:
        show_evaluation(outcome.evaluation)
    else:
        console.out.print(f"[bold yellow]not scored:[/] {console.escape(outcome.unscored)}")
    console.out.print(f"report: {console.escape(readable(outcome.report))}")
