"""What tasks with ranked answers have in common."""

from collections.abc import Iterable, Mapping

from inferry.core.errors import RunError, UsageError
from inferry.core.samples import Answer, Classification, Prediction


def share_of_same(pairs: Iterable[tuple[Prediction, Prediction]]) -> float | None:
    """Percent of the pairs whose best classes or answers are the same; None of no pair."""
    same = [
        truth.best[0].index == found.best[0].index
        for truth, found in pairs
        if isinstance(truth, Classification | Answer) and isinstance(found, Classification | Answer)
    ]
    return 100.0 * sum(same) / len(same) if same else None


def lines(files: Mapping[str, str], name: str) -> tuple[str, ...]:
    """A text file's lines.

    Raises:
        RunError: The run has no such file.
    """
    if name not in files:
        raise RunError(f"the run has no {name}, which scoring needs: run the same `inferry infer` into a new folder")
    return tuple(files[name].removesuffix("\n").split("\n"))


def require_no_normalisation(normalisation: str) -> None:
    """Refuse what is for transcripts.

    Raises:
        UsageError: A normalisation is asked for.
    """
    if normalisation != "none":
        raise UsageError(f"--normalisation {normalisation} is for transcripts; this task has its own: leave it out")
