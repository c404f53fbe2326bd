"""Data set to run: every sample gets its prediction or its quarantine line."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from inferry.core.bundle import Bundle, open_bundle
from inferry.core.compiled import find_compiled
from inferry.core.errors import BundleError, RunError, UsageError
from inferry.core.files import sha256_of, to_json_text, write_atomic
from inferry.core.machine import available_threads, signature
from inferry.core.protocols import MAX_SECONDS, Decoding, SessionOptions, Window
from inferry.core.runs import ERRORS, RUN, TIMINGS, Journal, Run, begin_run, finish_run
from inferry.core.samples import Dataset, Rejected
from inferry.datasets.registry import open_dataset
from inferry.pipeline.compiled_plan import compiled_plan, require_compiled
from inferry.pipeline.engine import Batch, Engine, Tally
from inferry.pipeline.execution import axis_name
from inferry.pipeline.model import Model
from inferry.pipeline.pieces import Piece
from inferry.pipeline.plan import first, measure_pieces, measured_batch_size, most_padded
from inferry.pipeline.tasks.registry import get_task
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
    """How a data set is run.

    Nothing here can change a prediction but `backend`, `precision`, `decoding` and `max_seconds`.

    Attributes:
        backend: Its name.
        precision: ``fp32``; what the bundle was compiled for on a backend that compiles.
        threads: Intra-operator threads, None for as many as the process may use.
        batch_size: Most samples a batch; None to pick it by measurement where the run is long enough, and for the
            compiled ones on a backend that compiles.
        plan: A plan file to follow.
        workers: Threads that read and process, None for one a processor.
        limit: Run the first samples only.
        kind: The data set's layout, None to recognise it.
        decoding: How outputs become answers.
        max_seconds: Longer sounds run in overlapping windows of this length; 0 to cut none.
    """

    backend: str = "onnxruntime"
    precision: str = "fp32"
    threads: int | None = None
    batch_size: int | None = None
    plan: Path | None = None
    workers: int | None = None
    limit: int | None = None
    kind: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    max_seconds: float = MAX_SECONDS


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
        data: The data set's path, or a list of files.
        output: The run's folder.
        options: See `Options`.
        progress: Called after each batch.

    Returns:
        The finished run: predictions.jsonl, errors.jsonl and timings.json are written.

    Raises:
        BundleError: The bundle lacks a file that its task needs for scoring.
        RunError: `output` holds another command's run.
        DatasetError: The data set as a whole cannot be read.
    """
    options = options or Options()
    _check(options)
    opened = open_bundle(bundle)
    dataset = first(open_dataset(absolute(data), options.kind), options.limit)
    given, kept = _given_plan(opened, options.plan), kept_texts(opened)
    config, target = _config(opened, dataset, options), Path(output)
    if (target / RUN).is_file() and (earlier := begin_run(target, config)).complete:
        return earlier
    # The model first: what it refuses must not leave a run folder behind.
    session = SessionOptions(options.precision, options.threads)
    with Model(opened, options.backend, session, decoding=options.decoding, max_seconds=options.max_seconds) as model:
        if given is not None and model.compiled is not None:
            require_compiled(given, model.compiled)
        run = begin_run(target, config)
        return _complete(run, model, dataset, options, given=given, kept=kept, progress=progress)


def _complete(
    run: Run,
    model: Model,
    dataset: Dataset,
    options: Options,
    *,
    given: ShapePlan | None,
    kept: Mapping[str, str],
    progress: Callable[[Tally], None] | None,
) -> Run:
    """Answer what the journal lacks, and write the run's files."""
    with Journal(run, len(dataset.items)) as journal:
        resumed = journal.done
        tally = Tally(total=len(dataset.items), done=resumed, resumed=resumed)
        pieces, unmeasured = _measure(model, dataset, journal, tally)
        plan, choice = given, None
        if pieces and plan is None:
            plan, choice = _plan(model, pieces, options)
        batches = [Batch((piece,)) for piece in unmeasured]
        if pieces and plan is not None:
            batches += _batches(pieces, plan)
        workers = options.workers or max(1, available_threads() - 1)
        Engine(model, dataset.items, journal, workers=workers, tally=tally, progress=progress).run(batches)
        predictions, errors = journal.publish()
    for name, text in kept.items():
        write_atomic(run.path / name, text)
    made_by = {**signature(), **model.signature()}
    timings = {
        **tally.to_json(),
        "resumed_after": resumed,
        "plan": None if plan is None else plan.signature,
        "batch_size_measurements": None if choice is None else choice.to_json(),
        "signature": made_by,
    }
    write_atomic(run.path / TIMINGS, to_json_text(timings))
    cut = sum("windows" in row for row in run.rows()) if options.max_seconds else 0
    counts = {"samples": len(dataset.items), "predictions": predictions, "quarantined": errors, "cut": cut}
    return finish_run(run, {**counts, "bundle_path": str(model.bundle.path.resolve()), "signature": made_by})


def _measure(model: Model, dataset: Dataset, journal: Journal, tally: Tally) -> tuple[list[Piece], list[Piece]]:
    """Pieces of the samples that have no answer yet, those with a readable length first.

    The others go to the engine all the same, because reading them gives their full reason. Entries that are no samples
    are quarantined at once.
    """
    pending = [index for index in range(len(dataset.items)) if index not in journal]
    pieces, _ = measure_pieces(model, dataset.items, pending)
    tally.total_units = sum(piece.length for piece in pieces)
    measured = {piece.index for piece in pieces}
    unmeasured = []
    for index in pending:
        if isinstance(item := dataset.items[index], Rejected):
            journal.add(index, item.to_json(), error=True)
            tally.done += 1
            tally.quarantined += 1
        elif index not in measured:
            unmeasured.append(Piece(index, (Window(item.source),)))
    return pieces, unmeasured


