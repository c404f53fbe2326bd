"""AIPP files (``--insert_op_conf``): the text form of a protobuf message, and the ranges of its fields.

Source: the configuration template in the AIPP chapter of the ATC documentation (``config_file_template.md`` of GE).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inferry.ascend.atc_problem import Problem, nearest
from inferry.ascend.atc_soc import soc_family

CODE: Final = "E10052"

WIDEST_PADDED: Final = 1080
"""Pixels across, after padding (``aclmdlSetAIPPPaddingParams``, CANN 8.0); the 950 has no such limit stated."""

INPUT_FORMATS: Final = ("YUV420SP_U8", "XRGB8888_U8", "RGB888_U8", "YUV400_U8")

_BOOLEAN: Final = ("true", "false")


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field may hold: any text, one of the words, or a number from `low` to `high` (and 0 where `zero`)."""

    words: tuple[str, ...] = ()
    free: bool = False
    low: float = 0
    high: float = 0
    integer: bool = True
    zero: bool = True

    def accepts(self, value: str) -> bool:
        if self.words or self.free:
            return self.free or value in self.words
        if re.fullmatch(r"-?\d+" if self.integer else r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?f?", value) is None:
            return False
        number = float(value.removesuffix("f"))
        return self.low <= number <= self.high or (self.zero and number == 0)

    @property
    def wanted(self) -> str:
        if self.words or self.free:
            return " or ".join(self.words) or "any text"
        kind = "an integer" if self.integer else "a number"
        extra = "0, or " if self.zero and self.low > 0 else ""
        return f"{extra}{kind} from {self.low:g} to {self.high:g}"


_SWITCH: Final = _Field(words=_BOOLEAN)
_RESERVED: Final = _Field(words=("false",))
"""A switch of the template whose function no chip has yet."""
_SIZE: Final = _Field(high=4096)
_START: Final = _Field(high=4095)
_BYTE: Final = _Field(high=255)
_EDGE: Final = _Field(high=32)
_MATRIX: Final = _Field(low=-32677, high=32676)
_HALF: Final = _Field(low=-65504, high=65504, integer=False)

FIELDS: Final[Mapping[str, _Field]] = {
    "aipp_mode": _Field(words=("static", "dynamic")),
    "related_input_rank": _Field(high=2**31 - 1),
    "related_input_name": _Field(free=True),
    "max_src_image_size": _Field(low=1, high=2**32 - 1, zero=False),
    "support_rotation": _RESERVED,
    "input_format": _Field(words=INPUT_FORMATS),
    "src_image_size_w": _Field(low=2, high=4096),
    "src_image_size_h": _Field(low=1, high=4096),
    "crop": _SWITCH,
    "cpadding_value": _HALF,
    "load_start_pos_w": _START,
    "load_start_pos_h": _START,
    "crop_size_w": _SIZE,
    "crop_size_h": _SIZE,
    "resize": _RESERVED,
    "resize_output_w": _Field(low=16, high=1920),
    "resize_output_h": _Field(low=16, high=4096),
    "rotation_angle": _Field(high=3),
    "single_line_mode": _RESERVED,
    "padding": _SWITCH,
    **{f"{side}_padding_size": _EDGE for side in ("left", "right", "top", "bottom")},
    "padding_value": _HALF,
    "csc_switch": _SWITCH,
    **{f"matrix_r{row}c{column}": _MATRIX for row in range(3) for column in range(3)},
    **{f"{kind}_bias_{index}": _BYTE for kind in ("input", "output") for index in range(3)},
    "rbuv_swap_switch": _SWITCH,
    "ax_swap_switch": _SWITCH,
    **{f"mean_chn_{index}": _BYTE for index in range(4)},
    **{f"min_chn_{index}": _Field(high=255, integer=False) for index in range(4)},
    **{f"var_reci_chn_{index}": _HALF for index in range(4)},
    "raw_rgbir_to_f16_n": _Field(high=31),
}
"""Fields of an ``aipp_op`` block, by name."""


@dataclass(frozen=True, slots=True)
class AippBlock:
    """One ``aipp_op``: fields as written, the last of a repeated one counts."""

    fields: Mapping[str, str]

    @property
    def is_dynamic(self) -> bool:
        """Whether the parameters come at run time."""
        return self.fields.get("aipp_mode") == "dynamic"

    @property
    def rank(self) -> int:
        """Which input of the model it prepares."""
        return self.size("related_input_rank")

    def size(self, name: str) -> int:
        """A whole number; 0 where it is absent or out of all ranges, which `aipp_problems` reports."""
        text = self.fields.get(name, "")
        return int(text) if re.fullmatch(r"\d{1,10}", text) else 0

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.fields.get(name) == "true"


@dataclass(frozen=True, slots=True)
class AippFile:
    """The blocks of a file, and what could not be read."""

    blocks: tuple[AippBlock, ...]
    problems: tuple[Problem, ...] = ()


_TOKEN: Final = re.compile(r'\s*(?:#[^\n]*|(?P<word>[{}:]|"[^"]*"|[^\s{}:#,;"]+)|[,;])')


def parse_aipp(text: str) -> AippFile:
    """Reads ``aipp_op { name: value … }`` blocks; ``#`` begins a comment."""
    words = [match["word"] for match in _TOKEN.finditer(text) if match["word"]]
    blocks: list[AippBlock] = []
    while words:
        if words[:2] != ["aipp_op", "{"] or "}" not in words:
            found = f"the AIPP file has '{' '.join(words[:3])}' where a block 'aipp_op {{ … }}' is expected"
            return AippFile(tuple(blocks), (Problem(CODE, found, "write aipp_op { name: value … } for each input"),))
        end = words.index("}")
        inner = words[2:end]
        if len(inner) % 3 or any(colon != ":" for colon in inner[1::3]):
            found = "an aipp_op block has something other than pairs 'name: value'"
            return AippFile(tuple(blocks), (Problem(CODE, found, "write name: value, one a line"),))
        blocks.append(AippBlock(dict(zip(inner[::3], (word.strip('"') for word in inner[2::3]), strict=True))))
        words = words[end + 1 :]
    if not blocks:
        return AippFile((), (Problem(CODE, "the AIPP file has no aipp_op block", "add one for each input"),))
    return AippFile(tuple(blocks))


def aipp_problems(blocks: Sequence[AippBlock], soc: str = "") -> list[Problem]:
    """What is wrong with the fields and between the blocks, for a chip."""
    problems = [problem for block in blocks for problem in (*_fields(block), *_required(block), *_geometry(block, soc))]
    ranks = [block.rank for block in blocks]
    for rank in sorted({rank for rank in ranks if ranks.count(rank) > 1}):
        found = f"two aipp_op blocks have related_input_rank {rank}"
        problems.append(Problem(CODE, found, "give each block the number of another input"))
    return problems


def _fields(block: AippBlock) -> list[Problem]:
    problems = []
    for name, value in block.fields.items():
        if name not in FIELDS:
            problems.append(Problem(CODE, f"aipp_op has no field {name}", f"{nearest(name, FIELDS)}"))
        elif not FIELDS[name].accepts(value):
            fix = f"write {FIELDS[name].wanted}"
            if name.startswith("mean_chn") and re.fullmatch(r"\d+\.\d+", value):
                whole, fraction = divmod(float(value), 1)
                fix += f"; {name}: {whole:g} and {name.replace('mean', 'min')}: {fraction:g} keep the fraction"
            problems.append(Problem(CODE, f"{name}: {value} is out of range", fix))
    return problems


def _required(block: AippBlock) -> list[Problem]:
    if "aipp_mode" not in block.fields:
        return [Problem(CODE, "an aipp_op block has no aipp_mode", "add aipp_mode: static")]
    needed = "max_src_image_size" if block.is_dynamic else "input_format"
    if needed in block.fields:
        return []
    return [Problem(CODE, f"an aipp_op block of mode {block.fields['aipp_mode']} has no {needed}", f"add {needed}")]


def _geometry(block: AippBlock, soc: str) -> list[Problem]:
    return [
        Problem(CODE, found, fix) for axis in ("w", "h") for broken, found, fix in _axis(block, axis, soc) if broken
    ]


def _axis(block: AippBlock, axis: str, soc: str) -> Iterator[tuple[bool, str, str]]:
    """Whether a rule is broken along one axis, what was found and the fix, rule by rule."""
    source, start = block.size(f"src_image_size_{axis}"), block.size(f"load_start_pos_{axis}")
    paired = block.fields.get("input_format") == "YUV420SP_U8"
    odd = "is odd, and YUV420SP_U8 wants even numbers"
    yield paired and source % 2 == 1, f"src_image_size_{axis}: {source} {odd}", "use an even size"
    starts_odd = paired and start % 2 == 1 and soc_family(soc) != "950"
    yield starts_odd, f"load_start_pos_{axis}: {start} {odd}", "use an even position"
    needed = (block.on("crop") or block.on("padding")) and not source
    yield needed, f"crop and padding need src_image_size_{axis}", "add the size of the images"
    # Without a crop size the model's own is cut out, at least one pixel.
    end = start + max(block.size(f"crop_size_{axis}"), 1)
    too_wide = axis == "w" and block.on("padding") and soc_family(soc) != "950" and _padded_width(block) > WIDEST_PADDED
    found = f"the padded picture is {_padded_width(block)} wide, and at most {WIDEST_PADDED} are allowed"
    yield too_wide, found, "crop more, or pad in the graph"
    too_far = block.on("crop") and 0 < source < end
    found = f"the crop ends at {end}, beyond src_image_size_{axis}: {source}"
    yield too_far, found, f"lower load_start_pos_{axis} or crop_size_{axis}"


def _padded_width(block: AippBlock) -> int:
    """0 where the width is the model's own, which the file does not say."""
    whole = block.size("crop_size_w") if block.on("crop") else block.size("src_image_size_w")
    return whole and whole + block.size("left_padding_size") + block.size("right_padding_size")
