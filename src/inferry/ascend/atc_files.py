"""The configuration files that a command line names: that they are there, and what stands in them."""

import configparser
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from inferry.ascend.atc_aipp import AippFile, aipp_problems, parse_aipp
from inferry.ascend.atc_command import Command
from inferry.ascend.atc_problem import USAGE, Problem, nearest
from inferry.ascend.atc_singleop import singleop_problems
from inferry.ascend.atc_soc import NO_FLOAT_32_EXECUTION, soc_family
from inferry.core.graph_facts import GraphFacts

PRECISIONS: Final = (
    "high_precision",
    "high_performance",
    "enable_float_32_execution",
    "enable_hi_float_32_execution",
    "support_out_of_bound_index",
    "keep_fp16",
    "super_performance",
)

RESERVED: Final = "enable_hi_float_32_execution"
"""One of `PRECISIONS` that the documentation keeps for later."""

TYPES: Final = frozenset(
    {"float", "float16", "float32", "bfloat16", "double", "bool", "complex64", "complex128", "hifloat8"}
    | {"float8_e5m2", "float8_e4m3fn", "int4", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
)
"""Words for a dtype in ``--customize_dtypes``."""

_CALIBRATION: Final = "input_data_dir|input_shape|config_file|infer_soc|infer_aicore_num|infer_device_id|log"

_ENTRY: Final = r"[\w/.\-]+(::\w+)?"
_DTYPES: Final = r"[\w,]*"
_CUSTOMISED: Final = rf"(?P<name>(?!OpType::).+?)::InputDtype:(?P<inputs>{_DTYPES}),OutputDtype:(?P<outputs>{_DTYPES})"


def file_problems(command: Command, folder: Path, soc: str, graph: GraphFacts | None = None) -> list[Problem]:
    """What is wrong with the configuration files; the AIPP file is left to `read_aipp`.

    Args:
        command: Names the files.
        folder: Where the command runs: relative paths begin here.
        soc: The chip.
        graph: Of the model; without it the numbers of types are not checked.
    """
    problems = []
    for option, check in _CHECKS.items():
        text = _read(command, option, folder)
        if isinstance(text, Problem):
            problems.append(text)
        elif text is not None:
            problems += [Problem("E10001", f"--{option}: {found}", fix) for found, fix in check(text, soc)]
    operators = _read(command, "singleop", folder)
    if isinstance(operators, Problem):
        problems.append(replace(operators, code="E10024"))
    elif operators is not None:
        problems += singleop_problems(operators)
    named = [] if graph is None else _unknown_nodes(command, folder, graph)
    return [*problems, *_customised(command, folder, graph), *named]


def _unknown_nodes(command: Command, folder: Path, graph: GraphFacts) -> Iterator[Problem]:
    """Nodes that the files about precision name and the graph does not have.

    For atc such a line is one without effect. Its own operators may have other names than the nodes that they are
    made of: one that it fused or split off cannot be told from a slip here.
    """
    for option, read in _NODES.items():
        text = _read(command, option, folder)
        for name in read(text) if isinstance(text, str) else ():
            if name not in graph.nodes:
                fix = f"{nearest(name, graph.nodes)}; keep it only where it is an operator that atc itself makes"
                yield Problem(USAGE, f"--{option} names the node '{name}', which the graph does not have", fix)
    text = _read(command, "compression_optimize_conf", folder)
    block = _calibration(text)[1] if isinstance(text, str) else ""
    inputs = {value.name for value in graph.inputs}
    for shapes in re.findall(r"^\s*input_shape\s*:\s*(\S.*)$", block, re.MULTILINE):
        for name in (part.rpartition(":")[0].strip() for part in shapes.split(";") if ":" in part):
            if name not in inputs:
                found = f"--compression_optimize_conf names the input '{name}', which the graph does not have"
                yield Problem("E10016", found, nearest(name, inputs))


def _kept_nodes(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and "::" not in line]


def _customised_nodes(text: str) -> list[str]:
    matches = filter(None, (re.fullmatch(_CUSTOMISED, line.strip()) for line in text.splitlines()))
    return [match["name"] for match in matches]


def _moded_nodes(text: str) -> list[str]:
    parser = _ini()
    try:
        parser.read_string(text)
    except configparser.Error:
        return []
    return list(parser["ByNodeName"]) if parser.has_section("ByNodeName") else []


def _ini() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # operator names keep their case
    return parser


_NODES: Final[Mapping[str, Callable[[str], list[str]]]] = {
    "keep_dtype": _kept_nodes,
    "customize_dtypes": _customised_nodes,
    "op_precision_mode": _moded_nodes,
}


def _customised(command: Command, folder: Path, graph: GraphFacts | None) -> Iterator[Problem]:
    """What ``--customize_dtypes`` says of a node, beside the graph and beside ``--keep_dtype``."""
    text, kept = (_read(command, option, folder) for option in ("customize_dtypes", "keep_dtype"))
    lines = text.splitlines() if isinstance(text, str) else []
    found = [match for line in lines if (match := re.fullmatch(_CUSTOMISED, line.strip()))]
    names = {line.strip() for line in kept.splitlines()} if isinstance(kept, str) else set()
    for name in (match["name"] for match in found if match["name"] in names):
        said = f"--keep_dtype has no effect on {name}, which --customize_dtypes names too"
        yield Problem(USAGE, said, "name it in one of the two files")
    for match in found:
        counts = tuple(len(list(filter(None, match[side].split(",")))) for side in ("inputs", "outputs"))
        wanted = counts if graph is None else graph.arity.get(match["name"], counts)
        if counts != wanted:
            said = (
                f"--customize_dtypes: {match['name']} has {wanted[0]} inputs and {wanted[1]} outputs, and types for"
                f" {counts[0]} and {counts[1]} are given"
            )
            yield Problem("E10001", said, "give one type for each input and each output")


def read_aipp(command: Command, folder: Path, soc: str) -> AippFile:
    """The AIPP file with all its problems; without ``--insert_op_conf`` there are no blocks."""
    text = _read(command, "insert_op_conf", folder)
    if isinstance(text, Problem):
        return AippFile((), (text,))
    if text is None:
        return AippFile(())
    aipp = parse_aipp(text)
    return AippFile(aipp.blocks, (*aipp.problems, *aipp_problems(aipp.blocks, soc)))


def _read(command: Command, option: str, folder: Path) -> str | Problem | None:
    value = command.get(option)
    if not value:
        return None
    try:
        return (folder / value).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a path with a NUL
        found = f"the file of --{option} cannot be read: {value} ({type(error).__name__})"
        return Problem("E10001", found, "check the path, and from which folder the command runs")


_Findings = list[tuple[str, str]]


def _op_precision_mode(text: str, soc: str) -> _Findings:
    parser = _ini()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        return [(f"no ini file ({type(error).__name__})", "write [ByOpType] and lines OpType=high_precision")]
    findings: _Findings = []
    for section in parser.sections():
        if section not in {"ByOpType", "ByNodeName"}:
            findings.append((f"unknown section [{section}]", "the sections are [ByOpType] and [ByNodeName]"))
        for name, value in parser.items(section):
            if value not in PRECISIONS:
                findings.append((f"{name}={value}", f"the values are {', '.join(PRECISIONS)}"))
            elif value == RESERVED:
                findings.append((f"{name}={value} is reserved", "use enable_float_32_execution or high_precision"))
            elif value == "enable_float_32_execution" and soc_family(soc) in NO_FLOAT_32_EXECUTION:
                findings.append((f"{name}={value} is not supported on {soc}", "use high_precision"))
    return findings


def _modify_mixlist(text: str, _: str) -> _Findings:
    fix = 'write {"black-list": {"to-add": ["Softmax"], "to-remove": []}, "white-list": {…}}'
    try:
        lists = json.loads(text)
    except ValueError as error:
        return [(f"no JSON ({error})", fix)]
    shaped = isinstance(lists, dict) and lists and all(isinstance(value, dict) for value in lists.values())
    if not shaped or not set(lists) <= {"black-list", "white-list"}:
        return [("not an object with black-list or white-list", fix)]
    changes = [(kind, types) for value in lists.values() for kind, types in value.items()]
    if any(kind not in {"to-add", "to-remove"} or not _is_names(types) for kind, types in changes):
        return [("a list has more than to-add and to-remove with names of operator types", fix)]
    black, white = (set(lists.get(name, {}).get("to-add", [])) for name in ("black-list", "white-list"))
    if both := sorted(black & white):
        return [(f"{both[0]} is added to the black list and to the white list", "choose one of the two")]
    return []


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _fusion_switch_file(text: str, soc: str) -> _Findings:
    if not text.lstrip().startswith("{"):
        return _lines(text, r"\w+\s*:\s*(on|off)", "SoftmaxFusionPass:off, one pass a line")
    fix = 'write {"Switch": {"GraphFusion": {"ALL": "off"}, "UBFusion": {"ALL": "off"}}}'
    try:
        switch = json.loads(text).get("Switch")
    except ValueError as error:
        return [(f"no JSON ({error})", fix)]
    if not isinstance(switch, dict) or not set(switch) <= {"GraphFusion", "UBFusion"}:
        return [("no object Switch with GraphFusion or UBFusion", fix)]
    if "UBFusion" in switch and soc_family(soc) == "950":
        return [(f"{soc} has no UBFusion", "leave UBFusion out")]
    passes = [value for kind in switch.values() for value in (kind.values() if isinstance(kind, dict) else [kind])]
    return [] if all(value in {"on", "off"} for value in passes) else [("a pass is neither on nor off", fix)]


def _keep_dtype(text: str, _: str) -> _Findings:
    return _lines(text, _ENTRY, "a node's name or OpType::Type, one a line")


def _customize_dtypes(text: str, _: str) -> _Findings:
    pattern = rf"{_ENTRY}::?InputDtype:(?P<inputs>{_DTYPES}),OutputDtype:(?P<outputs>{_DTYPES})"
    findings = _lines(text, pattern, "name::InputDtype:float16,OutputDtype:float, one operator a line")
    matches = filter(None, (re.fullmatch(pattern, line.strip()) for line in text.splitlines()))
    words = {word for match in matches for word in f"{match['inputs']},{match['outputs']}".split(",") if word}
    return findings + [(f"the dtype {word} is not known", nearest(word, TYPES)) for word in sorted(words - TYPES)]


def _compression(text: str, _: str) -> _Findings:
    """``feature:true``, and one block of what the calibration needs."""
    outside, fields = _calibration(text)
    sample = "enable_first_layer_quantization:true"
    findings = _lines(outside, r"enable_first_layer_quantization\s*:\s*(true|false)", sample)
    return findings + _lines(fields, rf"({_CALIBRATION})\s*:\s*\S.*", f"one of {_CALIBRATION}, : and its value")


def _calibration(text: str) -> tuple[str, str]:
    """What stands outside of the calibration's block, and in it."""
    block = re.search(r"\bcalibration\s*:?\s*\{([^{}]*)\}", text)
    return (text, "") if block is None else (text[: block.start()] + text[block.end() :], block[1])


def _lines(text: str, pattern: str, sample: str) -> _Findings:
    lines = filter(None, (line.strip() for line in text.splitlines()))
    wrong = [line for line in lines if not re.fullmatch(pattern, line)]
    return [(f"the line '{line}' cannot be read", f"write {sample}") for line in wrong]


_CHECKS: Final[Mapping[str, Callable[[str, str], _Findings]]] = {
    "op_precision_mode": _op_precision_mode,
    "modify_mixlist": _modify_mixlist,
    "keep_dtype": _keep_dtype,
    "customize_dtypes": _customize_dtypes,
    "fusion_switch_file": _fusion_switch_file,
    "compression_optimize_conf": _compression,
}
