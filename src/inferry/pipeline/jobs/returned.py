"""What came back of a job: outputs of each part for each batch size that ran, and ais_bench's summaries."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inferry.ascend.job_manifest import JobManifest, read_manifest
from inferry.ascend.job_outputs import JobOutputs, open_outputs
from inferry.ascend.job_rules import listing
from inferry.ascend.job_summary import JobSummary, Latency, check_summary, read_summary, summary_path
from inferry.core.errors import RunError, UsageError
from inferry.pipeline.jobs.folder import JOB, Job, Part, part_suffix

_MODEL_OPTIONS = ("--model", "-m", "--om-model", "--om_model", "-om")
_SYSTEM = "system.txt"
"""What the script of a pack notes about the machine: ``name: value`` lines, then what npu-smi prints."""

_NOTED = ("date", "machine", "cann")
_ID = "pack"
"""In it: the id of the job that the script's pack holds."""

_MADE_BY = "logs/*.made_by"
"""Of the script, one for each call of ais_bench: that id is the first word."""


@dataclass(frozen=True)
class Returned:
    """The outputs of one part for one batch size.

    Attributes:
        part: Whose.
        batch: Samples that ran together.
        files: The outputs.
        written: Last change of the newest file that was looked at, as ISO 8601 in UTC.
        timings: The NPU's times in milliseconds and ais_bench's throughput in samples a second; None where no summary
            came back (msame writes none).
    """

    part: Part
    batch: int
    files: JobOutputs
    written: str
    timings: Mapping[str, Any] | None

    @property
    def om(self) -> str | None:
        """File name of the model that ran, where the summary says it."""
        return None if self.timings is None else self.timings["om"]


def open_returned(job: Job, outputs: Path) -> dict[str, dict[int, Returned]]:
    """All that came back.

    Args:
        job: What was sent.
        outputs: The folder that holds one folder a gear.

    Returns:
        By the part's folder, then by batch size in ascending order; each part has at least one.

    Raises:
        UsageError: There is no such folder.
        RunError: A part has no outputs, or some are missing, superfluous or broken.
    """
    if not outputs.is_dir():
        raise UsageError(f"{outputs} is no folder: name the one that holds ais_bench's output folders")
    found = {part.folder: _open_part(job, part, outputs) for part in job.parts}
    if missing := [part for part in job.parts if not found[part.folder]]:
        lines = [f"{part.outputs(1)} (or another batch size): {_command(job, part, outputs)}" for part in missing]
        raise RunError(
            f"{outputs} lacks outputs of {len(missing)} of {len(found)} shapes. Run (an om of one gear takes no --dym "
            f"option):\n{listing(lines)}"
        )
    return found


def system_facts(outputs: Path) -> dict[str, str]:
    """What the script of a pack noted about the machine; empty where it did not."""
    return {name: value for name, value in _system(outputs).items() if name in _NOTED}


def check_pack(job: Job, outputs: Path) -> None:
    """Refuse what the script of another pack made; where no script says whose the outputs are, nothing is checked.

    Raises:
        RunError: They are of another job.
    """
    said = {outputs / _SYSTEM: _system(outputs).get(_ID, job.id)}
    # Results of several packs may have been unpacked into one folder, and there is one system.txt.
    for file in sorted(outputs.glob(_MADE_BY)):
        said[file] = file.read_text(encoding="utf-8", errors="replace").partition(" ")[0]
    for file, found in said.items():
        if found != job.id:
            raise RunError(
                f"{file} says that these outputs are of the pack {found[:12]}…, and {job.folder / JOB} is of "
                f"{job.id[:12]}…: name the job of the pack that made them with --job, unpack the results of each pack "
                "into a folder of their own, or run this pack"
            )


def _system(outputs: Path) -> dict[str, str]:
    try:
        lines = (outputs / _SYSTEM).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    rows = (line.partition(": ") for line in lines)
    # Backwards, so that the script's own lines win over any of npu-smi.
    return {name: value for name, _, value in reversed([*rows]) if value}


