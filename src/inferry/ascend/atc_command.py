"""atc command lines, taken apart as atc's own getopt does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inferry.ascend.atc_options import OPTIONS
from inferry.ascend.atc_problem import USAGE, Problem, nearest

_PROGRAMS: Final = (
    (("python3", "-m", "ge.pyatc"), 3),
    (("python", "-m", "ge.pyatc"), 3),
    (("atc",), 1),
    (("pyatc",), 1),
)

_QUOTES: Final = ('"', "'")


@dataclass(frozen=True, slots=True)
class Command:
    """A command line.

    Attributes:
        options: Values by name, without dashes and with underscores, in the order given; of a repeated option the last
            value counts, as in atc.
        problems: What could not be read; `lint` reports it first.
    """

    options: Mapping[str, str]
    problems: tuple[Problem, ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """An option's value; the default where it is absent or empty, which atc does not tell apart."""
        return self.options.get(name) or default


def parse_command(arguments: Sequence[str]) -> Command:
    """Takes a command line apart.

    ``--k=v``, ``--k v`` and a single dash are the same, and ``-`` is ``_`` in names. Quotes that a shell would have
    removed are removed. A leading ``atc``, ``pyatc`` or ``python3 -m ge.pyatc`` is skipped.

    Args:
        arguments: As a shell hands them over.
    """
    options: dict[str, str] = {}
    problems: list[Problem] = []
    rest = list(_without_program(arguments))
    while rest:
        head, separator, value = rest.pop(0).partition("=")
        name = head.lstrip("-").replace("-", "_")
        if not head.startswith("-"):
            problems.append(_stray(head + separator + value))
            continue
        if not separator and rest and not _names_option(rest[0]):
            value = rest.pop(0)
        elif not separator:
            problems.append(Problem(USAGE, f"--{name} has no value", f"write --{name}=VALUE, or leave it out"))
            continue
        if name not in OPTIONS:
            problems.append(Problem(USAGE, f"unknown option --{name}", f"{nearest(name, OPTIONS)}"))
            continue
        options[name] = _unquoted(name, value, problems)
    return Command(options, tuple(problems))


def _without_program(arguments: Sequence[str]) -> Sequence[str]:
    for words, count in _PROGRAMS:
        given = tuple(arguments[:count])
        if given and (given[0].replace("\\", "/").rsplit("/", 1)[-1], *given[1:]) == words:
            return arguments[count:]
    return arguments


def _names_option(word: str) -> bool:
    return word.startswith("-") and word.lstrip("-").partition("=")[0].replace("-", "_") in OPTIONS


def _stray(word: str) -> Problem:
    return Problem(
        "E10054",
        f"'{word}' belongs to no option",
        'put values with ; or spaces into quotation marks: --input_shape="a:1,2;b:1,2"',
    )


def _unquoted(name: str, value: str, problems: list[Problem]) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] in _QUOTES and value[-1] == value[0]:
        return value[1:-1]
    if value[:1] in _QUOTES or value[-1:] in _QUOTES:
        problems.append(
            Problem("E10054", f"--{name} has a quotation mark on one side only: {value}", "close the quotation marks")
        )
        return value.strip("\"'")
    return value
