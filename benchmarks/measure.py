"""What the benchmarks share: a child process with its peak memory, ratios with their range, and the signature."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from inferry.core.machine import signature

INFERRY = (sys.executable, "-m", "inferry")
"""The command line of the installed package, with this interpreter."""

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ru_maxrss (getrusage(2))."""


@dataclass(frozen=True)
class Child:
    """A finished child process.

    Attributes:
        seconds: Wall time from start to end, the interpreter's start included.
        peak: Greatest resident memory in bytes; pages of mapped files count.
    """

    seconds: float
    peak: int


@dataclass(frozen=True)
class Range:
    """Several measurements of one quantity."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        """Of at least one value."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.least:.3f} to {self.greatest:.3f})"


def ratios(left: Sequence[float], right: Sequence[float]) -> Range:
    """Left over right, round by round: both sides of a round met the same load of the machine."""
    return Range.of([a / b for a, b in zip(left, right, strict=True)])


def run_child(command: Sequence[str], expected: Sequence[int] = (0,)) -> Child:
    """Run a command and measure it.

    Linux counts the memory of the parent at the moment of the start into the child's peak (execve(2) keeps the
    greatest value), so the caller must be smaller than what it measures.

    Raises:
        SystemExit: The command ended with a code that is not among the expected; its output is printed.
    """
    with tempfile.TemporaryFile() as output:
        start = perf_counter()
        process = subprocess.Popen(list(command), stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in expected:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    return Child(seconds, usage.ru_maxrss * _RSS_UNIT)


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The given folder, made if need be and kept, or a temporary one that is removed."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="inferry-benchmark-") as folder:
        yield Path(folder)


def print_signature() -> None:
    """Versions, machine, and how busy the machine is with other things."""
    for name, value in signature().items():
        print(f"{name}: {value}")
    print(f"load average of the last 1, 5 and 15 minutes: {', '.join(f'{load:.2f}' for load in os.getloadavg())}")


def verdict(*, kept: bool, limit: str) -> str:
    """How a measurement stands to its limit."""
    return f"{'within' if kept else 'ABOVE'} the limit of {limit}"
