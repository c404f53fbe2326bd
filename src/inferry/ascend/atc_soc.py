"""Which chip supports what.

Source: the "supported products" line of each option in the ATC documentation (CANN 8.x).
"""

import re
from dataclasses import dataclass
from typing import Final

from inferry.ascend.atc_command import Command
from inferry.ascend.atc_options import OUTPUT_TYPES_950
from inferry.ascend.atc_problem import Problem

_FAMILIES: Final = (
    ("310P", r"Ascend310P\w*"),
    ("310B", r"Ascend310B\w*"),
    ("310", r"Ascend310\w*"),
    ("910B", r"Ascend910B\w*"),
    ("A3", r"Ascend910_9\w*"),
    ("910", r"Ascend910\w*"),
    ("950", r"Ascend950\w*"),
    ("035", r"Ascend035\w*"),
)

ALL: Final = frozenset(name for name, _ in _FAMILIES)

EXAMPLES: Final = ("Ascend310P3", "Ascend310B1", "Ascend310B4", "Ascend910B3", "Ascend910ProA", "Ascend910_9391")
"""Chips, for messages; the families are what counts."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """An option, or some of its values, that some chips lack.

    Attributes:
        option: Its name.
        missing: Families that lack it.
        values: Which values are meant; none means the option as a whole.
    """

    option: str
    missing: frozenset[str]
    values: frozenset[str] = frozenset()


def _without(options: tuple[str, ...], *missing: str) -> tuple[Restriction, ...]:
    return tuple(Restriction(option, frozenset(missing)) for option in options)


_BF16: Final = ALL - {"910B", "A3", "310B", "950"}

RESTRICTIONS: Final[tuple[Restriction, ...]] = (
    *_without(("dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "insert_op_conf"), "035"),
    *_without(("singleop", "check_report", "virtual_type"), "035"),
    Restriction("mode", frozenset({"035"}), frozenset({"1"})),
    Restriction("mode", ALL - {"035"}, frozenset({"30"})),
    *_without(("weight", "op_name_map"), "950", "A3", "910B", "035"),
    *_without(("sparsity",), "950", "310P", "910", "035"),
    Restriction("core_type", ALL - {"310P"}, frozenset({"VectorCore"})),
    *_without(("deterministic", "deterministic_level", "ac_parallel_enable", "enable_single_stream"), "310B", "035"),
    *_without(("multi_stream_parallel_mode",), "310B", "035"),
    *_without(("tiling_schedule_optimize",), "310B", "910"),
    *_without(("compression_optimize_conf", "mdl_bank_path", "op_bank_path"), "950", "035"),
    *_without(("status_check",), "950", "A3", "910B"),
    *_without(("allow_hf32",), "310B", "310P", "910"),
    Restriction("precision_mode", _BF16, frozenset({"allow_mix_precision_bf16", "allow_fp32_to_bf16"})),
    Restriction("precision_mode_v2", _BF16, frozenset({"mixed_bfloat16"})),
    Restriction("precision_mode_v2", ALL - {"950"}, frozenset({"cube_hif8", "mixed_hif8"})),
    Restriction("output_type", ALL - {"950"}, frozenset(OUTPUT_TYPES_950)),
)

NO_SHAPE_RANGE: Final = frozenset({"310B", "035"})
"""Families that compile no dynamic shape without gears."""

NO_FLOAT_32_EXECUTION: Final = frozenset({"310B", "310P", "910"})
"""Families without ``enable_float_32_execution`` in an ``op_precision_mode`` file."""


def soc_family(soc: str) -> str | None:
    """The family of a ``--soc_version``: ``Ascend310P3`` is of the 310P; None where it is unknown."""
    return next((name for name, pattern in _FAMILIES if re.fullmatch(pattern, soc)), None)


def soc_problems(command: Command, soc: str) -> list[Problem]:
    """Options that the chip lacks, all with E10055."""
    family = soc_family(soc)
    problems = []
    for rule in RESTRICTIONS:
        value = command.get(rule.option)
        # The last word of "node:0:HIF8" is the type.
        meant = {part.rsplit(":", 1)[-1] for part in value.split(";")}
        if value and family in rule.missing and (not rule.values or meant & rule.values):
            shown = f"--{rule.option}={value}" if rule.values else f"--{rule.option}"
            having = ", ".join(sorted(ALL - rule.missing))
            problems.append(
                Problem("E10055", f"{soc} does not support {shown}", f"leave it out; it exists on {having}")
            )
    return problems
