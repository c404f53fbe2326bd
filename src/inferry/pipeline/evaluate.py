"""Run to metrics, against the references that the data set gave."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferry.core.errors import RunError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.runs import METRICS, Run, open_run
from inferry.core.scores import Answered, Score
from inferry.pipeline.tasks.registry import task_of
from inferry.pipeline.tasks.task import Task


@dataclass(frozen=True)
class Evaluation:
    """A score and what it covers.

    Attributes:
        run: The run.
        task: Of its model.
        score: Over the samples that have both a prediction and a reference.
        without_reference: Samples with a prediction of which nobody says what they are; left out of the score.
        quarantined: Samples without a prediction; left out of the score.
    """

    run: Run
    task: Task
    score: Score
    without_reference: int
    quarantined: int

    @property
    def scored(self) -> int:
        """Number of samples in the score."""
        return self.score.scored

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """The content of metrics.json."""
        return {
            "task": self.task.name,
            "scored": self.scored,
            "exact": self.score.exact,
            "without_reference": self.without_reference,
            "quarantined": self.quarantined,
            "rates": [rate.to_json() for rate in self.score.rates],
            "remarks": list(self.score.remarks),
            "signature": {**self.run.info.get("signature", {}), "bundle": self.run.info["config"]["bundle"]},
            "score": self.score.to_json(rows=rows),
        }


def evaluate(run: str | Path, normalisation: str = "none") -> Evaluation:
    """Score a finished run and write its metrics.json.

    Args:
        run: The run's folder.
        normalisation: What is done to transcripts and references first: ``none`` or ``upper``.

    Raises:
        UsageError: There is no run, or the normalisation is unknown or not for this task.
        RunError: The run is not finished or names no task, or no sample has both a prediction and a reference.
    """
    opened = open_run(run)
    if not opened.finished:
        raise RunError(f"{run} is not finished: run the same `inferry infer` again, it goes on where it stopped")
    task = task_of(opened)
    files = {name: text for name in task.keeps if (text := opened.text(name)) is not None}
    skipped = [0]
    score = task.score(_with_reference(opened, skipped), files, normalisation=normalisation)
    quarantined = int(opened.info["quarantined"])
    if not score.scored:
        answered, lost = _counted(skipped[0], "prediction"), _counted(quarantined, "sample")
        raise RunError(f"{run}: nothing to score: {answered} without a reference, {lost} quarantined")
    evaluation = Evaluation(opened, task, score, skipped[0], quarantined)
    write_atomic(opened.path / METRICS, to_json_text(evaluation.to_json()))
    return evaluation


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _with_reference(run: Run, skipped: list[int]) -> Iterator[Answered]:
    for row in run.rows():
        reference = row["reference"]
        if reference is None:
            skipped[0] += 1
        else:
            yield Answered(row["id"], tuple(reference) if isinstance(reference, list) else reference, row)
