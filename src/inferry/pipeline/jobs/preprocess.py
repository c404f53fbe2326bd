"""Data set to job folder: the files that ais_bench and msame read on a machine with an NPU."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from inferry.ascend.job_rules import FOLDER_MODE, listing, path_problems
from inferry.core.bundle import open_bundle
from inferry.core.errors import RunError, SampleError, UsageError
from inferry.core.files import atomic_folder, to_json_text, write_atomic
from inferry.core.machine import available_threads, signature
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Dataset, Features, Rejected, Sample
from inferry.datasets.registry import open_dataset
from inferry.pipeline.engine import Tally, path_text, rejected
from inferry.pipeline.execution import axis_name
from inferry.pipeline.infer import absolute, data_config, kept_texts
from inferry.pipeline.jobs.folder import JOB, SAMPLES, Job, JobSample, Place, job_id, read_job, sample_line
from inferry.pipeline.jobs.processed import Processed, processed
from inferry.pipeline.jobs.shape_folders import ShapeFolders
from inferry.pipeline.jobs.target import JobOptions, Target, job_target
from inferry.pipeline.model import Model
from inferry.pipeline.pieces import Piece
from inferry.pipeline.plan import first

_BACKEND = "onnxruntime"
"""Runs what the processor needs of the network (a region detector)."""


def preprocess(
    bundle: str | Path,
    data: str | Path | Sequence[Path],
    output: str | Path,
    options: JobOptions | None = None,
    progress: Callable[[Tally], None] | None = None,
) -> Job:
    """Write a job folder; it appears when all is written and checked.

    Args:
        bundle: The bundle's folder.
        data: The data set's path, or a list of files.
        output: The job's folder; an older job in it is replaced.
        options: See `JobOptions`.
        progress: Called after each sample.

    Raises:
        UsageError: The shapes cannot be meant like this, or ais_bench would refuse the path.
        DatasetError: The data set as a whole cannot be read.
        RunError: No sample could be processed.
    """
    options, target = options or JobOptions(), Path(output)
    opened = open_bundle(bundle)
    kept_texts(opened)
    _require_usable(target)
    dataset = first(open_dataset(absolute(data), options.kind), options.limit)
    with Model(opened, _BACKEND, SessionOptions(), max_seconds=options.max_seconds, network=False) as model:
        wanted = job_target(model, dataset, options)
        with atomic_folder(target) as work:
            job = _Writing(model, dataset, wanted, progress).write(work, options)
    target.chmod(FOLDER_MODE)
    return replace(job, folder=target)


def _require_usable(target: Path) -> None:
    problems = path_problems(target)
    if not problems and target.is_symlink():
        problems.append(f"{target}: is a link, which ais_bench refuses")
    elif not problems and target.exists():
        own = _own_names(target)
        if not target.is_dir() or (foreign := sorted(path.name for path in target.iterdir() if path.name not in own)):
            held = f"holds {foreign[0]}, which is no part of a job" if target.is_dir() else "is a file"
            problems.append(f"{target}: {held}; choose a new folder")
    if problems:
        raise UsageError(f"this job cannot be written:\n{listing(problems)}")


def _own_names(target: Path) -> set[str]:
    """What an older job in the folder consists of: only this may be replaced, and no outputs beside it."""
    return {JOB, SAMPLES, *(part.folder for part in read_job(target).parts)} if (target / JOB).is_file() else set()


class _Writing:
    """One job while it is written."""

    def __init__(
        self, model: Model, dataset: Dataset, target: Target, progress: Callable[[Tally], None] | None
    ) -> None:
        self._model = model
        self._dataset = dataset
        self._target = target
        self._progress = progress
        self._tally = Tally(total=len(dataset.items), total_units=len(dataset.items))
        self._counts = dict.fromkeys(("samples", "pieces", "answered", "quarantined", "cut"), 0)

    def write(self, work: Path, options: JobOptions) -> Job:
        """The job's files, into an empty folder."""
        folders, reason = ShapeFolders(work, self._target.gears, self._target.inputs), ""
        pieces = processed(self._model, self._dataset.items, options.workers or max(1, available_threads() - 1))
        with closing(pieces), (work / SAMPLES).open("w", encoding="utf-8") as lines:
            for index, group in groupby(pieces, key=lambda one: one.index):
                row = self._row(index, group, folders)
                lines.write(sample_line(row))
                reason = reason or (row.reason if isinstance(row, Rejected) else "")
                self._count(row)
        if self._counts["quarantined"] == self._counts["samples"]:
            raise RunError(f"{self._dataset.path}: no sample could be processed; the first reason: {reason}")
        bundle = self._model.bundle
        job = Job(
            folder=work,
            config={**data_config(bundle, self._dataset), "max_seconds": options.max_seconds},
            gears=self._target.gears,
            inputs=self._target.inputs,
            outputs=self._target.outputs,
            parts=folders.close(),
            counts=self._counts,
            compiled=self._target.compiled,
            signature=signature(),
        )
        job = replace(job, id=job_id(job))
        write_atomic(work / JOB, to_json_text(job.to_json()))
        return job

    def _count(self, row: JobSample | Rejected) -> None:
        counts, tally = self._counts, self._tally
        counts["samples"] += 1
        if isinstance(row, Rejected):
            counts["quarantined"] += 1
        else:
            counts["answered"] += row.answer is not None
            counts["cut"] += len(row.pieces) > 1
            counts["pieces"] += len(row.pieces)
            tally.audio_seconds += row.seconds or 0.0
        tally.done, tally.done_units, tally.quarantined = counts["samples"], counts["samples"], counts["quarantined"]
        if self._progress is not None:
            self._progress(tally)

    def _row(self, index: int, group: Iterable[Processed], folders: ShapeFolders) -> JobSample | Rejected:
        """The sample's row. Windows that were written before a bad one of the same sound stay: nobody asks for them."""
        item, places = self._dataset.items[index], list[Place]()
        for one in group:
            if isinstance(one.outcome, Rejected):
                return one.outcome
            assert isinstance(item, Sample), "only samples have features"
            assert one.piece is not None, "features are those of a piece"
            row = _begun(item, one.piece, one.outcome)
            if one.outcome.answer is not None and not one.piece.cut:
                return replace(row, answer=one.outcome.answer.to_json())
            try:
                places.append(self._write(item, one.piece, one.outcome, folders))
            except SampleError as error:
                return rejected(item, error)
        return replace(row, pieces=tuple(places))

    def _write(self, item: Sample, piece: Piece, features: Features, folders: ShapeFolders) -> Place:
        # Ids are printable, so that no sample can have the id of another one's window.
        key = f"{item.id}\t{piece.place}" if piece.cut else item.id
        written = folders.add(key, self._target.arrays(features))
        axis = axis_name(self._model.bundle.manifest.inputs)
        self._tally.valid_units += features.length
        self._tally.padded_units += written.shape.sizes.get(axis, features.length)
        start = piece.windows[piece.place].start
        return Place(written.folder, written.file, start, silent=piece.cut and features.answer is not None)


def _begun(item: Sample, piece: Piece, features: Features) -> JobSample:
    """The row of a sample as its last piece says it."""
    seconds = None if features.seconds is None else piece.windows[piece.place].start + features.seconds
    return JobSample(item.id, path_text(item.source), item.reference, seconds=seconds, regions=features.regions)
