"""HTML in which every text that comes from outside is escaped."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final

_VOID = frozenset({"img", "path"})

NOTHING: Final = "\N{EN DASH}"
"""In place of a value that is not there."""

TIMES: Final = "\N{MULTIPLICATION SIGN}"

_WORDS = 24
"""Characters from which a cell holds a phrase, which needs room to be read."""


class Markup(str):
    """Text that is HTML already. Any other string is escaped when it becomes part of an element."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: object) -> Markup:
    """One element.

    Args:
        name: Of the tag.
        children: Markup stays as it is, any other text is escaped.
        attributes: By name; underscores become hyphens and one at the end goes, so that ``class_`` can be written.
            True gives the bare name; None and False leave the attribute out.
    """
    opening = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        opening += " " + key.rstrip("_").replace("_", "-")
        if value is not True:
            opening += f'="{escape(str(value))}"'
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(children)}</{name}>")


def join(children: Sequence[str]) -> Markup:
    """Several pieces one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def to_script_json(value: Any) -> str:  # noqa: ANN401 -- any JSON value
    """JSON that can stand in a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def data(value: Any) -> Markup:  # noqa: ANN401 -- any JSON value
    """A value for the page's script."""
    return Markup(f'<script type="application/json">{to_script_json(value)}</script>')


def chart(kind: str, value: Any, caption: str) -> Markup:  # noqa: ANN401 -- any JSON value
    """A figure that the page's script draws.

    Args:
        kind: Name of the drawing function in page.js.
        value: What it draws.
        caption: Says what is seen; read aloud in place of the picture.
    """
    canvas = element("div", class_="canvas", role="img", aria_label=caption)
    return element("figure", canvas, element("figcaption", caption), data(value), data_chart=kind)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table; columns whose name starts with ``>`` stand right. The first cell of a row heads it."""
    right = [column.startswith(">") for column in columns]

    def cell(name: str, text: str, place: int) -> Markup:
        return element(name, text, class_="number" if right[place] else "words" if _is_phrase(text) else None)

    head = [cell("th", column.removeprefix(">"), place) for place, column in enumerate(columns)]
    body = [
        element("tr", *(cell("td" if place else "th", text, place) for place, text in enumerate(row))) for row in rows
    ]
    made = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    return element("div", made, class_="scroll", tabindex="0")


def _is_phrase(text: str) -> bool:
    return not isinstance(text, Markup) and len(text) > _WORDS


def section(title: str, name: str, *children: str) -> Markup:
    """A part of the page with its heading; `name` is what links point to."""
    return element("section", element("h2", title), *children, id=name)


def note(text: str) -> Markup:
    """A sentence beside the main matter."""
    return element("p", text, class_="note")


def scientific(value: float | None) -> str:
    """Such as 1.5e-05; a dash for None."""
    return NOTHING if value is None else "0" if value == 0 else f"{value:.1e}"


def count(value: float | None) -> str:
    """A whole number with commas; a dash for None."""
    return NOTHING if value is None else f"{value:,.0f}"


def decimal(value: float | None, digits: int = 2) -> str:
    """With a fixed number of digits; a dash for None."""
    return NOTHING if value is None else f"{value:,.{digits}f}"
