"""One hop of the way from the original network to the deployed one: how it is measured, and what is said about it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from inferry.core.errors import ParityError
from inferry.core.protocols import Decoder
from inferry.core.samples import Prediction, Reference
from inferry.core.scores import Answered
from inferry.core.specs import Array
from inferry.core.tolerances import NEAR_TIE
from inferry.metrics.differences import Difference, Differences, finite_or_none
from inferry.pipeline.tasks.task import Task

SCORES: Final = "logits"
"""The output that is compared: every family's graph has it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a hop, as the task names it.

    Attributes:
        name: For people, such as ``WER to the references``.
        percent: Its value.
    """

    name: str
    percent: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Hop:
    """One form of the network, compared with the truth.

    Attributes:
        name: What was compared.
        samples: Number of samples; 0 if nothing was compared.
        difference: Of the logits from the truth's.
        tolerance: What `max_abs` may be.
        added_max_abs: Greatest difference from the hop before: what this hop itself brought in. None for the first.
        frames: Rows of logits.
        frames_changed: Rows whose greatest logit stands elsewhere.
        answers_changed: Samples whose decoded answer differs, near ties not counted.
        near_ties: Samples of which the truth has two scores nearer than `NEAR_TIE`.
        agreement: How far the answers are the truth's own; None where there is nothing to divide by.
        accuracy: The task's main figure against the data set's references; None where there are none.
        skipped: Why nothing was compared; empty otherwise.
    """

    name: str
    samples: int = 0
    difference: Difference = Difference()  # noqa: RUF009 -- frozen
    tolerance: float = 0.0
    added_max_abs: float | None = None
    frames: int = 0
    frames_changed: int = 0
    answers_changed: int = 0
    near_ties: int = 0
    agreement: Figure | None = None
    accuracy: Figure | None = None
    skipped: str = ""

    @property
    def max_abs(self) -> float:
        """Greatest absolute difference on logits; infinite where a logit is not finite."""
        return self.difference.max_abs

    @property
    def passed(self) -> bool:
        """Whether the hop changed nothing; True as well for one that was not compared (see `skipped`)."""
        return bool(self.skipped) or (self.max_abs <= self.tolerance and self.answers_changed == 0)

    @property
    def problem(self) -> str:
        """What it changed, as a part of a sentence."""
        found = "are not finite" if math.isinf(self.max_abs) else f"differ by up to {self.max_abs:.3g}"
        return (
            f"logits {found} (tolerance {self.tolerance:g}), {self.answers_changed} of {self.samples} answers changed"
        )

    def to_json(self) -> dict[str, Any]:
        """A row of parity.json; null where a number is not finite."""
        if self.skipped:
            return {"name": self.name, "compared": False, "reason": self.skipped}
        return {
            "name": self.name,
            "compared": True,
            "passed": self.passed,
            "samples": self.samples,
            **self.difference.to_json(),
            "tolerance": self.tolerance,
            "added_max_abs": finite_or_none(self.added_max_abs),
            "frames": self.frames,
            "frames_changed": self.frames_changed,
            "answers_changed": self.answers_changed,
            "near_ties": self.near_ties,
            "agreement": None if self.agreement is None else self.agreement.to_json(),
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
        }


class Meter:
    """Measures one hop, sample by sample; keeps numbers and answers, no tensors.

    Args:
        name: Of the hop.
        decoder: Of the bundle.
        tolerance: Greatest absolute difference on logits that passes.
        task: Decides how answers are scored.
        files: The bundle's text files; scoring needs some of them.
    """

    def __init__(self, name: str, decoder: Decoder, tolerance: float, task: Task, files: Mapping[str, str]) -> None:
        self._name = name
        self._decoder = decoder
        self._tolerance = tolerance
        self._task = task
        self._files = files
        self._from_truth = Differences()
        self._added = Differences()
        self._samples = self._frames = self._frames_changed = self._answers_changed = self._near_ties = 0
        self._answers: list[_Answer] = []
        self._worst: tuple[tuple[bool, bool, float], str] | None = None

    @property
    def worst(self) -> str:
        """Id of the sample that the hop changed most; empty before the first."""
        return self._worst[1] if self._worst else ""

    def add(
        self,
        id_: str,
        truth: Mapping[str, Array],
        found: Mapping[str, Array],
        *,
        previous: Mapping[str, Array] | None = None,
        reference: Reference | None = None,
    ) -> None:
        """Compare one sample.

        Args:
            id_: Of the sample.
            truth: Its outputs where nothing was changed yet.
            found: Its outputs after this hop.
            previous: Its outputs after the hop before, None for the first hop.
            reference: What a person says it is.

        Raises:
            ParityError: The logits have another shape.
        """
        a, b = truth[SCORES], found[SCORES]
        if a.shape != b.shape:
            raise ParityError(
                f"parity broke at the hop {self._name!r}: the logits of {id_} have shape {b.shape} instead of {a.shape}"
            )
        worst = self._from_truth.add(a, b)
        if previous is not None:
            self._added.add(previous[SCORES], b)
        self._samples += 1
        self._frames += math.prod(a.shape[:-1])
        changed = True
        if math.isinf(worst):
            self._frames_changed += int((~np.isfinite(b).all(axis=-1)).sum())
        else:
            self._frames_changed += int((a.argmax(-1) != b.argmax(-1)).sum()) if a.size else 0
            changed = self._compare_answers(id_, truth, found, reference)
        self._answers_changed += changed
        rank = (worst > self._tolerance, changed, worst)
        if self._worst is None or rank > self._worst[0]:
            self._worst = (rank, id_)

    def _compare_answers(
        self, id_: str, truth: Mapping[str, Array], found: Mapping[str, Array], reference: Reference | None
    ) -> bool:
        """Whether the answer changed and was no near tie."""
        near = self._decoder.margin(truth) <= NEAR_TIE
        self._near_ties += near
        original, answer = self._decoder.decode(truth), self._decoder.decode(found)
        self._answers.append(_Answer(id_, original, answer, reference))
        return not near and original != answer

    def hop(self) -> Hop:
        """What was measured so far.

        Raises:
            RunError: A reference is none of this network's.
        """
        added = self._added.result()
        return Hop(
            name=self._name,
            samples=self._samples,
            difference=self._from_truth.result(),
            tolerance=self._tolerance,
            added_max_abs=added.max_abs if added.elements else None,
            frames=self._frames,
            frames_changed=self._frames_changed,
            answers_changed=self._answers_changed,
            near_ties=self._near_ties,
            agreement=self._agreement(),
            accuracy=self._accuracy(),
        )

    def _agreement(self) -> Figure | None:
        percent = self._task.agree((one.original, one.found) for one in self._answers)
        return None if percent is None else Figure(self._task.agreement, percent)

    def _accuracy(self) -> Figure | None:
        answered = [
            Answered(one.id, one.reference, one.found.to_json()) for one in self._answers if one.reference is not None
        ]
        if not answered:
            return None
        main = self._task.score(answered, self._files, resamples=1).rates[0]
        return None if main.percent is None else Figure(f"{main.name} to the references", main.percent)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The decoded answers of one sample, before and after, and its reference."""

    id: str
    original: Prediction
    found: Prediction
    reference: Reference | None
