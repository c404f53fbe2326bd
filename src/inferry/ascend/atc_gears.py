"""Gears: the fixed shapes that one om is compiled for, in the order of atc's own checks.

Source: ``CheckDynamicInputParamValid`` and ``multibatch::CheckDynamicParams`` of GE. atc stops at the first problem;
so does each of the stages here, because what follows would be judged by wrong shapes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from inferry.ascend.atc_command import Command
from inferry.ascend.atc_problem import USAGE, Problem
from inferry.ascend.atc_shapes import DYNAMIC, GEAR_OPTIONS, Entry, parse_input_shape
from inferry.ascend.atc_soc import soc_family

FEWEST: Final = 2
MOST: Final = 100
MOST_950: Final = 256

_NO_DIMS: Final = Problem("E10058", "--dynamic_dims is empty", 'write "1,128;4,128", or leave it out')
_HEIGHT_AND_WIDTH: Final[Mapping[str, tuple[int, int]]] = {"NCHW": (2, 3), "NHWC": (1, 2)}


def gear_problems(command: Command, soc: str = "") -> list[Problem]:
    """What is wrong with ``--dynamic_batch_size``, ``--dynamic_image_size`` or ``--dynamic_dims``.

    Args:
        command: Without one of the three nothing is checked.
        soc: The chip, which decides how many gears are allowed.
    """
    used = [name for name in GEAR_OPTIONS if command.get(name)]
    if not used:
        return _empty(command)
    shape = command.get("input_shape")
    if "~" in shape:
        found = f"--input_shape has a range, and --{used[0]} takes -1 only: {shape}"
        return [Problem("E10040", found, f"write -1 for the range, or leave --{used[0]} out")]
    exclusive = [*used, *(["input_shape_range"] if command.get("input_shape_range") else [])]
    if len(exclusive) > 1:
        found = "--" + " and --".join(exclusive) + " exclude each other"
        return [Problem("E10009", found, "keep one of them")]
    if not shape:
        return [
            Problem("E10004", f"--{used[0]} needs --input_shape", "add --input_shape with -1 for each dynamic size")
        ]
    shapes = parse_input_shape(shape, gears=True)
    if shapes.problems:
        return list(shapes.problems)
    text = command.get(used[0])
    problems = _CHECKS[used[0]](shapes.entries, text, command.get("input_format"))
    most = MOST_950 if soc_family(soc) == "950" else MOST
    return problems or profile_problems(gears_of(used[0], text), used[0], most)


def _empty(command: Command) -> list[Problem]:
    """An option of gears without a value: atc has a code for one of them, and takes the others for absent."""
    if "dynamic_dims" in command.options:
        return [_NO_DIMS]
    names = [name for name in GEAR_OPTIONS if name in command.options]
    return [
        Problem(USAGE, f"--{name} is empty, and atc compiles no gears", "give them, or leave it out") for name in names
    ]


def gears_of(option: str, text: str) -> tuple[tuple[int, ...], ...]:
    """The gears of an option's value: ``1,2,4`` or ``224,224;448,448``, where one ``,`` or ``;`` may end it."""
    if option == "dynamic_batch_size":
        return tuple((int(size),) for size in text.removesuffix(",").split(","))
    return tuple(tuple(int(size) for size in gear.split(",")) for gear in text.removesuffix(";").split(";"))


def profile_problems(gears: Sequence[Sequence[int]], option: str, most: int = MOST) -> list[Problem]:
    """What is wrong with the gears among themselves: their number, arity, sizes and repetitions."""
    problems = []
    if len(gears) < FEWEST:
        found = f"--{option} has {len(gears)} gear, at least {FEWEST} are needed"
        problems.append(Problem("E10035", found, "add a gear, or compile a static model without this option"))
    if len(gears) > most:
        found = f"--{option} has {len(gears)} gears, at most {most} are documented"
        problems.append(Problem("E10036", found, "keep fewer gears; memory follows the largest, time their number"))
    arities = sorted({len(gear) for gear in gears})
    if len(arities) > 1:
        found = f"--{option} has gears of {' and '.join(map(str, arities))} sizes"
        problems.append(Problem("E10037", found, "give every gear the same number of sizes"))
    if any(size < 1 for gear in gears for size in gear):
        problems.append(Problem("E10038", f"--{option} has a size below 1", "give positive sizes only"))
    twice = sorted({tuple(gear) for gear in gears if list(gears).count(gear) > 1})
    if twice:
        found = f"--{option} has the gear {','.join(map(str, twice[0]))} twice"
        problems.append(Problem("E10039", found, "give each gear once"))
    return problems


