"""What tasks with ranked answers have in common."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from inferry.report.rows import Answer, Piece

SPEECH_SETTINGS: Final = frozenset({"decoding", "max_seconds"})
"""Of every run, with a meaning for sounds only."""


def best_of(row: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Index and label of the best answers, best first."""
    return [(int(one["index"]), str(one["label"])) for one in row["best"]]


def unscored(best: Sequence[tuple[int, str]]) -> Answer:
    """The best answer and those after it, where nobody says what is right."""
    first, *others = (Piece(label) for _, label in best)
    return Answer(first.text, (first,), others=tuple(others))
