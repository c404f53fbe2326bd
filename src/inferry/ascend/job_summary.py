"""The summary that ais_bench writes beside its output folder: which files it read, and the NPU's times.

All times are milliseconds. ais_bench measures the model on the NPU alone: copies to and from the device stand apart,
reading, processing and writing are in none of them. Its throughput is ``1000 * batch size / mean``.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferry.ascend.job_manifest import JobManifest
from inferry.ascend.job_rules import listing, output_stem
from inferry.core.errors import RunError

_LOOP: Final = ("--loop",)
_BATCH: Final = ("--dymBatch", "--dym_batch", "--dym-batch", "-db")
_DIMS: Final = ("--dymDims", "--dym_dims", "--dym-dims", "-dd")


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one kind of step; with several threads ais_bench gives mean and count only.

    Attributes:
        mean: Of all steps. With several threads: the time in which any of them was busy, divided by the count.
        count: Of steps.
        min: Shortest, None if not given.
        max: Longest, likewise.
        median: Likewise.
        p99: 99th percentile, likewise.
    """

    mean: float
    count: int
    min: float | None = None
    max: float | None = None
    median: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class NpuTimings:
    """What the NPU took.

    Attributes:
        compute: Of one execution of the model (one batch).
        h2d: Of copies to the device, None if not given.
        d2h: Of copies from the device, None if not given.
        durations: Milliseconds of each execution.
        intervals: Begin and end of each execution, where several threads ran; else empty.
        throughput: Samples a second as ais_bench counts them, None if not given.
    """

    compute: Latency
    h2d: Latency | None
    d2h: Latency | None
    durations: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    throughput: float | None


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """The files of one sample, as ais_bench names them: one for each input, one for each output."""

    infiles: tuple[str, ...]
    outfiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A summary.

    Attributes:
        timings: Of the NPU.
        files: By sample in ais_bench's order; empty for ``--pipeline``, where ais_bench does not list them.
        args: The command line.
    """

    timings: NpuTimings
    files: tuple[SampleFiles, ...]
    args: tuple[str, ...]

    def option(self, *names: str) -> str | None:
        """The value of an option of the command line, written with ``=`` or a space; None if it was not given.

        Args:
            names: Under which ais_bench and msit know it.
        """
        found = None
        # The last one counts, as it does for ais_bench's parser.
        for word, following in zip(self.args, (*self.args[1:], ""), strict=True):
            name, separator, value = word.partition("=")
            if name in names:
                found = value if separator else following
        return found


def summary_path(outputs: Path) -> Path:
    """Where the summary of an output folder lies: beside it."""
    return outputs.with_name(f"{outputs.name}_summary.json")


def read_summary(path: Path) -> JobSummary:
    """A summary, in the form of one thread or of several.

    Raises:
        RunError: It is missing, broken, contradicts itself, or holds a number that is not finite.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        return _summary(content)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}. It lies beside ais_bench's output folder") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is no summary of ais_bench: {type(error).__name__}: {error}") from error


def check_summary(summary: JobSummary, manifest: JobManifest, batch: int) -> None:
    """Check that ais_bench ran this gear on this job's files, all of them, in this order, the inputs in this order.

    Args:
        summary: What came back.
        manifest: Of the input folders.
        batch: The batch size of the gear.

    Raises:
        RunError: It did not; the problems are listed.
    """
    problems = [*_gear_problems(summary, manifest, batch)]
    if summary.files:
        problems += [*_count_problems(summary, batch), *_file_problems(summary, manifest)]
    if problems:
        raise RunError(
            f"this summary belongs to another job or gear, or its inputs were mixed up:\n{listing(problems)}"
        )


