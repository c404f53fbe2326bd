"""Run to metrics, against the references that the data set gave."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferry.core.errors import RunError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.runs import METRICS, Run, open_run
from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import SpeechScore, Utterance


@dataclass(frozen=True)
class Evaluation:
    """A score and what it covers.

    Attributes:
        run: The run.
        score: Over the samples that have both a prediction and a reference.
        without_reference: Samples with a prediction that nobody transcribed; left out of the score.
        quarantined: Samples without a prediction; left out of the score.
    """

    run: Run
    score: SpeechScore
    without_reference: int
    quarantined: int

    @property
    def scored(self) -> int:
        """Number of samples in the score."""
        return self.score.wer.utterances

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """The content of metrics.json."""
        return {
            "scored": self.scored,
            "without_reference": self.without_reference,
            "quarantined": self.quarantined,
            "score": self.score.to_json(rows=rows),
            "signature": {**self.run.info.get("signature", {}), "bundle": self.run.info["config"]["bundle"]},
        }


def evaluate(run: str | Path, normalisation: str = "none") -> Evaluation:
    """Score a finished run and write its metrics.json.

    Args:
        run: The run's folder.
        normalisation: What is done to both sides first: ``none`` or ``upper``.

    Raises:
        UsageError: There is no run, or the normalisation is unknown.
        RunError: The run is not finished, or no sample has both a prediction and a reference.
    """
    opened = open_run(run)
    if not opened.finished:
        raise RunError(f"{run} is not finished: run the same `inferry infer` again, it goes on where it stopped")
    skipped = [0]
    score = score_speech(_with_reference(opened, skipped), normalisation=normalisation)
    quarantined = int(opened.info["quarantined"])
    if not score.wer.utterances:
        raise RunError(
            f"{run}: nothing to score: {skipped[0]} predictions without a reference, {quarantined} samples quarantined"
        )
    evaluation = Evaluation(opened, score, skipped[0], quarantined)
    write_atomic(opened.path / METRICS, to_json_text(evaluation.to_json()))
    return evaluation


def _with_reference(run: Run, skipped: list[int]) -> Iterator[Utterance]:
    for row in run.rows():
        if row["reference"] is None:
            skipped[0] += 1
        else:
            yield Utterance(row["id"], row["reference"], row["text"])
