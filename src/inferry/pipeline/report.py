"""Runs to report.html: one page that shows what happened to accuracy and speed."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inferry.core.errors import RunError, UsageError
from inferry.core.files import write_atomic
from inferry.core.runs import REPORT, Run, open_run
from inferry.pipeline.reporting.data import gather_parts
from inferry.pipeline.reporting.samples import gather_samples
from inferry.pipeline.reporting.views.registry import view_of
from inferry.report.page import Report, render

COMPARISON: Final = "comparison.html"
"""Name of a page about several runs, in the first of them, whose own report.html stays."""

MOST_RUNS: Final = 8
"""More cannot be told apart side by side."""


def report(runs: str | Path | Sequence[str | Path], output: str | Path | None = None) -> Path:
    """Write the page of one run, or of several side by side.

    Args:
        runs: A run's folder, or several.
        output: The file to write. By default report.html in the run, or comparison.html in the first of several.

    Returns:
        The file that was written: self-contained and smaller than `inferry.report.page.LIMIT`.

    Raises:
        UsageError: A folder is no run, a run is named twice, there are more than `MOST_RUNS`, or they are of several
            tasks.
        RunError: A run is not finished, or one of its files is broken.
    """
    paths = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    opened = _open(paths)
    target = Path(output) if output is not None else paths[0] / (REPORT if len(paths) == 1 else COMPARISON)
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target} cannot be written: --output is a file in a folder that exists")
    command = shlex.join(["inferry", "report", *map(str, paths), "--output", str(target)])
    view = view_of(opened)
    gathered = gather_samples(opened, view)
    parts = gather_parts(opened, view, gathered.seconds)
    write_atomic(target, render(Report(parts, gathered.samples, command)))
    return target


def _open(paths: Sequence[Path]) -> tuple[Run, ...]:
    if not 1 <= len(paths) <= MOST_RUNS:
        raise UsageError(f"{len(paths)} runs are given; a report takes 1 to {MOST_RUNS}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"a run is named twice: {', '.join(map(str, paths))}")
    opened = tuple(open_run(path) for path in paths)
    unfinished = [str(run.path) for run in opened if not run.complete]
    if unfinished:
        raise RunError(
            f"{', '.join(unfinished)}: not finished; run the same `inferry infer` again, it goes on where it stopped"
        )
    return opened
