"""The grammar of ``--input_shape``, ``--input_shape_range`` and ``--input_hint_shape``.

Source: ``ParseInputShape``, ``CheckAndTransferInputShapeToRange`` and ``ParseInputShapeRange`` of GE.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inferry.ascend.atc_command import Command
from inferry.ascend.atc_problem import USAGE, Problem

GEAR_OPTIONS: Final = ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims")

DYNAMIC: Final = -1

Dim = int | tuple[int, int]
"""A size, `DYNAMIC`, or a range with both ends."""

_LONGEST: Final = 18
"""Digits of a size that surely fits int64."""

_SAMPLE: Final = 'write "name1:1,3,224,224;name2:1,16"'
_RANGE_SAMPLE: Final = 'write "name1:[1~20,3,3~6,-1];name2:[1,16]"'


@dataclass(frozen=True, slots=True)
class Entry:
    """The shape of one input.

    Attributes:
        name: Of the input; empty in the index form, where entries stand in the order of the inputs.
        dims: Empty for a scalar.
    """

    name: str
    dims: tuple[Dim, ...]

    @property
    def dynamic(self) -> int:
        """How many sizes are -1 or a range."""
        return sum(dim == DYNAMIC or isinstance(dim, tuple) for dim in self.dims)


@dataclass(frozen=True, slots=True)
class Shapes:
    """All entries of an option, and what is wrong with the others."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()


def input_shapes(command: Command) -> Shapes:
    """The shapes that a command line gives, from ``--input_shape_range`` where there is one: it wins in atc too."""
    ranges = command.get("input_shape_range")
    if ranges:
        return parse_shape_range(ranges)
    return parse_input_shape(command.get("input_shape"), gears=any(command.get(name) for name in GEAR_OPTIONS))


def parse_input_shape(text: str, *, gears: bool) -> Shapes:
    """Reads ``name:d,d;name2:d,d``: entries end at ``;``, a name at the last ``:``, and ``name:`` is a scalar.

    Args:
        text: The option's value; empty gives no entries.
        gears: Whether gears are given, which forbid ranges; `gear_problems` names those.
    """
    # By these two atc chooses its parser, before it looks at anything else.
    ranged = not gears and ("~" in text or "-1" in text)
    indexed = ranged and ":" not in text
    entries: list[Entry] = []
    problems: list[Problem] = []
    for part in _parts(text):
        name, separator, dims = part.rpartition(":")
        if not indexed and not (separator and name.strip()):
            problems.append(Problem("E10002", f"--input_shape has an entry without a name: '{part}'", _SAMPLE))
            continue
        sizes = dims.split(",") if dims.strip() else []
        values = [_dim(size.strip(), f"--input_shape of '{part}'", ranged) for size in sizes]
        problems += [value for value in values if isinstance(value, Problem)]
        entries.append(Entry(name.strip(), tuple(value for value in values if not isinstance(value, Problem))))
    return Shapes(tuple(entries), (*problems, *_repeated(entries, "E10002", "--input_shape")))


def parse_shape_range(text: str) -> Shapes:
    """Reads ``name:[1~8,3,-1];…``, or ``[1~8,3],[1]`` in the order of the inputs."""
    named = ":" in text
    entries: list[Entry] = []
    problems: list[Problem] = []
    for part in _parts(text) if named else re.split(r"(?<=\])\s*,", text):
        name, _, dims = part.strip().rpartition(":")
        inner = re.fullmatch(r"\[([^\[\]]*)\]", dims.strip())
        if inner is None or (named and not name.strip()):
            found = f"--input_shape_range has an entry that is not a name and a shape in brackets: '{part}'"
            problems.append(Problem("E10048", found, _RANGE_SAMPLE))
            continue
        values = [_range(dim.strip(), part) for dim in inner[1].split(",") if inner[1].strip()]
        problems += [value for value in values if isinstance(value, Problem)]
        entries.append(Entry(name.strip(), tuple(value for value in values if not isinstance(value, Problem))))
    return Shapes(tuple(entries), (*problems, *_repeated(entries, "E10048", "--input_shape_range")))


def shape_option_problems(command: Command) -> list[Problem]:
    """What is wrong with the shapes themselves, and between them; the rules of gears stand in `gear_problems`."""
    problems = []
    gears = [name for name in GEAR_OPTIONS if command.get(name)]
    if command.get("input_shape_range") and command.get("input_shape"):
        found = "--input_shape is ignored beside --input_shape_range, which is deprecated"
        problems.append(Problem(USAGE, found, "keep --input_shape only; it takes ranges such as 1~8 too"))
    if command.get("input_hint_shape") and gears:
        found = f"--input_hint_shape cannot be used with --{gears[0]}"
        problems.append(Problem("E10001", found, "leave --input_hint_shape out"))
    if not gears:
        problems += input_shapes(command).problems
    return problems


def is_dynamic_shape(command: Command) -> bool:
    """Whether atc compiles a model of free shapes: a size of -1 or a range, and no gears."""
    gears = any(command.get(name) for name in GEAR_OPTIONS)
    return not gears and any(entry.dynamic for entry in input_shapes(command).entries)


def _parts(text: str) -> list[str]:
    """Entries. A ``;`` at the end makes an empty one, which atc refuses as well."""
    return text.split(";") if text.strip() else []


def _dim(text: str, where: str, ranged: bool) -> Dim | Problem:  # noqa: FBT001 - private, called in one place
    if "~" in text:
        value = _range(text, where)
        return value if not isinstance(value, Problem) else Problem(value.code, value.found, _SAMPLE)
    # std::stol decides between the two codes: whether a number begins here at all.
    if "." in text or (re.match(r"[-+]?\d", text) and not re.fullmatch(r"-?\d+", text)):
        return Problem("E10002", f"{where} has '{text}', which is no integer", _SAMPLE)
    if not re.fullmatch(r"-?\d+", text):
        return Problem("E10002" if ranged else "E10014", f"{where} has '{text}', which is no number", _SAMPLE)
    if len(text) > _LONGEST:
        return Problem("E10013", f"{where} has {text}, which is out of the range of int64", _SAMPLE)
    value = int(text)
    if value < 1 and value != DYNAMIC:
        return Problem("E10011", f"{where} has {value}", "sizes are positive, or -1 where they are dynamic")
    return value


def _range(text: str, where: str) -> Dim | Problem:
    found = re.fullmatch(r"(\d{1,18})(?:\s*~\s*(\d{1,18}))?|-1", text)
    if found is None:
        return Problem("E10048", f"{where} has '{text}', which is no size, no -1 and no range", _RANGE_SAMPLE)
    if found[1] is None:
        return DYNAMIC
    low, high = int(found[1]), int(found[2] or found[1])
    if low > high or high < 1:
        return Problem("E10048", f"{where} has the range '{text}', which holds no size", _RANGE_SAMPLE)
    return low if found[2] is None else (low, high)


def _repeated(entries: Sequence[Entry], code: str, option: str) -> list[Problem]:
    names = [entry.name for entry in entries if entry.name]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [Problem(code, f"{option} names '{name}' twice", "give each input once") for name in twice]