def _given_plan(bundle: Bundle, path: Path | None) -> ShapePlan | None:
    """The user's plan, which must be for this bundle's axis."""
    if path is None:
        return None
    given, axis = read_plan(path), axis_name(bundle.manifest.inputs)
    if given.axis != axis:
        raise UsageError(f"{path} plans the axis {given.axis!r}, this bundle has {axis!r}: make it again")
    return given


def kept_texts(bundle: Bundle) -> dict[str, str]:
    """The texts that scoring needs, by name.

    Raises:
        BundleError: One is missing: this is said before the run, and not at its end.
    """
    texts, names = bundle.text_files(), get_task(bundle.manifest.task).keeps
    if missing := [name for name in names if name not in texts]:
        raise BundleError(f"{bundle.path} lacks {', '.join(missing)}, which its task needs: export the bundle again")
    return {name: texts[name] for name in names}


def _check(options: Options) -> None:
    numbers = {"--batch-size": options.batch_size, "--workers": options.workers, "--limit": options.limit}
    bad = [f"{name} is {value}" for name, value in numbers.items() if value is not None and value < 1]
    if options.plan is not None and options.batch_size is not None:
        bad.append("--plan and --batch-size are both given, and a plan has its own batch sizes")
    if bad:
        raise UsageError(f"{'; '.join(bad)}; numbers must be at least 1")
    if options.plan is not None and not options.decoding.greedy:
        # What a search finds in a batch is never settled: each sample would run twice.
        raise UsageError("a beam search runs every sample alone, at its own length: leave out --plan")


def absolute(data: str | Path | Sequence[Path]) -> Path | Sequence[Path]:
    """Absolute, so that a run can be taken up from another working directory."""
    if isinstance(data, (str, Path)):
        return Path(os.path.abspath(data))  # noqa: PTH100 -- a link keeps the name that its sample has
    return [Path(os.path.abspath(path)) for path in data]  # noqa: PTH100 -- as above


def _config(bundle: Bundle, dataset: Dataset, options: Options) -> dict[str, Any]:
    """All that decides the answers: a run folder is resumed only by the same."""
    return {
        **data_config(bundle, dataset),
        "backend": options.backend,
        "precision": options.precision,
        "decoding": decoding_config(options.decoding),
        "max_seconds": options.max_seconds,
        **_compiled_config(bundle, options),
    }


def _compiled_config(bundle: Bundle, options: Options) -> dict[str, Any]:
    """What may run on a backend that compiles: another artifact takes other shapes, and rounds in another way.

    All of this precision are named, because only the device knows which one is for it; the newest last, because it is
    the one that runs of those that fit.
    """
    made = [one for one in find_compiled(bundle.model, options.backend) if one.precision == options.precision]
    return {"compiled": [one.key for one in made if one.is_made]} if made else {}


def data_config(bundle: Bundle, dataset: Dataset) -> dict[str, Any]:
    """The part of a run's config that says what ran: the bundle and the samples."""
    digest = hashlib.sha256()
    for item in dataset.items:
        digest.update(repr(item).encode("utf-8", "surrogateescape"))
    return {
        "family": bundle.manifest.family,
        "task": bundle.manifest.task,
        "bundle": bundle.digest,
        "data": str(dataset.path),
        "kind": dataset.kind,
        "samples": len(dataset.items),
        "samples_sha256": digest.hexdigest(),
    }


def decoding_config(decoding: Decoding) -> dict[str, Any]:
    """The part of a run's config that says how outputs were decoded; a language model is what is in the file.

    Raises:
        UsageError: There is no such file.
    """
    digest = None
    if (file := decoding.language_model) is not None:
        if not file.is_file():
            raise UsageError(f"there is no language model at {file}: name a file in ARPA format, or leave out --lm")
        digest = sha256_of(file)
    return {**asdict(decoding), "language_model": digest, "hotwords": list(decoding.hotwords)}


def _plan(model: Model, pieces: Sequence[Piece], options: Options) -> tuple[ShapePlan, BatchChoice | None]:
    axis, lengths = axis_name(model.bundle.manifest.inputs), [piece.length for piece in pieces]
    # What a search finds in a batch is never settled, so that each sample would have to run again alone.
    size, choice = options.batch_size if options.decoding.greedy else 1, None
    if model.compiled is not None:
        return compiled_plan(model.compiled, axis, lengths, size), None
    cap = most_padded(axis, dict(enumerate(lengths)), automatic=size is None)
    if size is None:
        size = 1
        if len(pieces) >= _ENOUGH_SAMPLES and _expected_seconds(model, pieces) > _WORTH_MEASURING:
            choice = measured_batch_size(model, pieces, cap)
            size = choice.batch_size
    return make_plan(lengths, axis=axis, batch_size=size, max_padded=cap), choice


def _expected_seconds(model: Model, pieces: Sequence[Piece]) -> float:
    """What the run would take one piece at a time, from one piece of middle length; 0 if it cannot be read."""
    middle = sorted(pieces, key=lambda piece: piece.length)[len(pieces) // 2]
    try:
        features = model.processor.process(middle.source)
        start = perf_counter()
        model.run_batch([features])
    except Exception:  # noqa: BLE001 -- the engine meets the same problem and quarantines the sample with its reason
        return 0.0
    return (perf_counter() - start) * sum(piece.length for piece in pieces) / features.length


def _batches(pieces: Sequence[Piece], plan: ShapePlan) -> list[Batch]:
    packing = pack_batches((piece.length for piece in pieces), plan)
    fixed = bool(plan.buckets)
    return [
        Batch(tuple(pieces[i] for i in batch.indices), batch.length if fixed and not batch.outside else None)
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
