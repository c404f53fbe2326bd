"""What the simulated atc does to numbers: precision, and AIPP of a static configuration."""

import configparser
import json
import re
from collections.abc import Mapping
from pathlib import Path

import onnx
from atc_gears import AtcError
from half import round_to_half

PRECISIONS = {
    "force_fp16": "fp16",
    "fp16": "fp16",
    "must_keep_origin_dtype": "fp32",
    "allow_fp32_to_fp16": "fp32",
    "origin": "fp32",
    "force_fp32": "mixed",  # as cube_fp16in_fp32out: float32 is forced upon the vector unit only
    "cube_fp16in_fp32out": "mixed",
    "allow_mix_precision": "mixed",
    "allow_mix_precision_fp16": "mixed",
    "mixed_float16": "mixed",
}
BOTH = "cube_fp16in_fp32out"
ONLY_V2 = {"fp16", "origin", "mixed_float16"}
MIXES = ("allow_mix_precision", "allow_mix_precision_fp16", "mixed_float16")
CUBE = {"MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU"}
"""Operators of the cube unit, which mixed precision runs in half."""
IR_TYPES = {
    "MatMulV2": "MatMul",
    "BatchMatMul": "MatMul",
    "BatchMatMulV2": "MatMul",
    "MatMul": "Gemm",
    "Conv2D": "Conv",
}
"""Ascend's names of operators, where they are not ONNX's."""
OP_PRECISIONS = {"high_precision", "high_performance", "enable_float_32_execution", "keep_fp16", "super_performance"}
SOURCES = {"RGB888_U8"}
AIPP_KEYS = {"aipp_mode", "related_input_rank", "input_format", "src_image_size_w", "src_image_size_h"}
AIPP_OFF = {"crop", "padding", "csc_switch", "ax_swap_switch"}


def rounded(options: Mapping[str, str], folder: Path, model: onnx.ModelProto) -> tuple[str, onnx.ModelProto]:
    """The precision, and the graph in it."""
    if "precision_mode" in options and "precision_mode_v2" in options:
        raise AtcError("E10056", "[--precision_mode] and [--precision_mode_v2] are exclusive")
    mode = options.get("precision_mode", options.get("precision_mode_v2", "force_fp16"))
    if mode not in PRECISIONS or ((mode in ONLY_V2) != ("precision_mode_v2" in options) and mode != BOTH):
        raise AtcError("E10001", f"Value [{mode}] for parameter [--precision_mode] is invalid, or not simulated")
    precision = PRECISIONS[mode]
    if "modify_mixlist" in options and mode not in MIXES:
        raise AtcError("E10001", f"[--modify_mixlist] needs a mixed precision, not {mode}")
    black, white = _mixlist(folder / options["modify_mixlist"]) if "modify_mixlist" in options else (set(), set())
    kept = _kept(folder / options["keep_dtype"]) if "keep_dtype" in options else set()
    if "op_precision_mode" in options:
        _check_op_precision(folder / options["op_precision_mode"])
    if precision == "fp32":
        return precision, model

    def rounds(node: onnx.NodeProto) -> bool:
        if node.name in kept or f"OpType::{node.op_type}" in kept or node.op_type in black:
            return False
        return precision == "fp16" or node.op_type in CUBE | white

    return precision, round_to_half(model, rounds)


def _mixlist(path: Path) -> tuple[set[str], set[str]]:
    """Operators that are to stay as they are, and those that are to be half."""
    try:
        row = json.loads(path.read_text())
        lists = {key: set(row.get(key, {}).get("to-add", [])) for key in ("black-list", "white-list")}
    except (ValueError, AttributeError, TypeError) as error:
        raise AtcError("E10001", f"[--modify_mixlist] {path}: {error}") from error
    if set(row) - set(lists):
        raise AtcError("E10001", f"[--modify_mixlist] {path} has the keys {sorted(row)}")
    black, white = ({IR_TYPES.get(name, name) for name in lists[key]} for key in ("black-list", "white-list"))
    return black, white


