"""What the scores of all tasks have in common."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

from inferry.core.samples import Reference


class Answered(NamedTuple):
    """A sample that was answered and of which people say what it is.

    Attributes:
        id: Unique within the data set.
        reference: What people say.
        answer: What the prediction's `to_json` gives, as a row of predictions.jsonl has it.
    """

    id: str
    reference: Reference
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rate:
    """One figure over a data set.

    Attributes:
        name: As a reader knows it, such as ``WER`` or ``top-1``.
        percent: None where nothing can be divided.
        low: Percent, lower end of the 95 % interval; None likewise.
        high: Percent, its upper end.
        counted: What was counted, as a phrase; may be empty.
        signature: How the number was made.
    """

    name: str
    percent: float | None
    low: float | None
    high: float | None
    counted: str
    signature: str

    @property
    def interval(self) -> str:
        """Both ends, or a dash."""
        return "-" if self.low is None or self.high is None else f"{self.low:.2f} … {self.high:.2f}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


class Score(Protocol):
    """How well the answers to a data set match what people say."""

    @property
    def rates(self) -> tuple[Rate, ...]:
        """All figures, the task's main one first."""

    @property
    def scored(self) -> int:
        """Samples that were scored."""

    @property
    def exact(self) -> int:
        """Samples whose answer is entirely right."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the figures should know, each a sentence."""

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """A JSON object.

        Args:
            rows: Whether to include the result of each sample.
        """
