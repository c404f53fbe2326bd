"""What a task is to the pipeline."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from inferry.core.samples import Prediction
from inferry.core.scores import Answered, Score
from inferry.metrics.bootstrap import RESAMPLES


class Task(Protocol):
    """How the answers of a task are scored.

    Attributes:
        name: As in `Recipe.task`.
        noun: What one sample is called: ``utterance``, ``picture``, ``question``.
        agreement: Name of what `agree` gives.
        keeps: Files of the bundle that scoring needs; a run keeps copies of them.
    """

    name: str
    noun: str
    agreement: str
    keeps: tuple[str, ...]

    def score(
        self,
        answered: Iterable[Answered],
        files: Mapping[str, str],
        *,
        normalisation: str = "none",
        resamples: int = RESAMPLES,
    ) -> Score:
        """The task's figures over samples that have references.

        Args:
            answered: Read once.
            files: The contents of `keeps`, by name.
            normalisation: What is done to answers and references first; ``none`` is all that some tasks know.
            resamples: Of the bootstrap.

        Raises:
            UsageError: The normalisation is unknown.
            RunError: A reference is none of this network's.
        """

    def agree(self, pairs: Iterable[tuple[Prediction, Prediction]]) -> float | None:
        """How far answers are the truth's own, in percent.

        Args:
            pairs: The truth's answer and the one found.

        Returns:
            None where there is nothing to divide by.
        """

    def dropped(self) -> Prediction | None:
        """What a sample counts as that was never answered; None where the task has no such answer."""