def _kept(path: Path) -> set[str]:
    lines = {line.strip() for line in path.read_text().splitlines()}
    return {f"OpType::{IR_TYPES.get(line[8:], line[8:])}" if line.startswith("OpType::") else line for line in lines}


def _check_op_precision(path: Path) -> None:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment]
    try:
        parser.read_string(path.read_text())
    except configparser.Error as error:
        raise AtcError("E10001", f"[--op_precision_mode] {path}: {error}") from error
    values = {value for section in parser.sections() for value in parser[section].values()}
    if set(parser.sections()) - {"ByOpType", "ByNodeName"} or values - OP_PRECISIONS:
        raise AtcError("E10001", f"[--op_precision_mode] {path}: {parser.sections()} {sorted(values)}")


def aipp_of(
    options: Mapping[str, str], folder: Path, inputs: list[str], dims: Mapping[str, list[int]]
) -> dict[str, object] | None:
    """The static AIPP of ``--insert_op_conf``, None without; `dims` is of the graph."""
    if "insert_op_conf" not in options:
        return None
    if options.get("input_format", "NCHW") not in {"NCHW", "NHWC"}:
        raise AtcError("E10001", "[--insert_op_conf] needs an input_format of NCHW or NHWC")
    text = re.sub(r"#.*", "", (folder / options["insert_op_conf"]).read_text())
    blocks = re.fullmatch(r"\s*aipp_op\s*\{([^{}]*)\}\s*", text)
    if blocks is None:
        raise AtcError("E10001", "[--insert_op_conf]: this simulator knows one aipp_op block")
    pairs = re.findall(r"(\w+)\s*:\s*(\S+)", blocks[1])
    values = dict(pairs)
    if len(values) < len(pairs) or re.sub(r"\w+\s*:\s*\S+|\s", "", blocks[1]):
        raise AtcError("E10001", "[--insert_op_conf]: a key stands twice, or something is no key: value")
    _check_aipp(values)
    name = inputs[int(values.get("related_input_rank", "0"))]
    _, channels, *size = dims[name]
    wanted = [int(values.get(f"src_image_size_{axis}", "0")) for axis in "hw"]
    if channels != 3 or any(have != want for have, want in zip(size, wanted, strict=True) if want and have != -1):
        raise AtcError("E10001", f"AIPP gives 3 channels of {wanted}, the input {name} takes {dims[name]}")
    if -1 in size and any(wanted):
        raise AtcError("E10001", "src_image_size must be 0 with [--dynamic_image_size]")
    return {
        "input": name,
        "mean": [_byte(values.get(f"mean_chn_{channel}", "0")) for channel in range(3)],
        "min": [_half(values.get(f"min_chn_{channel}", "0")) for channel in range(3)],
        "var": [float(values.get(f"var_reci_chn_{channel}", "1")) for channel in range(3)],
        "swap": values.get("rbuv_swap_switch", "false") == "true",
    }


def _check_aipp(values: Mapping[str, str]) -> None:
    channels = {f"{kind}_chn_{channel}" for kind in ("mean", "min", "var_reci") for channel in range(4)}
    if unknown := set(values) - AIPP_KEYS - AIPP_OFF - channels - {"rbuv_swap_switch"}:
        raise AtcError("E10001", f"[--insert_op_conf]: {sorted(unknown)} is unknown or not simulated")
    if values.get("aipp_mode") != "static" or values.get("input_format") not in SOURCES:
        raise AtcError("E10001", f"[--insert_op_conf]: this simulator knows static AIPP of {sorted(SOURCES)}")
    if switched := [key for key in AIPP_OFF if values.get(key, "false") != "false"]:
        raise AtcError("E10001", f"[--insert_op_conf]: {switched} is not simulated")


def _byte(text: str) -> int:
    if not text.isdigit() or int(text) > 255:
        raise AtcError("E10001", f"[--insert_op_conf]: mean_chn is a whole number of 0 to 255, not {text}")
    return int(text)


def _half(text: str) -> float:
    if not 0 <= float(text) <= 255:
        raise AtcError("E10001", f"[--insert_op_conf]: min_chn is 0 to 255, not {text}")
    return float(text)
