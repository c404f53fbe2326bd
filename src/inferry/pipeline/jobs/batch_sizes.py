"""Whether batching changed an answer: what several batch sizes said about the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inferry.pipeline.jobs.answers import Answered, Answers
from inferry.pipeline.jobs.folder import JobSample


@dataclass(frozen=True)
class Difference:
    """Answers of one batch size against those of the smallest that ran.

    Attributes:
        batch: Its size.
        compared: Samples that ran in both.
        differing: Of them, those with another answer.
        first: Id of the first of these; None if there is none.
    """

    batch: int
    compared: int = 0
    differing: int = 0
    first: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return dict(vars(self))


class BatchSizes:
    """Compares sample by sample.

    Args:
        answers: Of all batch sizes.
        batches: Those that ran.
    """

    def __init__(self, answers: Answers, batches: Sequence[int]) -> None:
        self._answers = answers
        self._found = {batch: Difference(batch) for batch in batches}

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Of each batch size that could be compared with a smaller one."""
        return tuple(one for one in self._found.values() if one.compared)

    def add(self, sample: JobSample, answered: Answered) -> None:
        """Compare one sample.

        Args:
            sample: Of the job.
            answered: What the smallest batch size said.

        Raises:
            RunError: A file is broken.
        """
        for batch, before in self._found.items():
            if not self._answers.has_other(sample, batch):
                continue
            differs = self._answers.answer(sample, batch).row != answered.row
            first = before.first or (sample.id if differs else None)
            self._found[batch] = Difference(batch, before.compared + 1, before.differing + differs, first)
