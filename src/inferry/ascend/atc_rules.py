"""Which options need, exclude or silence each other, as tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inferry.ascend.atc_command import Command
from inferry.ascend.atc_problem import USAGE, Problem

COMPILING: Final = frozenset({"0", "7", "30"})
"""Values of ``--mode`` that make an om."""

_MIXED: Final = frozenset({"allow_mix_precision", "allow_mix_precision_fp16", "allow_mix_precision_bf16"})
_MIXED_V2: Final = frozenset({"mixed_float16", "mixed_bfloat16", "mixed_hif8"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """An option that works only beside others.

    Attributes:
        option: Its name.
        value: Only this one needs them; empty means every value.
        needs: Options, one of which must be there.
        values: What that one must be; none means any value.
        code: Of atc.
    """

    option: str
    value: str
    needs: tuple[str, ...]
    values: frozenset[str] = frozenset()
    code: str = "E10001"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two options that must not stand together; empty values mean any."""

    option: str
    values: frozenset[str]
    other: str
    other_values: frozenset[str]
    code: str


_ANY: Final[frozenset[str]] = frozenset()

_OF_MODELS: Final = (
    *("model", "weight", "framework", "input_format", "input_shape", "input_shape_range", "input_hint_shape"),
    *("dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "insert_op_conf", "input_fp16_nodes"),
    *("is_input_adjust_hw_layout", "is_output_adjust_hw_layout", "out_nodes", "output_type", "op_name_map"),
)
"""Options that speak of a model, its inputs or its outputs; a single operator has none of these."""

REQUIREMENTS: Final = (
    Requirement("is_input_adjust_hw_layout", "", ("input_fp16_nodes",)),
    Requirement("is_output_adjust_hw_layout", "", ("out_nodes",)),
    Requirement(
        "optypelist_for_implmode", "", ("op_select_implmode",), frozenset({"high_precision", "high_performance"})
    ),
    Requirement("modify_mixlist", "", ("precision_mode", "precision_mode_v2"), _MIXED | _MIXED_V2),
    Requirement("enable_small_channel", "1", ("insert_op_conf",)),
    Requirement("dump_mode", "1", ("mode",), frozenset({"1"})),
)

CONFLICTS: Final = (
    Conflict("insert_op_conf", _ANY, "dynamic_dims", _ANY, "E10001"),
    Conflict("precision_mode", _ANY, "precision_mode_v2", _ANY, "E10056"),
    Conflict("enable_compress_weight", frozenset({"true"}), "compress_weight_conf", _ANY, "E10047"),
    Conflict(
        "compression_optimize_conf",
        _ANY,
        "op_select_implmode",
        frozenset({"high_precision", "high_precision_for_all"}),
        "E10001",
    ),
    Conflict(
        "compression_optimize_conf",
        _ANY,
        "precision_mode",
        frozenset({"force_fp32", "must_keep_origin_dtype"}),
        "E10001",
    ),
    Conflict("compression_optimize_conf", _ANY, "precision_mode_v2", frozenset({"origin"}), "E10001"),
    *(
        Conflict(option, _ANY, mode, frozenset({value}), USAGE)
        for option in ("keep_dtype", "customize_dtypes")
        for mode, value in (("precision_mode", "must_keep_origin_dtype"), ("precision_mode_v2", "origin"))
    ),
    Conflict("insert_op_conf", _ANY, "input_format", frozenset({"ND", "NCDHW", "NDHWC"}), "E10001"),
    *(
        Conflict("shape_generalized_build_mode", _ANY, option, _ANY, "E10001")
        for option in ("input_shape_range", "dynamic_batch_size", "dynamic_image_size", "dynamic_dims")
    ),
    *(Conflict("singleop", _ANY, option, _ANY, "E10055") for option in _OF_MODELS),
)

FORMATS: Final = {
    "0": frozenset({"NCHW", "ND"}),
    "3": frozenset({"NCHW", "NHWC", "ND", "NCDHW", "NDHWC"}),
    "5": frozenset({"NCHW", "ND", "NCDHW"}),
}
"""Legal ``--input_format`` by ``--framework``."""


def rule_problems(command: Command) -> list[Problem]:
    """What the tables of this module say of a command line."""
    return [
        *_required(command),
        *(problem for rule in REQUIREMENTS for problem in _unmet(command, rule)),
        *(problem for rule in CONFLICTS for problem in _conflicting(command, rule)),
        *_between(command),
    ]


def _required(command: Command) -> list[Problem]:
    mode = command.get("mode", "0")
    if command.get("singleop"):
        return _absent(command, ("output", "soc_version"), "E10054")
    if mode in {"1", "5"}:
        return _absent(command, ("om", "json"), "E10004")
    if mode == "6":
        given = [name for name in ("model", "output", "framework") if command.get(name)]
        found = f"--mode=6 takes --om only, found --{' --'.join(given)}"
        extra = [Problem("E10057", found, "leave them out")] if given else []
        return [*_absent(command, ("om",), "E10004"), *extra]
    needed = ("soc_version", *(("output",) if mode in COMPILING else ()), "model")
    problems = _absent(command, needed, "E10054")
    if not command.get("framework"):
        problems.append(Problem("E10007", "--framework is missing", "add --framework=5 for ONNX"))
    if command.get("framework") == "0" and not command.get("weight"):
        problems.append(
            Problem("E10008", "--framework=0 (Caffe) needs --weight", "add it, or say --framework=5 for ONNX")
        )
    return problems


def _absent(command: Command, names: tuple[str, ...], code: str) -> list[Problem]:
    fix = "add it; a value before it may lack its quotation marks" if code == "E10054" else "add it"
    return [Problem(code, f"--{name} is missing", fix) for name in names if not command.get(name)]


def _unmet(command: Command, rule: Requirement) -> list[Problem]:
    value = command.get(rule.option)
    met = any(command.get(name) and (not rule.values or command.get(name) in rule.values) for name in rule.needs)
    if not value or (rule.value and value != rule.value) or met:
        return []
    wanted = " or ".join(f"--{name}" for name in rule.needs)
    wanted += f" with {' or '.join(sorted(rule.values))}" if rule.values else ""
    shown = f"--{rule.option}" + (f"={rule.value}" if rule.value else "")
    return [Problem(rule.code, f"{shown} needs {wanted}", f"add it, or leave {shown} out")]


def _conflicting(command: Command, rule: Conflict) -> list[Problem]:
    value, other = command.get(rule.option), command.get(rule.other)
    if not value or not other:
        return []
    if (rule.values and value not in rule.values) or (rule.other_values and other not in rule.other_values):
        return []
    verb = "has no effect beside" if rule.code == USAGE else "cannot be used with"
    shown = f"--{rule.other}" + (f"={other}" if rule.other_values else "")
    return [Problem(rule.code, f"--{rule.option} {verb} {shown}", "keep one of the two")]


def _between(command: Command) -> list[Problem]:
    """Rules that compare values."""
    problems = []
    framework, input_format = command.get("framework"), command.get("input_format")
    if input_format and input_format not in FORMATS.get(framework, {input_format}):
        found = f"--input_format={input_format} is not legal with --framework={framework}"
        problems.append(Problem("E10001", found, f"use {' or '.join(sorted(FORMATS[framework]))}"))
    if command.get("weight") and framework in {"1", "3", "5"}:
        problems.append(Problem(USAGE, f"--weight is ignored with --framework={framework}", "leave it out"))
    if command.get("output").endswith((".om", ".exeom")):
        problems.append(Problem(USAGE, "--output has a suffix; atc adds .om itself", "leave the suffix out"))
    if command.get("output").endswith("/"):
        problems.append(Problem("E10022", "--output names a folder and no file", "add the name of the model"))
    if (command.get("deterministic", "0") == "0") != (command.get("deterministic_level", "0") == "0"):
        found = "--deterministic and --deterministic_level are not both zero or both above"
        problems.append(Problem("E10001", found, "set both, or neither"))
    if command.get("op_precision_mode") and command.get("op_select_implmode"):
        found = "--op_precision_mode overrides --op_select_implmode, which is deprecated"
        problems.append(Problem(USAGE, found, "write all of it into the file of --op_precision_mode"))
    return [*problems, *_output_nodes(command), *_adjusted(command)]


def _output_nodes(command: Command) -> Iterator[Problem]:
    """``--out_nodes`` by itself, and the nodes that ``--output_type`` names, each of which must be among them."""
    nodes = [part.strip() for part in command.get("out_nodes").split(";") if part.strip()]
    by_index = {part.rpartition(":")[2].isdecimal() for part in nodes}
    if len(by_index) > 1:
        found = "--out_nodes mixes node:index with names of outputs"
        yield Problem("E10001", found, "use one of the two for all")
    typed = [part.rpartition(":")[0].strip() for part in command.get("output_type").split(";") if ":" in part]
    if typed and not nodes:
        yield Problem("E10001", "--output_type with nodes needs --out_nodes", "add --out_nodes, or name one type")
    elif by_index == {True} and (others := [name for name in typed if name not in nodes]):
        found = f"--output_type names {others[0]}, which is not in --out_nodes"
        yield Problem("E10001", found, "name the same nodes in both")


def _adjusted(command: Command) -> Iterator[Problem]:
    """The switches of the layout, of which each belongs to one node."""
    for option, nodes in (
        ("is_input_adjust_hw_layout", "input_fp16_nodes"),
        ("is_output_adjust_hw_layout", "out_nodes"),
    ):
        given, named = command.get(option), list(filter(None, command.get(nodes).split(";")))
        if given and named and (count := given.count(",") + 1) > len(named):
            found = f"--{option} has {count} values, and --{nodes} names {len(named)}"
            yield Problem(USAGE, found, "write one value for each node, in the same order")