def _batch(entries: Sequence[Entry], text: str, _: str) -> list[Problem]:
    """The rules of a batch.

    For -1 elsewhere than first the documentation has E10018. GE's own check skips such an input, and says E10031 only
    where no input has its batch open; else nobody fixes that size, which is reported as a documented rule without code.
    """
    scalars = [entry.name for entry in entries if not entry.dims]
    if scalars:
        found = f"--dynamic_batch_size takes no scalar input, and '{scalars[0]}' is one"
        return [Problem("E10012", found, "use --dynamic_dims, which takes scalars")]
    first = [entry for entry in entries if entry.dims[0] == DYNAMIC]
    elsewhere = [entry.name for entry in first if entry.dynamic > 1]
    if elsewhere:
        found = f"--input_shape of '{elsewhere[0]}' has -1 beyond the first size, which --dynamic_batch_size forbids"
        return [Problem("E10018", found, "keep -1 for the batch only, or use --dynamic_dims")]
    if not first:
        found = "--dynamic_batch_size is given, and no input has -1 as its first size"
        return [Problem("E10031", found, "write -1 for the batch: name:-1,3,224,224")]
    if skipped := [entry.name for entry in entries if entry.dynamic and entry.dims[0] != DYNAMIC]:
        found = f"--input_shape of '{skipped[0]}' has -1 elsewhere than first, which no gear of the batch fixes"
        return [Problem(USAGE, found, "give its size, or use --dynamic_dims")]
    if not re.fullmatch(r"\d{1,18}(,\d{1,18})*,?", text):
        found = f"--dynamic_batch_size={text} is no list of numbers with commas"
        return [Problem("E10003", found, 'write "1,2,4,8"')]
    return []


def _image(entries: Sequence[Entry], text: str, input_format: str) -> list[Problem]:
    dynamic = [entry for entry in entries if entry.dynamic]
    if any(len(entry.dims) == 4 for entry in dynamic) and input_format not in _HEIGHT_AND_WIDTH:
        found = f"--dynamic_image_size needs --input_format NCHW or NHWC, found {input_format or 'none'}"
        return [Problem("E10003", found, "add --input_format=NCHW")]
    axes = _HEIGHT_AND_WIDTH.get(input_format, ())
    wrong = [entry.name for entry in dynamic if len(entry.dims) != 4 or not _only(entry, axes)]
    if wrong or not dynamic:
        where = f"'{wrong[0]}' breaks this" if wrong else "no input has both"
        found = f"--dynamic_image_size wants -1 for height and width, and for nothing else: {where}"
        return [Problem("E10019", found, "write name:1,3,-1,-1 (NCHW), or use --dynamic_dims")]
    gears = text.removesuffix(";")
    if not re.fullmatch(r"[\d,; ]+", gears):
        found = f"--dynamic_image_size={text} has more than digits, commas, spaces and semicolons"
        return [Problem("E10003", found, 'write "224,224;448,448"')]
    if not all(re.fullmatch(r" *\d{1,18} *, *\d{1,18} *", gear) for gear in gears.split(";")):
        found = f"--dynamic_image_size={text} has a gear that is not a height and a width"
        return [Problem("E10020", found, 'write "224,224;448,448"')]
    return []


def _only(entry: Entry, axes: Sequence[int]) -> bool:
    return [axis for axis, dim in enumerate(entry.dims) if dim == DYNAMIC] == list(axes)


def _dims(entries: Sequence[Entry], text: str, input_format: str) -> list[Problem]:
    count = sum(entry.dynamic for entry in entries)
    if not count:
        found = "--dynamic_dims is given, and --input_shape has no -1"
        return [Problem("E10001", found, "write -1 for each dynamic size")]
    gears = text.removesuffix(";")
    if not gears.strip():
        return [_NO_DIMS]
    if any(gear.count(",") + 1 != count for gear in gears.split(";")):
        found = f"--dynamic_dims={text} has a gear that has not {count} sizes, one for each -1 of all inputs in order"
        return [Problem("E10003", found, "list every size of every input in each gear, equal ones too")]
    if not re.fullmatch(r"\d{1,18}([,;]\d{1,18})*", gears):
        found = f"--dynamic_dims={text} has more than digits, commas and semicolons"
        return [Problem("E10001", found, "leave spaces and signs out")]
    if input_format != "ND":
        found = f"--dynamic_dims needs --input_format=ND, found {input_format or 'none'}"
        return [Problem("E10003", found, "add --input_format=ND")]
    return []


_CHECKS: Final[Mapping[str, Callable[[Sequence[Entry], str, str], list[Problem]]]] = {
    "dynamic_batch_size": _batch,
    "dynamic_image_size": _image,
    "dynamic_dims": _dims,
}
