"""What the atc linter finds."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

USAGE: Final = "usage"
"""In the place of an E-code: a documented rule is broken for which atc reports none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule.

    Attributes:
        code: atc's own (GE's table of error codes, ``E10018``), or `USAGE`.
        found: What was found and what is expected.
        fix: What to write instead.
    """

    code: str
    found: str
    fix: str

    def __str__(self) -> str:
        return f"{self.code}: {self.found}. fix: {self.fix}"


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean …``-text: the most similar known name, or all of them, or that there is none."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"the nearest is {close[0]}"
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"there are {shown}" if names else "there is none"
