"""What is done to texts before they are compared. By default nothing."""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

from inferry.core.errors import UsageError

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"


def _none(text: str) -> str:
    return text


def _upper(text: str) -> str:
    """See `NORMALISATIONS`."""
    return " ".join("".join(map(_upper_character, text)).upper().split())


def _upper_character(character: str) -> str:
    if character in _APOSTROPHES:
        return "'"
    category = unicodedata.category(character)
    if category == "Pd" or character == "/":  # a dash or slash stands between two words
        return " "
    return "" if category[0] in "PS" else character


NORMALISATIONS: Final[Mapping[str, Callable[[str], str]]] = {"none": _none, "upper": _upper}
"""By name, applied to reference and hypothesis alike.

``none``: the text as it is, the default; original implementations compare like this.
``upper``: upper case; punctuation and symbols dropped, but apostrophes kept (typographic ones become ``'``) and dashes
and slashes turned into spaces; runs of white space become one space, none at the ends. For references in mixed case
with punctuation, against models that write capitals only. Numbers are not spelled out.
"""


def normalisation(name: str) -> Callable[[str], str]:
    """The function behind a name of `NORMALISATIONS`.

    Raises:
        UsageError: There is no such normalisation.
    """
    if name not in NORMALISATIONS:
        raise UsageError(f"unknown normalisation {name!r}; choose one of: {', '.join(NORMALISATIONS)}")
    return NORMALISATIONS[name]
