"""Data set to run: every sample gets its prediction or its quarantine line."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from inferry.core.bundle import Bundle, open_bundle
from inferry.core.errors import RunError, UsageError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.machine import available_threads, signature
from inferry.core.protocols import SessionOptions
from inferry.core.runs import ERRORS, TIMINGS, Journal, Run, begin_run, finish_run
from inferry.core.samples import Dataset, Rejected
from inferry.datasets.registry import open_dataset
from inferry.pipeline.engine import Batch, Engine, Tally
from inferry.pipeline.execution import planned_axis
from inferry.pipeline.model import Model
from inferry.pipeline.plan import MAX_PADDED, first, measure_lengths, measured_batch_size
from inferry.planning.batch_size import BatchChoice
from inferry.planning.batches import pack_batches
from inferry.planning.make import make_plan, read_plan
from inferry.planning.plan import ShapePlan

_WORTH_MEASURING = 60.0
"""Seconds a run must be expected to last, one sample at a time, before batch sizes are measured for it."""

_ENOUGH_SAMPLES = 1000
"""Samples a run must have before that: the measurement takes as long as some 50 of them and shall stay near 5 %."""


@dataclass(frozen=True)
class Options:
    """How a data set is run. Nothing here can change a prediction but `limit`, `backend` and `precision`.

    Attributes:
        backend: Its name.
        precision: ``fp32``.
        threads: Intra-operator threads, None for as many as the process may use.
        batch_size: Most samples a batch; None to pick it by measurement where the run is long enough.
        plan: A plan file to follow.
        workers: Threads that read and process, None for one a processor.
        limit: Run the first samples only.
        kind: The data set's layout, None to recognise it.
    """

    backend: str = "onnxruntime"
    precision: str = "fp32"
    threads: int | None = None
    batch_size: int | None = None
    plan: Path | None = None
    workers: int | None = None
    limit: int | None = None
    kind: str | None = None


def infer(
    bundle: str | Path,
    data: str | Path | Sequence[Path],
    output: str | Path,
    options: Options | None = None,
    progress: Callable[[Tally], None] | None = None,
) -> Run:
    """Run a data set through a bundle, or take up where an interrupted run stopped.

    Args:
        bundle: The bundle's folder.
        data: The data set's path, or a list of audio files.
        output: The run's folder.
        options: See `Options`.
        progress: Called after each batch.

    Returns:
        The finished run: predictions.jsonl, errors.jsonl and timings.json are written.

    Raises:
        RunError: `output` holds another command's run.
        DatasetError: The data set as a whole cannot be read.
    """
    options = options or Options()
    _check(options)
    opened = open_bundle(bundle)
    dataset = first(open_dataset(_paths(data), options.kind), options.limit)
    run = begin_run(Path(output), _config(opened, dataset, options))
    if run.finished:
        return run
    with Journal(run, len(dataset.items)) as journal:
        tally = Tally(total=len(dataset.items), done=journal.done)
        resumed = journal.done
        session, plan_used, choice = _answer_all(
            opened, dataset, journal, options=options, tally=tally, progress=progress
        )
        predictions, errors = journal.publish()
    timings = {
        **tally.to_json(),
        "resumed_after": resumed,
        "plan": None if plan_used is None else plan_used.signature,
        "batch_size_measurements": None if choice is None else choice.to_json(),
        "signature": {**signature(), **session},
    }
    write_atomic(run.path / TIMINGS, to_json_text(timings))
    counts = {"samples": len(dataset.items), "predictions": predictions, "quarantined": errors}
    return finish_run(run, {**counts, "signature": {**signature(), **session}})


def _check(options: Options) -> None:
    numbers = {"--batch-size": options.batch_size, "--workers": options.workers, "--limit": options.limit}
    bad = [f"{name} is {value}" for name, value in numbers.items() if value is not None and value < 1]
    if options.plan is not None and options.batch_size is not None:
        bad.append("--plan and --batch-size are both given, and a plan has its own batch sizes")
    if bad:
        raise UsageError(f"{'; '.join(bad)}; numbers must be at least 1")


def _paths(data: str | Path | Sequence[Path]) -> Path | Sequence[Path]:
    """Absolute, so that a run can be taken up from another working directory."""
    if isinstance(data, (str, Path)):
        return Path(os.path.abspath(data))  # noqa: PTH100 -- a link keeps the name that its sample has
    return [Path(os.path.abspath(path)) for path in data]  # noqa: PTH100 -- as above


def _config(bundle: Bundle, dataset: Dataset, options: Options) -> dict[str, Any]:
    """All that decides the answers: a run folder is resumed only by the same."""
    digest = hashlib.sha256()
    for item in dataset.items:
        digest.update(repr(item).encode("utf-8", "surrogateescape"))
    return {
        "family": bundle.manifest.family,
        "bundle": bundle.digest,
        "data": str(dataset.path),
        "kind": dataset.kind,
        "samples": len(dataset.items),
        "samples_sha256": digest.hexdigest(),
        "backend": options.backend,
        "precision": options.precision,
    }


def _answer_all(
    bundle: Bundle,
    dataset: Dataset,
    journal: Journal,
    *,
    options: Options,
    tally: Tally,
    progress: Callable[[Tally], None] | None,
) -> tuple[Mapping[str, Any], ShapePlan | None, BatchChoice | None]:
    items = dataset.items
    with Model(bundle, options.backend, SessionOptions(options.precision, options.threads)) as model:
        pending = [index for index in range(len(items)) if index not in journal]
        lengths, _ = measure_lengths(model, items, pending)
        for index in pending:
            if isinstance(item := items[index], Rejected):
                journal.add(index, item.to_json(), error=True)
                tally.done += 1
                tally.quarantined += 1
        # A sample without a readable length goes through the engine all the same: reading it gives its full reason.
        unmeasured = [i for i in pending if i not in lengths and not isinstance(items[i], Rejected)]
        batches = [Batch((index,)) for index in unmeasured]
        plan, choice = None, None
        tally.total_units = sum(lengths.values())
        if lengths:
            plan, choice = _plan(model, dataset, lengths, options)
            batches += _batches(lengths, plan)
        workers = options.workers or max(1, available_threads() - 1)
        Engine(model, items, journal, workers=workers, tally=tally, progress=progress).run(batches)
        return model.signature(), plan, choice


def _plan(
    model: Model, dataset: Dataset, lengths: Mapping[int, int], options: Options
) -> tuple[ShapePlan, BatchChoice | None]:
    axis = planned_axis(model.bundle.manifest.inputs) or "samples"
    if options.plan is not None:
        given = read_plan(options.plan)
        if given.axis != axis:
            raise UsageError(f"{options.plan} plans the axis {given.axis!r}, this bundle has {axis!r}: make it again")
        return given, None
    size, choice = options.batch_size, None
    if size is None:
        size = 1
        if len(lengths) >= _ENOUGH_SAMPLES and _expected_seconds(model, dataset, lengths) > _WORTH_MEASURING:
            choice = measured_batch_size(model, dataset.items, lengths, axis)
            size = choice.batch_size
    return make_plan(lengths.values(), axis=axis, batch_size=size, max_padded=MAX_PADDED.get(axis)), choice


def _expected_seconds(model: Model, dataset: Dataset, lengths: Mapping[int, int]) -> float:
    """What the run would take one sample at a time, from one sample of middle length; 0 if it cannot be read."""
    ordered = sorted(lengths, key=lambda index: lengths[index])
    index = ordered[len(ordered) // 2]
    item = dataset.items[index]
    try:
        features = model.processor.process(item.source)  # type: ignore[union-attr]
        start = perf_counter()
        model.run_batch([features])
    except Exception:  # noqa: BLE001 -- the engine meets the same problem and quarantines the sample with its reason
        return 0.0
    return (perf_counter() - start) * sum(lengths.values()) / features.length


def _batches(lengths: Mapping[int, int], plan: ShapePlan) -> list[Batch]:
    order = list(lengths)
    packing = pack_batches(lengths.values(), plan)
    fixed = bool(plan.buckets)
    return [
        Batch(tuple(order[i] for i in batch.indices), batch.length if fixed and not batch.outside else None)
        for batch in packing.batches
    ]


def require_predictions(run: Run) -> None:
    """A run in which every sample was quarantined is a failure, not a result.

    Raises:
        RunError: There is no prediction, with the first reason.
    """
    if run.info.get("predictions"):
        return
    reasons = (f"{row['id']}: {row['reason']}" for row in run.rows(ERRORS))
    reason = next(reasons, "the data set is empty")
    raise RunError(f"{run.path}: no sample could be answered; the first reason: {reason}")
