"""What scoring classes returns. All rates are in percent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from inferry.core.errors import RunError
from inferry.core.scores import Rate

_CONFUSIONS: Final = 20
"""Written to metrics.json; the rows have them all."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One share of right answers.

    Attributes:
        name: ``top1`` or ``top5``.
        rate: Percent; None without pictures.
        correct: Pictures with a right class among the best one or five.
        pictures: Scored.
        low: Percent, lower end of the 95 % bootstrap interval over pictures; None as for `rate`.
        high: Percent, its upper end.
        signature: How the number was made.
    """

    name: str
    rate: float | None
    correct: int
    pictures: int
    low: float | None
    high: float | None
    signature: str


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One line of the table of classes.

    Attributes:
        reference: The class, or the classes of which any is right.
        label: Their names, joined by `` | ``.
        pictures: With this reference.
        top1: Of them, those whose best class is right.
        top5: Of them, those with a right class among the five best.
    """

    reference: tuple[int, ...]
    label: str
    pictures: int
    top1: int
    top5: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """A wrong answer and how often it was given.

    Attributes:
        reference: The class or classes that would be right.
        label: Their names.
        answer: The class that was given.
        answer_label: Its name.
        pictures: How often.
    """

    reference: tuple[int, ...]
    label: str
    answer: int
    answer_label: str
    pictures: int


@dataclass(frozen=True, slots=True)
class MixUp:
    """Labels that count the classes in another way than the network.

    Attributes:
        kind: ``shift`` (every label is too high or too low by one number) or ``permutation``.
        offset: For a shift: what must be added to the labels; 0 otherwise.
        rate: Percent of the pictures that are right once the labels are translated so.
        reason: A sentence for people.
    """

    kind: str
    offset: int
    rate: float
    reason: str


@dataclass(frozen=True, slots=True)
class PictureResult:
    """One picture.

    Attributes:
        id: Of the picture.
        reference: The class, or the classes of which any is right.
        best: The class that was given.
        rank: Place of the first right class among the five best, from 1 on; None if there is none.
    """

    id: str
    reference: tuple[int, ...]
    best: int
    rank: int | None

    @property
    def top1(self) -> bool:
        """Whether the best class is right."""
        return self.rank == 1

    @property
    def top5(self) -> bool:
        """Whether one of the five best is right."""
        return self.rank is not None


@dataclass(frozen=True, slots=True)
class ClassificationScore:
    """How well the classes of pictures match their references.

    Attributes:
        top1: Share of pictures whose best class is right.
        top5: Share of pictures with a right class among the five best.
        classes: One row for each reference that occurs.
        confusions: Wrong answers, the most frequent first.
        mix_up: Set where the labels seem to count the classes in another way than the network.
        rows: One per picture, in the order in which they came.
    """

    top1: Accuracy
    top5: Accuracy
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]
    mix_up: MixUp | None = None
    rows: tuple[PictureResult, ...] = ()

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The best class, and the five best."""
        return tuple(
            Rate(name, one.rate, one.low, one.high, f"{one.correct:,} of {one.pictures:,} pictures", one.signature)
            for name, one in (("top-1", self.top1), ("top-5", self.top5))
        )

    @property
    def scored(self) -> int:
        """Pictures that were scored."""
        return self.top1.pictures

    @property
    def exact(self) -> int:
        """Pictures whose best class is right."""
        return self.top1.correct

    @property
    def remarks(self) -> tuple[str, ...]:
        """Labels that count the classes in another way than the network."""
        return () if self.mix_up is None else (self.mix_up.reason,)

    @property
    def signature(self) -> str:
        """How the top-1 accuracy was made; the other carries its own."""
        return self.top1.signature

    def worst_classes(self, count: int) -> tuple[ClassScore, ...]:
        """Up to `count` classes with errors, those with the lowest share of right answers first (then order)."""
        wrong = [row for row in self.classes if row.top1 < row.pictures]
        return tuple(sorted(wrong, key=lambda row: row.top1 / row.pictures)[:count])

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it but for confusions beyond the twenty most frequent.

        Args:
            rows: Whether to include each picture.
        """
        value: dict[str, Any] = {
            "unit": "percent",
            "top1": asdict(self.top1),
            "top5": asdict(self.top5),
            "mix_up": None if self.mix_up is None else asdict(self.mix_up),
            "classes": [_listed(asdict(row)) for row in self.classes],
            "confusions": [_listed(asdict(row)) for row in self.confusions[:_CONFUSIONS]],
        }
        if rows:
            value["rows"] = [_listed(asdict(row)) for row in self.rows]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ClassificationScore":
        """Inverse of `to_json`; without rows the score has none.

        Raises:
            RunError: A field is missing or unknown.
        """
        try:
            return cls(
                top1=Accuracy(**value["top1"]),
                top5=Accuracy(**value["top5"]),
                classes=tuple(ClassScore(**_tupled(row)) for row in value["classes"]),
                confusions=tuple(Confusion(**_tupled(row)) for row in value["confusions"]),
                mix_up=None if value["mix_up"] is None else MixUp(**value["mix_up"]),
                rows=tuple(PictureResult(**_tupled(row)) for row in value.get("rows", ())),
            )
        except (KeyError, TypeError) as error:
            raise RunError(
                f"this classification score is broken ({type(error).__name__}: {error}). Evaluate again"
            ) from error


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "reference": list(row["reference"])}


def _tupled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "reference": tuple(row["reference"])}
