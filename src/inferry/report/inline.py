"""The page's own files and the libraries that draw it, as they stand in the package."""

import re
from functools import cache
from importlib.resources import files
from typing import Final

SCRIPTS: Final = ("d3.min.js", "plot.umd.min.js", "tabulator.min.js", "page.js")
STYLES: Final = ("tabulator_simple.min.css", "page.css", "samples.css", "print.css")

_SOURCE_MAP = re.compile(r"(//# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)")


@cache
def read_asset(name: str) -> str:
    """One file of ``assets/``."""
    return files("inferry.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def inline_scripts() -> str:
    """All scripts as they can stand in one page, without pointers to source maps, which a browser would look for."""
    return "\n".join(f"<script>{_inline(name, '</script')}</script>" for name in SCRIPTS)


@cache
def inline_styles() -> str:
    """All style sheets likewise."""
    return "\n".join(f"<style>{_inline(name, '</style')}</style>" for name in STYLES)


def _inline(name: str, end: str) -> str:
    text = _SOURCE_MAP.sub("", read_asset(name)).strip()
    if end in text.lower():
        raise AssertionError(f"{name} contains {end!r} and cannot stand inside a page")
    return text
