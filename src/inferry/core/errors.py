"""Every error Inferry raises on purpose.

InferryError                    the user gets a sentence, not a traceback
├── UsageError                  the command or call cannot be meant like this (exit code 2)
├── MissingDependencyError      an optional package is needed; says the line that installs it
├── CheckpointError             a checkpoint cannot be read safely and completely; lists all problems
├── DownloadError               a preset could not be fetched; says which file to put where
├── BundleError                 a bundle is broken, incomplete or of another schema
├── DatasetError                a data set as a whole cannot be read
├── SampleError                 one sample is bad: it is quarantined and the run goes on
├── BackendError                a runtime refused to open or run a bundle
├── ParityError                 a hop changed the answer
└── RunError                    a run folder is broken or belongs to another command
"""

from collections.abc import Sequence
from pathlib import Path


class InferryError(Exception):
    """Base of all errors that are the world's fault, not a bug in Inferry."""

    exit_code = 1


class UsageError(InferryError):
    """The command or call cannot be meant like this."""

    exit_code = 2


class MissingDependencyError(InferryError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        self.package = package
        self.install = install
        super().__init__(f"{needed_for} needs the package {package}, which is missing. Install it with: {install}")


class CheckpointError(InferryError):
    """A checkpoint cannot be read safely and completely.

    Args:
        path: The checkpoint.
        problems: All problems found, each a sentence.
        fix: What the user can do about it.
    """

    def __init__(self, path: Path | str, problems: Sequence[str], fix: str = "") -> None:
        self.path = Path(path)
        self.problems = tuple(problems)
        self.fix = fix
        lines = [f"{path}: {len(self.problems)} problem{'s' if len(self.problems) != 1 else ''} in this checkpoint"]
        lines += [f"  - {problem}" for problem in self.problems]
        if fix:
            lines.append(f"What to do: {fix}")
        super().__init__("\n".join(lines))


class DownloadError(InferryError):
    """A preset could not be fetched."""


class BundleError(InferryError):
    """A bundle is broken, incomplete or written by a newer schema."""


class DatasetError(InferryError):
    """A data set as a whole cannot be read."""


class SampleError(InferryError):
    """One sample is bad.

    Args:
        stage: Where it failed: ``dataset``, ``read``, ``process``, ``infer`` or ``decode``.
        reason: One sentence.
    """

    def __init__(self, stage: str, reason: str) -> None:
        self.stage = stage
        self.reason = reason
        super().__init__(f"{stage}: {reason}")


class BackendError(InferryError):
    """A runtime refused to open or run a bundle."""


class ParityError(InferryError):
    """A hop changed the answer."""


class RunError(InferryError):
    """A run folder is broken or belongs to another command."""
