"""Checkpoint and data set to scored run and report: export, plan, infer, evaluate, report; cached and resumable."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inferry.core.bundle import PROCESSOR, Bundle, open_bundle
from inferry.core.errors import BundleError, RunError, UsageError
from inferry.core.files import to_json_text
from inferry.core.machine import package_version
from inferry.core.protocols import ExportOptions
from inferry.core.runs import Run
from inferry.models.registry import get_recipe, read_checkpoint
from inferry.pipeline.engine import Tally
from inferry.pipeline.evaluate import Evaluation, evaluate
from inferry.pipeline.export import Export, export_with_report, origin
from inferry.pipeline.infer import Options, infer, require_predictions
from inferry.pipeline.report import report

BUNDLE = "bundle"
"""Name of the bundle's folder inside a run that exported it."""


@dataclass(frozen=True)
class Outcome:
    """What `run` did.

    Attributes:
        run: The finished run.
        bundle: Inside the run's folder.
        export: Its export, None if the bundle was there already.
        evaluation: None if no sample has a reference; then `unscored` says so.
        report: The page that shows it all.
        unscored: Why there is no evaluation; empty otherwise.
        failed: There are references, and yet no evaluation.
    """

    run: Run
    bundle: Bundle
    export: Export | None
    evaluation: Evaluation | None
    report: Path
    unscored: str = ""
    failed: bool = False


def run(
    family: str,
    checkpoint: str | Path,
    data: str | Path,
    output: str | Path,
    options: Options | None = None,
    *,
    choices: ExportOptions | None = None,
    reference: bool = True,
    progress: Callable[[Tally], None] | None = None,
    exported: Callable[[Export | None, Bundle], None] | None = None,
) -> Outcome:
    """The whole way, taken up where an earlier call stopped.

    Args:
        family: Of the checkpoint.
        checkpoint: Path or preset name.
        data: The data set.
        output: The run's folder; the bundle goes into ``bundle/`` inside it.
        options: See `inferry.pipeline.infer.Options`.
        choices: As for `export`.
        reference: Likewise.
        progress: As for `infer`.
        exported: Called when the bundle is there.
    """
    target = Path(output) / BUNDLE
    choices = choices or ExportOptions()
    export = None
    bundle = _cached(family, checkpoint, target, choices)
    if bundle is None:
        export = export_with_report(family, checkpoint, target, choices, reference=reference)
        bundle = export.bundle
    if exported is not None:
        exported(export, bundle)
    finished = infer(target, data, output, options, progress)
    require_predictions(finished)
    evaluation, unscored = None, ""
    try:
        evaluation = evaluate(output)
    except RunError as error:
        unscored = str(error)
    # Nobody says what the samples are: no fault. Labels that cannot be used are one.
    failed = bool(unscored) and any(row["reference"] is not None for row in finished.rows())
    return Outcome(finished, bundle, export, evaluation, report(output), unscored, failed)


def _cached(family: str, checkpoint: str | Path, target: Path, choices: ExportOptions) -> Bundle | None:
    """The bundle of an earlier call, if this version wrote it from the same weights."""
    try:
        bundle = open_bundle(target)
    except (UsageError, BundleError):
        return None
    recipe = get_recipe(family)
    written = bundle.manifest
    if written.family != family or written.tools.get("inferry") != package_version("inferry"):
        return None
    trained = read_checkpoint(recipe, checkpoint, choices)
    same = written.checkpoint == origin(trained) and bundle.text_files() == dict(trained.files)
    # Through JSON, as the bundle holds it.
    return bundle if same and bundle.read_json(PROCESSOR) == json.loads(to_json_text(dict(trained.processor))) else None
