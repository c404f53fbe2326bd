"""What the simulated atc reads from ``--input_shape`` and the options of gears, with the checks in atc's own order."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MOST_GEARS = 100
GEAR_OPTIONS = {"dynamic_batch_size": "batch", "dynamic_image_size": "image", "dynamic_dims": "dims"}
HEIGHT_WIDTH = {"NCHW": [2, 3], "NHWC": [1, 2]}


class AtcError(Exception):
    """atc would end here with this code."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Shapes:
    """Sizes of the named inputs in the given order, -1 where they are set later; each gear's values for these."""

    kind: str
    dims: dict[str, list[int]]
    gears: list[tuple[int, ...]]

    def setting(self, gear: tuple[int, ...]) -> tuple[int, ...]:
        """What the runtime's setter takes: for dims all sizes of the inputs in ``--input_shape``, in its order."""
        if self.kind != "dims":
            return gear
        values = iter(gear)
        return tuple(next(values) if size == -1 else size for sizes in self.dims.values() for size in sizes)


def read_shapes(options: Mapping[str, str]) -> Shapes:
    given = [name for name in GEAR_OPTIONS if name in options]
    if len(given) > 1:
        raise AtcError("E10009", f"{given} are exclusive")
    if given and not options.get("input_shape"):
        raise AtcError("E10004", f"[--input_shape] is empty: [--{given[0]}] needs it")
    dims = read_input_shape(options.get("input_shape", ""))
    if not given:
        return Shapes("shape" if any(-1 in sizes for sizes in dims.values()) else "static", dims, [])
    kind, value = GEAR_OPTIONS[given[0]], options[given[0]]
    gears = {"batch": _batch, "image": _image, "dims": _dims}[kind](value, dims, options)
    _check_gears(gears, options["soc_version"])
    return Shapes(kind, dims, gears)


def read_input_shape(text: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for entry in text.split(";") if text else []:
        name, colon, sizes = entry.rpartition(":")
        if not colon or not name or name in found:
            raise AtcError("E10002", f"Value [{entry}] for parameter [--input_shape] is invalid: expected name:1,2,3")
        if "~" in sizes:  # with gears illegal in truth, without them only here
            raise AtcError("E10040", f"Value [{entry}] for parameter [--input_shape]: this simulator knows no ranges")
        words = sizes.split(",") if sizes else []
        if [word for word in words if re.fullmatch(r"0+|-0*[2-9]\d*", word)]:
            raise AtcError("E10011", f"Value [{entry}] for parameter [--input_shape] is invalid: sizes are positive")
        if not all(re.fullmatch(r"-1|[1-9]\d*", word) for word in words):
            raise AtcError(
                "E10014", f"Value [{entry}] for parameter [--input_shape] is invalid: sizes are digits or -1"
            )
        found[name] = [int(word) for word in words]
    return found


def _batch(value: str, dims: Mapping[str, list[int]], _: Mapping[str, str]) -> list[tuple[int, ...]]:
    if not re.fullmatch(r"\d+(,\d+)*,?", value):
        raise AtcError("E10003", f"Value [{value}] for parameter [--dynamic_batch_size] is invalid: digits and commas")
    if [name for name, sizes in dims.items() if not sizes]:
        raise AtcError("E10012", "[--input_shape] has an empty shape, which [--dynamic_batch_size] does not take")
    if not any(sizes[0] == -1 for sizes in dims.values()):
        raise AtcError("E10031", "no input has -1 as its first size, as [--dynamic_batch_size] needs")
    if [name for name, sizes in dims.items() if -1 in sizes[1:]]:
        raise AtcError("E10018", "-1 stands at another place than the first, with [--dynamic_batch_size]")
    return [(int(word),) for word in value.rstrip(",").split(",")]


def _image(value: str, dims: Mapping[str, list[int]], options: Mapping[str, str]) -> list[tuple[int, ...]]:
    layout = options.get("input_format", "")
    if layout not in HEIGHT_WIDTH:
        raise AtcError("E10003", f"[--dynamic_image_size] needs an input_format of NCHW or NHWC, not {layout}")
    open_axes = {name: [axis for axis, size in enumerate(sizes) if size == -1] for name, sizes in dims.items()}
    for name, axes in open_axes.items():
        if axes and (len(dims[name]) != 4 or axes != HEIGHT_WIDTH[layout]):
            raise AtcError("E10019", f"only height and width of a 4-D input may be -1, not {name}:{dims[name]}")
    if not any(open_axes.values()):
        raise AtcError("E10003", "no input has -1 for its height and width, as [--dynamic_image_size] needs")
    if not re.fullmatch(r"[\d,; ]+", value):
        raise AtcError("E10003", f"Value [{value}] for parameter [--dynamic_image_size] is invalid")
    gears = [tuple(int(word) for word in gear.split(",")) for gear in value.removesuffix(";").split(";")]
    if [gear for gear in gears if len(gear) != 2]:
        raise AtcError("E10020", f"Value [{value}] for parameter [--dynamic_image_size]: height,width;height,width")
    return gears


def _dims(value: str, dims: Mapping[str, list[int]], options: Mapping[str, str]) -> list[tuple[int, ...]]:
    if not value:
        raise AtcError("E10058", "[--dynamic_dims] is empty")
    if not re.fullmatch(r"[\d,;]+", value):
        raise AtcError("E10001", f"Value [{value}] for parameter [--dynamic_dims] is invalid: digits , and ;")
    if options.get("input_format") != "ND":
        raise AtcError("E10003", "[--dynamic_dims] needs --input_format=ND")
    if "insert_op_conf" in options:
        raise AtcError("E10001", "[--insert_op_conf] is not allowed with [--dynamic_dims]")
    wanted = sum(sizes.count(-1) for sizes in dims.values())
    if not wanted:
        raise AtcError("E10001", "no size in [--input_shape] is -1, as [--dynamic_dims] needs")
    gears = [tuple(int(word) for word in gear.split(",") if word) for gear in value.removesuffix(";").split(";")]
    if [gear for gear in gears if len(gear) != wanted]:
        raise AtcError("E10003", f"Value [{value}] for parameter [--dynamic_dims]: each gear needs {wanted} values")
    return gears


def _check_gears(gears: list[tuple[int, ...]], soc: str) -> None:
    if len(gears) < 2:
        raise AtcError("E10035", f"{len(gears)} gear; at least 2 are needed")
    if len(gears) > (256 if soc.startswith("Ascend950") else MOST_GEARS):
        raise AtcError("E10036", f"{len(gears)} gears are too many")
    if len(set(gears)) < len(gears):
        raise AtcError("E10039", "a gear stands twice")
    if any(0 in gear for gear in gears):
        raise AtcError("EZ9999", "a gear with a size of 0 cannot be compiled")
