"""What scoring answers returns. All rates are in percent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inferry.core.errors import RunError
from inferry.core.scores import Rate


@dataclass(frozen=True, slots=True)
class AnswerRate:
    """One rate over a data set.

    Attributes:
        name: ``vqa_score``, ``precision``, ``recall``, ``f1`` or ``vqa_accuracy``.
        rate: Percent; 0 where there is nothing to divide by, as the original has it.
        low: Percent, lower end of the 95 % bootstrap interval over questions; None where no resample defines it.
        high: Percent, its upper end.
        signature: How the number was made.
    """

    name: str
    rate: float
    low: float | None
    high: float | None
    signature: str


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """One question.

    Attributes:
        id: Of the question.
        score: Weight of the answer that was given, 0 to 1 (more only where several answers outside the vocabulary are
            the unknown answer, and that was given).
        accuracy: Of the official evaluation, 0 to 1; None where it was not asked for.
    """

    id: str
    score: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class VqaScore:
    """How well answers match those of people.

    Attributes:
        vqa_score: The original's: the weight min(1, people / 3) of the best answer, on average.
        precision: Of all answers with a logit of at least 0.5, the share that any person gave.
        recall: Of all answers that any person gave, the share with a logit of at least 0.5.
        f1: Their harmonic mean.
        vqa_accuracy: The official one: each person is left out in turn, and the answer is compared with the others.
            None where it was not asked for.
        questions: Scored.
        given: Answers with a logit of at least 0.5, padding and unknown left out.
        expected: Answers that people gave, likewise, those outside the vocabulary left out.
        right: Answers that are both.
        rows: One per question, in the order in which they came.
    """

    vqa_score: AnswerRate
    precision: AnswerRate
    recall: AnswerRate
    f1: AnswerRate
    vqa_accuracy: AnswerRate | None
    questions: int
    given: int
    expected: int
    right: int
    rows: tuple[QuestionResult, ...] = ()

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The original's figures, then the official accuracy."""
        said = f"of {self.questions:,} questions"
        named = [
            ("VQA score", self.vqa_score, said),
            ("precision", self.precision, f"{self.right:,} right of {self.given:,} answers given"),
            ("recall", self.recall, f"{self.right:,} given of {self.expected:,} answers expected"),
            ("F1", self.f1, ""),
        ]
        if self.vqa_accuracy is not None:
            named.append(("VQA accuracy (official)", self.vqa_accuracy, said))
        return tuple(Rate(name, one.rate, one.low, one.high, text, one.signature) for name, one, text in named)

    @property
    def scored(self) -> int:
        """Questions that were scored."""
        return self.questions

    @property
    def exact(self) -> int:
        """Questions whose answer has the full weight."""
        return sum(row.score >= 1 for row in self.rows)

    @property
    def remarks(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def signature(self) -> str:
        """How the VQA score was made; the other rates carry their own."""
        return self.vqa_score.signature

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it.

        Args:
            rows: Whether to include each question.
        """
        value = {"unit": "percent", **asdict(self)}
        value["rows"] = list(value["rows"])
        if not rows:
            del value["rows"]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "VqaScore":
        """Inverse of `to_json`; without rows the score has none.

        Raises:
            RunError: A field is missing or unknown.
        """
        try:
            official = value["vqa_accuracy"]
            return cls(
                vqa_score=AnswerRate(**value["vqa_score"]),
                precision=AnswerRate(**value["precision"]),
                recall=AnswerRate(**value["recall"]),
                f1=AnswerRate(**value["f1"]),
                vqa_accuracy=None if official is None else AnswerRate(**official),
                questions=int(value["questions"]),
                given=int(value["given"]),
                expected=int(value["expected"]),
                right=int(value["right"]),
                rows=tuple(QuestionResult(**row) for row in value.get("rows", ())),
            )
        except (KeyError, TypeError) as error:
            raise RunError(f"this VQA score is broken ({type(error).__name__}: {error}). Evaluate again") from error
