"""One hop of the way from the original network to the deployed one: how it is measured, and what is said about it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inferry.core.errors import ParityError
from inferry.core.protocols import Decoder
from inferry.core.samples import Prediction, Transcription
from inferry.core.specs import Array
from inferry.core.tolerances import NEAR_TIE
from inferry.metrics.differences import Difference, Differences, finite_or_none
from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import Utterance

SCORES: Final = "logits"
"""The output that is compared: every family's graph has it."""


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
        texts_changed: Samples whose decoded answer differs, near ties not counted.
        near_ties: Samples of which the truth has two scores nearer than `NEAR_TIE`.
        wer_to_original: Error rate against the truth's own answers, in percent; None for a task without one.
        wer: Error rate against the data set's references, in percent; None where there are none.
        skipped: Why nothing was compared; empty otherwise.
    """

    name: str
    samples: int = 0
    difference: Difference = Difference()  # noqa: RUF009 -- frozen
    tolerance: float = 0.0
    added_max_abs: float | None = None
    frames: int = 0
    frames_changed: int = 0
    texts_changed: int = 0
    near_ties: int = 0
    wer_to_original: float | None = None
    wer: float | None = None
    skipped: str = ""

    @property
    def max_abs(self) -> float:
        """Greatest absolute difference on logits; infinite where a logit is not finite."""
        return self.difference.max_abs

    @property
    def passed(self) -> bool:
        """Whether the hop changed nothing; True as well for one that was not compared (see `skipped`)."""
        return bool(self.skipped) or (self.max_abs <= self.tolerance and self.texts_changed == 0)

    @property
    def problem(self) -> str:
        """What it changed, as a part of a sentence."""
        found = "are not finite" if math.isinf(self.max_abs) else f"differ by up to {self.max_abs:.3g}"
        return f"logits {found} (tolerance {self.tolerance:g}), {self.texts_changed} of {self.samples} texts changed"

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
            "texts_changed": self.texts_changed,
            "near_ties": self.near_ties,
            "wer_to_original": self.wer_to_original,
            "wer": self.wer,
        }


class Meter:
    """Measures one hop, sample by sample; keeps numbers and texts, no tensors.

    Args:
        name: Of the hop.
        decoder: Of the bundle.
        tolerance: Greatest absolute difference on logits that passes.
        task: Decides how answers are scored.
    """

    def __init__(self, name: str, decoder: Decoder, tolerance: float, task: str) -> None:
        self._name = name
        self._decoder = decoder
        self._tolerance = tolerance
        self._score = ERROR_RATES.get(task)
        self._from_truth = Differences()
        self._added = Differences()
        self._samples = self._frames = self._frames_changed = self._texts_changed = self._near_ties = 0
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
        reference: str | None = None,
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
        self._texts_changed += changed
        rank = (worst > self._tolerance, changed, worst)
        if self._worst is None or rank > self._worst[0]:
            self._worst = (rank, id_)

    def _compare_answers(
        self, id_: str, truth: Mapping[str, Array], found: Mapping[str, Array], reference: str | None
    ) -> bool:
        """Whether the answer changed and was no near tie."""
        near = self._decoder.margin(truth) <= NEAR_TIE
        self._near_ties += near
        original, answer = self._decoder.decode(truth), self._decoder.decode(found)
        if self._score is not None:
            self._answers.append(_Answer(id_, original, answer, reference))
        return not near and original != answer

    def hop(self) -> Hop:
        """What was measured so far."""
        to_original, to_reference = None, None
        if self._score is not None:
            to_original, to_reference = self._score(self._answers, original=True), self._score(self._answers)
        added = self._added.result()
        return Hop(
            name=self._name,
            samples=self._samples,
            difference=self._from_truth.result(),
            tolerance=self._tolerance,
            added_max_abs=added.max_abs if added.elements else None,
            frames=self._frames,
            frames_changed=self._frames_changed,
            texts_changed=self._texts_changed,
            near_ties=self._near_ties,
            wer_to_original=to_original,
            wer=to_reference,
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """The decoded answers of one sample, before and after, and its reference."""

    id: str
    original: Prediction
    found: Prediction
    reference: str | None


def _word_error_rate(answers: Sequence[_Answer], *, original: bool = False) -> float | None:
    """Pooled word error rate of the texts found, in percent, against the original's texts or the references.

    None where there is no word to compare with.
    """
    wanted = [(one, _text(one.original) if original else one.reference) for one in answers]
    rows = [Utterance(one.id, text, _text(one.found)) for one, text in wanted if text is not None]
    return score_speech(rows, resamples=1).wer.rate if rows else None


def _text(prediction: Prediction) -> str:
    assert isinstance(prediction, Transcription), "the task is speech recognition"
    return prediction.text


ERROR_RATES: Final[Mapping[str, Callable[..., float | None]]] = {"speech-recognition": _word_error_rate}
"""How the answers of a task are scored; tasks that are not here have no rate in their rows."""
