"""The run folder: what inference writes, and the journal that survives a kill.

While a run is under way its answers are appended to ``work/answers.jsonl``, in whatever order they come. The finished
``predictions.jsonl`` and ``errors.jsonl`` are written from it in data set order, so their bytes depend on nothing else.
"""

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from inferry.core.errors import RunError, UsageError
from inferry.core.files import to_json_text, write_atomic

RUN: Final = "run.json"
PREDICTIONS: Final = "predictions.jsonl"
ERRORS: Final = "errors.jsonl"
METRICS: Final = "metrics.json"
TIMINGS: Final = "timings.json"
LEDGER: Final = "parity.json"
BENCH: Final = "bench.json"
REPORT: Final = "report.html"
_WORK: Final = "work"
_ANSWERS: Final = "answers.jsonl"


def json_line(row: Mapping[str, Any]) -> str:
    """One row of a .jsonl file, newline included; the same row gives the same bytes."""
    return json.dumps(row, ensure_ascii=False, separators=(", ", ": "), allow_nan=False) + "\n"


@dataclass(frozen=True)
class Run:
    """A run folder and what its run.json says."""

    path: Path
    info: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether every sample has its answer or its quarantine line."""
        return bool(self.info.get("finished"))

    @property
    def complete(self) -> bool:
        """Whether it is finished and nobody took its files away; they can be written again from the journal."""
        return self.finished and all((self.path / name).is_file() for name in (PREDICTIONS, ERRORS))

    def text(self, name: str) -> str | None:
        """A text file of the run, None where it has none of that name.

        Raises:
            RunError: It cannot be read.
        """
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise RunError(f"{self.path / name} cannot be read ({error}); run the same inference again") from error

    def rows(self, name: str = PREDICTIONS) -> Iterator[dict[str, Any]]:
        """Rows of predictions.jsonl or errors.jsonl, one at a time.

        Raises:
            RunError: The file is missing or broken.
        """
        file = self.path / name
        try:
            with file.open(encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)
        except (OSError, ValueError) as error:
            raise RunError(f"{file} cannot be read ({error}); run the same inference again to rebuild it") from error


def open_run(path: Path | str) -> Run:
    """Read a run's run.json.

    Raises:
        UsageError: There is no run at `path`.
        RunError: Its run.json is broken.
    """
    folder = Path(path)
    file = folder / RUN
    if not file.is_file():
        raise UsageError(f"{folder} is not a run: it has no {RUN}. Make one with: inferry infer BUNDLE --data PATH")
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{file} is broken ({error}): remove the folder and run again") from error
    if not isinstance(info, dict) or not isinstance(info.get("config"), dict):
        raise RunError(f"{file} is broken (it has no config): remove the folder and run again")
    return Run(folder, info)


def begin_run(path: Path, config: Mapping[str, Any]) -> Run:
    """Start a run folder or take up an interrupted one.

    Args:
        path: The run folder.
        config: All that decides the answers; an existing folder must have been begun with the same.

    Raises:
        RunError: The folder holds another command's run, or things that are no run, or it cannot be made.
    """
    if (path / RUN).is_file():
        run = open_run(path)
        before = run.info["config"]
        changed = sorted(k for k in {*before, *config} if before.get(k) != config.get(k))
        if changed:
            same = before.keys() == config.keys()
            what = f"with another {', '.join(changed)}" if same else "of another version of Inferry"
            raise RunError(f"{path} holds a run {what}: choose another --output, or remove the folder")
        return run
    if path.exists() and (not path.is_dir() or any(p.name != "bundle" for p in path.iterdir())):
        raise RunError(f"{path} exists and is not a run: choose another --output")
    run = Run(path, {"config": dict(config), "finished": False})
    try:
        (path / _WORK).mkdir(parents=True, exist_ok=True)
        write_atomic(path / RUN, to_json_text(run.info))
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}): choose another --output") from error
    return run


def finish_run(run: Run, extra: Mapping[str, Any]) -> Run:
    """Mark a run as finished; `extra` (the signature, counts) joins its run.json."""
    finished = Run(run.path, {**run.info, **extra, "finished": True})
    write_atomic(run.path / RUN, to_json_text(finished.info))
    return finished


class Journal:
    """Append-only answers by sample index; a torn last line is dropped when it is opened again.

    Args:
        run: The run folder.
        count: Number of items of the data set.
    """

    def __init__(self, run: Run, count: int) -> None:
        self._path = run.path / _WORK / _ANSWERS
        self._folder = run.path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Byte offset of each answer, -1 where there is none: 8 bytes a sample, whatever the answers' size.
        self._offsets = array("q", [-1]) * count
        self._file = self._path.open("ab")
        _lock(self._file, run.path)
        self._end = self._recover()
        self.done = sum(1 for offset in self._offsets if offset >= 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, index: int) -> bool:
        return self._offsets[index] >= 0

    def _recover(self) -> int:
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                index = _index_of(line, len(self._offsets))
                if index is None:
                    break
                self._offsets[index] = end
                end += len(line)
        os.truncate(self._path, end)
        return end

    def add(self, index: int, row: Mapping[str, Any], *, error: bool = False) -> None:
        """Append one answer. A second answer for the same sample is a bug and refused."""
        if index in self:
            raise RunError(f"sample {index} was answered twice")
        line = json_line({"index": index, "error" if error else "prediction": row}).encode()
        self._file.write(line)
        self._file.flush()
        self._offsets[index] = self._end
        self._end += len(line)
        self.done += 1

    def publish(self) -> tuple[int, int]:
        """Write predictions.jsonl and errors.jsonl in data set order.

        Returns:
            Numbers of predictions and of errors.

        Raises:
            RunError: A sample has neither.
        """
        missing = sum(1 for offset in self._offsets if offset < 0)
        if missing:
            raise RunError(f"{missing} samples have neither an answer nor a quarantine line")
        counts = [0, 0]
        names = (PREDICTIONS, ERRORS)
        temporary = [self._folder / f".{name}.{os.getpid()}.tmp" for name in names]
        with (
            self._path.open("rb") as answers,
            temporary[0].open("w", encoding="utf-8") as predictions,
            temporary[1].open("w", encoding="utf-8") as errors,
        ):
            for offset in self._offsets:
                answers.seek(offset)
                row = json.loads(answers.readline())
                which = int("error" in row)
                (predictions, errors)[which].write(json_line(row["error" if which else "prediction"]))
                counts[which] += 1
        for path, name in zip(temporary, names, strict=True):
            path.replace(self._folder / name)
        return counts[0], counts[1]


def _lock(file: BinaryIO, run: Path) -> None:
    """One process a run: two would write over each other's offsets. The lock ends with the process, however it ends."""
    try:
        import fcntl  # noqa: PLC0415 -- only where the system has it
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise RunError(f"{run}: another process is working on this run; wait for it, or stop it") from error


def _index_of(line: bytes, count: int) -> int | None:
    """The sample index of a whole journal line; None for a torn one."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
        index = row["index"]
    except (ValueError, KeyError, TypeError):
        return None
    return index if isinstance(index, int) and 0 <= index < count and len(row) == 2 else None