def _open_part(job: Job, part: Part, outputs: Path) -> dict[int, Returned]:
    pattern = re.compile(rf"{re.escape(part.shape)}_b([1-9][0-9]*){part_suffix(part.number)}")
    matches = ((pattern.fullmatch(path.name), path) for path in outputs.iterdir() if path.is_dir())
    folders = {int(match[1]): path for match, path in matches if match}
    manifest = read_manifest(job.folder / part.folder) if folders else None
    opened = {}
    for batch, folder in sorted(folders.items()):
        assert manifest is not None, "there are folders"
        inner = _innermost(folder)
        try:
            files = open_outputs(inner, manifest, job.outputs)
        except RunError as error:
            if len(folders) == 1:
                raise
            raise RunError(
                f"{error}\nRun that batch size again, or remove {folder}: one of a shape is enough"
            ) from error
        newest, summary = max(inner.iterdir(), key=lambda path: path.stat().st_mtime), None
        if summary_path(inner).is_file():
            newest = summary_path(inner)
            summary = _checked_summary(newest, manifest, batch)
        written = datetime.fromtimestamp(newest.stat().st_mtime, UTC).isoformat(timespec="seconds")
        timings = None if summary is None else _timings(part, batch, summary, written)
        opened[batch] = Returned(part, batch, files, written, timings)
    return opened


def _checked_summary(path: Path, manifest: JobManifest, batch: int) -> JobSummary:
    summary = read_summary(path)
    try:
        check_summary(summary, manifest, batch)
    except RunError as error:
        raise RunError(f"{path}: {error}") from error
    return summary


def _innermost(folder: Path) -> Path:
    """The folder with the files: itself, or the only one in it, which msame and ais_bench name after the time.

    Raises:
        RunError: There are several.
    """
    inner = [path for path in folder.iterdir() if path.is_dir()]
    if not inner or any(path.suffix in {".bin", ".npy", ".txt"} for path in folder.iterdir()):
        return folder
    if len(inner) > 1:
        names = ", ".join(sorted(path.name for path in inner))
        raise RunError(f"{folder} holds several runs ({names}): keep one of them")
    return inner[0]


def _command(job: Job, part: Part, outputs: Path) -> str:
    """How ais_bench makes the outputs of a part, in a batch of its first gear."""
    run = next(run for run in job.runs if run.part == part)
    folders = ",".join(str(job.folder / part.folder / name) for name in part.inputs)
    try:
        options = job.gears.ais_bench_options(run.gear)
    except UsageError:
        options = ()  # one om for each gear, which takes no option
    words = ("--model", "MODEL.om", "--input", folders, "--output", str(outputs), "--output_dirname", run.name)
    return shlex.join(("python3", "-m", "ais_bench", *words, *options))


def _timings(part: Part, batch: int, summary: JobSummary, written: str) -> dict[str, Any]:
    """What is kept of a summary: its lists of files and durations grow with the data set."""
    measured = summary.timings
    return {
        "gear": part.outputs(batch),
        "batch": batch,
        "samples": part.files,
        "compute_ms": _latency(measured.compute),
        "h2d_ms": _latency(measured.h2d),
        "d2h_ms": _latency(measured.d2h),
        "samples_per_second": measured.throughput,
        "om": _model_of(summary),
        "arguments": list(summary.args),
        "written": written,
    }


def _latency(latency: Latency | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    names = ("mean", "median", "p99", "min", "max", "count")
    return {name: getattr(latency, name) for name in names}


def _model_of(summary: JobSummary) -> str | None:
    path = summary.option(*_MODEL_OPTIONS)
    return None if path is None else Path(path).name or None


def check_bundle(job: Job, digest: str) -> None:
    """Refuse a job of another bundle.

    Raises:
        RunError: It is one.
    """
    found = str(job.config.get("bundle"))
    if found != digest:
        raise RunError(
            f"{job.folder / JOB} was made with another bundle ({found[:12]}…) than this one ({digest[:12]}…): name the "
            "bundle that it was made with, or preprocess again"
        )


def batches_of(returned: Mapping[str, Mapping[int, Returned]]) -> tuple[int, ...]:
    """Every batch size that ran for any part, ascending."""
    return tuple(sorted({batch for parts in returned.values() for batch in parts}))