def _gear_problems(summary: JobSummary, manifest: JobManifest, batch: int) -> Iterator[str]:
    """Where the command line sets another gear."""
    said = summary.option(*_BATCH)
    # 0 is the option's default: not set.
    if said is not None and said not in {"0", str(batch)}:
        yield f"ais_bench was told the batch size {said}, the gear has {batch}"
    if not (said := summary.option(*_DIMS)):
        return
    entries = (entry.rpartition(":") for entry in said.split(";") if entry)
    found = {name: sizes.replace(" ", "") for name, _, sizes in entries}
    specs = [one.spec for one in manifest.inputs]
    wanted = {spec.name: ",".join(str(batch if isinstance(dim, str) else dim) for dim in spec.dims) for spec in specs}
    if found != wanted:
        expected = ";".join(f"{name}:{sizes}" for name, sizes in wanted.items())
        yield f"ais_bench was told the sizes {said}, the gear has {expected}"


def _count_problems(summary: JobSummary, batch: int) -> Iterator[str]:
    """Where the NPU did not run as often as so many samples take."""
    said = summary.option(*_LOOP) or "1"
    if not said.isdecimal():
        yield f"ais_bench was told --loop {said}, which is no number"
        return
    samples, count = len(summary.files), summary.timings.compute.count
    wanted = math.ceil(samples / batch) * int(said)
    if count != wanted:
        loop = f" with --loop {said}" if said != "1" else ""
        yield f"the model ran {count} times; {samples} samples in batches of {batch}{loop} take {wanted}"


def _file_problems(summary: JobSummary, manifest: JobManifest) -> Iterator[str]:
    """Where other files were read or written."""
    if len(summary.files) != len(manifest.rows):
        yield f"ais_bench read {len(summary.files)} samples, the job has {len(manifest.rows)}"
    folders = [one.folder for one in manifest.inputs]
    for index, (files, row) in enumerate(zip(summary.files, manifest.rows, strict=False)):
        read = [(Path(name).parent.name, output_stem(Path(name).name)) for name in files.infiles]
        if read != [(folder, row.stem) for folder in folders]:
            yield f"sample {index}: ais_bench read {', '.join(files.infiles)}, not {row.stem} of {folders}"
        written = [Path(name).stem for name in files.outfiles]
        if written != [f"{row.stem}_{output}" for output in range(len(written))]:
            yield f"sample {index}: ais_bench wrote {', '.join(files.outfiles)} for {row.stem}"


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, so a measurement failed")


def _summary(content: Mapping[str, Any]) -> JobSummary:
    times = content["npu_compute_time_list"]
    intervals = tuple((_finite(start), _finite(end)) for start, end in times) if _are_pairs(times) else ()
    durations = tuple(end - start for start, end in intervals) if intervals else tuple(_finite(time) for time in times)
    if any(duration < 0 for duration in durations):
        raise ValueError("an execution ends before it begins")
    compute = _latency(content["NPU_compute_time"])
    if compute.count != len(durations):
        raise ValueError(f"it counts {compute.count} executions and lists {len(durations)}")
    h2d, d2h = (_latency(content[key]) if key in content else None for key in ("H2D_latency", "D2H_latency"))
    throughput = _finite(content["throughput"]) if "throughput" in content else None
    timings = NpuTimings(compute, h2d, d2h, durations, intervals, throughput)
    return JobSummary(timings, _files(content["filesinfo"]), tuple(str(word) for word in content["args"]))


def _are_pairs(times: list[Any]) -> bool:
    return bool(times) and isinstance(times[0], list)


def _latency(row: Mapping[str, Any]) -> Latency:
    """One kind of step; newer versions of ais_bench write ``P99`` for ``percentile(99%)``."""
    optional = {key: _finite(row[key]) for key in ("min", "max", "median") if key in row}
    p99 = next((_finite(row[key]) for key in ("percentile(99%)", "P99") if key in row), None)
    return Latency(_finite(row["mean"]), int(row["count"]), p99=p99, **optional)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"it holds {value}, so a measurement failed")
    return float(value)


def _files(rows: Mapping[str, Any]) -> tuple[SampleFiles, ...]:
    if sorted(int(key) for key in rows) != list(range(len(rows))):
        raise ValueError("its samples are not numbered from 0 without gaps")
    ordered = (rows[str(index)] for index in range(len(rows)))
    return tuple(SampleFiles(tuple(row["infiles"]), tuple(row["outfiles"])) for row in ordered)
