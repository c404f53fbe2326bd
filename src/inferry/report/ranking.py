"""The best classes or answers as text with bars, and as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from inferry.core.files import to_json_text
from inferry.core.samples import Answer, Classification, Ranked
from inferry.report.captions import readable

_BAR: Final = 30
_LABEL: Final = 38
"""Columns; with two spaces on both sides of the label and " 100.0 %" after the bar a line has 80 of them."""
_EIGHTHS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best answers to what one file shows.

    Attributes:
        file: The file.
        prediction: Its classes, or the answers to the question, each with its score.
        question: What was asked; None where the task knows no questions.
        number: Of the question, from 1 on; None where there is no more than one.
    """

    file: Path
    prediction: Classification | Answer
    question: str | None = None
    number: int | None = None

    @property
    def heading(self) -> str:
        """What stands before the text where answers to several files share a screen."""
        return f"{readable(self.file)}: " if self.question is not None else f"{readable(self.file)}\n"

    @property
    def stem(self) -> str:
        """Name without suffix of the file that the answer is written to."""
        return self.file.stem if self.number is None else f"{self.file.stem}.{self.number}"

    def render(self, kind: str) -> str:
        """One of `FORMATS`."""
        return FORMATS[kind](self)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: ``file``, ``question`` where there is one, ``label`` or ``answer``, ``best`` with scores."""
        asked = {} if self.question is None else {"question": self.question}
        return {"file": readable(self.file), **asked, **self.prediction.to_json()}


def text(ranking: Ranking) -> str:
    """The question, if there is one, and a line each for the best."""
    asked = "" if ranking.question is None else f"{_shown(ranking.question)}\n"
    return asked + bars(ranking.prediction.best)


def json(ranking: Ranking) -> str:
    """The JSON object of `Ranking.to_json`."""
    return to_json_text(ranking.to_json())


FORMATS: Final[Mapping[str, Callable[[Ranking], str]]] = {"text": text, "json": json}


def bars(best: Sequence[Ranked]) -> str:
    """A line each: the label, a bar as long as its score, and the score in percent; at most 80 columns.

    Args:
        best: With scores from 0 to 1, which need not sum to one.

    Raises:
        ValueError: Nobody asked for the scores.
    """
    labels = [shortened(_shown(one.label), _LABEL) for one in best]
    width = max(map(cell_len, labels), default=0)
    return "".join(
        f"  {set_cell_size(label, width)}  {_bar(score):<{_BAR}} {100 * score:5.1f} %\n"
        for label, score in zip(labels, map(_score, best), strict=True)
    )


def shortened(label: str, columns: int) -> str:
    """A label of at most so many columns: cut after a word if that keeps at least half of them."""
    if cell_len(label) <= columns:
        return label
    cut = set_cell_size(label, columns - 1).rstrip()
    words = cut if label.startswith(f"{cut} ") else cut.rpartition(" ")[0]
    return (words if cell_len(words) >= columns // 2 else cut).rstrip(" ,;") + "…"


def _shown(label: str) -> str:
    """Control characters of a label must not reach a terminal."""
    return "".join(char if char.isprintable() else "�" for char in readable(label))


def _score(one: Ranked) -> float:
    if one.score is None:
        raise ValueError(f"{one.label!r} has no score; predict it with detailed=True")
    return one.score


def _bar(score: float) -> str:
    full, rest = divmod(round(score * _BAR * 8), 8)
    return "█" * full + _EIGHTHS[rest]
