"""Reads the fields of a JSON object and collects everything that is wrong with them."""

import math
from collections.abc import Iterator, Mapping

from inferry.core.errors import UsageError


class Fields:
    """A JSON object under inspection.

    Every getter notes a problem and returns a harmless value where the field is missing or wrong; `finish` raises
    once, with all of them.

    Args:
        value: What the JSON parser gave.
        where: Its name in messages.
        problems: A list to share with the enclosing object.
    """

    def __init__(self, value: object, where: str, problems: list[str] | None = None) -> None:
        self._where = where
        self._problems = [] if problems is None else problems
        self._row: Mapping[str, object] = {}
        if isinstance(value, Mapping):
            self._row = value
        else:
            self.problem(f"must be a JSON object, not {type(value).__name__}")

    def problem(self, text: str) -> None:
        """Note a problem."""
        self._problems.append(f"{self._where}: {text}")

    def has_value(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._row.get(name) is not None

    def text(self, name: str) -> str:
        """A string of at least one character."""
        value = self._row.get(name)
        if isinstance(value, str) and value:
            return value
        self._wrong(name, "a name")
        return ""

    def integer(self, name: str, least: int) -> int:
        """An integer of at least `least`."""
        value = self._row.get(name)
        # bool is an int to Python, not to JSON.
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self._wrong(name, f"an integer of {least} or more")
        return least

    def number(self, name: str, least: float) -> float:
        """A finite number of at least `least`."""
        value = self._row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= least:
            return float(value)
        self._wrong(name, f"a number of {least} or more")
        return least

    def part(self, name: str) -> "Fields":
        """An object inside this one."""
        return Fields(self._row.get(name), f"{self._where}.{name}", self._problems)

    def rows(self, name: str) -> Iterator["Fields"]:
        """The objects of a list."""
        value = self._row.get(name)
        if not isinstance(value, list):
            self._wrong(name, "a list")
            return
        for i, row in enumerate(value):
            yield Fields(row, f"{self._where}.{name}[{i}]", self._problems)

    def finish(self, fix: str) -> None:
        """Raise if there were problems.

        Raises:
            UsageError: With every problem, and `fix`.
        """
        if self._problems:
            lines = "".join(f"\n  - {problem}" for problem in self._problems)
            count = len(self._problems)
            raise UsageError(f"{count} problem{'s' if count != 1 else ''} in this {self._where}:{lines}\n{fix}")

    def _wrong(self, name: str, expected: str) -> None:
        found = repr(self._row[name])[:60] if name in self._row else "nothing"
        self.problem(f"{name} must be {expected}; found {found}")
