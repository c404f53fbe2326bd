"""A simulator of the program atc: its command line, its refusals with their codes, and an om that the simulators run.

It follows the notes on GE's sources and shares no line with what it tests. What it does not know it refuses, so that
no test passes on an option that did nothing.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from atc_gears import AtcError, Shapes, read_shapes
from atc_numbers import aipp_of, rounded
from om_file import write_om

OPSETS = range(11, 19)
HEEDED = {
    "mode",
    "framework",
    "model",
    "output",
    "soc_version",
    "input_format",
    "input_shape",
    "dynamic_batch_size",
    "dynamic_image_size",
    "dynamic_dims",
    "insert_op_conf",
    "output_type",
    "out_nodes",
    "input_fp16_nodes",
    "precision_mode",
    "precision_mode_v2",
    "modify_mixlist",
    "op_precision_mode",
    "keep_dtype",
}
HARMLESS = {
    "log": "debug|info|warning|error|null",
    "fusion_switch_file": ".+",
    "op_select_implmode": "high_(precision|performance)(_for_all)?",
    "optypelist_for_implmode": r"\w+(,\w+)*",
    "buffer_optimize": "l[12]_optimize|off_optimize",
    "enable_small_channel": "0|1",
    "op_compiler_cache_mode": "enable|disable|force",
    "op_compiler_cache_dir": ".+",
    "optimization_switch": r"\w+:(on|off)(;\w+:(on|off))*",
    "host_env_os": "linux|minios",
    "host_env_cpu": "x86_64|aarch64|arm64|arm",
    "op_debug_level": "[0-4]",
    "debug_dir": ".+",
    "oo_level": "O1|O3",
    "customize_dtypes": ".+",
    "ac_parallel_enable": "0|1",
    "jit_compile": "[0-2]",
}
"""They change how fast the om is or where things are written, and no number that is simulated. With legal values."""
FORMATS = {"NCHW", "ND", "NCDHW"}
"""Of ONNX models."""
SOC = re.compile(r"Ascend(310|910|950|035)\w*")
PATH = re.compile(r"[A-Za-z0-9_\-./\u4e00-\u9fa5]+")
FILES = (
    "insert_op_conf",
    "modify_mixlist",
    "op_precision_mode",
    "keep_dtype",
    "customize_dtypes",
    "fusion_switch_file",
)


@dataclass(frozen=True)
class Port:
    """An input or output of the graph: a numpy dtype, and sizes, None where they are symbolic."""

    dtype: str
    dims: tuple[int | None, ...]


def parse(words: Sequence[str]) -> dict[str, str]:
    """``--k=v``, ``--k v`` or ``-k v``; - and _ in names are equal."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("-") or name not in {*HEEDED, *HARMLESS}:
            raise AtcError("unknown", f"unknown command line flag '{word}'")
        if not equals and not rest:
            raise AtcError("unknown", f"flag '{word}' is missing its argument")
        options[name] = value if equals else rest.pop(0)
    return options


def check_values(options: Mapping[str, str]) -> None:
    """What each option may be by itself, as far as nobody else looks at it."""
    for name, legal in HARMLESS.items():
        if name in options and not re.fullmatch(legal, options[name]):
            raise AtcError("E10001", f"Value [{options[name]}] for parameter [--{name}] is invalid. Use {legal}")
    if options.get("input_format", "NCHW") not in FORMATS:
        raise AtcError("E10001", f"Value [{options['input_format']}] for parameter [--input_format] is invalid")
    if "optypelist_for_implmode" in options and options.get("op_select_implmode") not in {
        "high_precision",
        "high_performance",
    }:
        raise AtcError("E10001", "[--optypelist_for_implmode] needs [--op_select_implmode]")


def check_files(options: Mapping[str, str], folder: Path) -> Path:
    """What must be there before anything is read; the model's path."""
    if options.get("mode", "0") != "0":
        raise AtcError("E10001", "this simulator knows mode 0 only")
    if options.get("framework") != "5":
        raise AtcError("E10007", "[--framework] must be 0(Caffe), 1(MindSpore), 3 or 5(ONNX); this simulator knows 5")
    for name in ("model", "output", "soc_version"):
        if not options.get(name):
            raise AtcError("E10054", f"The required parameter [{name}] for ATC is empty")
    if not SOC.fullmatch(options["soc_version"]):
        raise AtcError("E10001", f"Value [{options['soc_version']}] for parameter [--soc_version] is invalid")
    for name in ("model", "output", *FILES):
        if name in options and not PATH.fullmatch(options[name]):
            raise AtcError("E10001", f"Value [{options[name]}] for parameter [--{name}] has invalid characters")
        if name in options and name != "output" and not (folder / options[name]).is_file():
            raise AtcError("E10001", f"Value [{options[name]}] for parameter [--{name}] is invalid: no such file")
    output = folder / options["output"]
    if output.is_dir() or not output.parent.is_dir():
        raise AtcError("E10001", f"Value [{output}] for parameter [--output] is invalid: it is dir/stem of an om")
    return folder / options["model"]


def ports(model: onnx.ModelProto, side: str) -> dict[str, Port]:
    constants = {one.name for one in model.graph.initializer}
    found = {}
    for one in getattr(model.graph, side):
        if one.name in constants:
            continue
        tensor = one.type.tensor_type
        dims = tuple(dim.dim_value or None for dim in tensor.shape.dim)
        found[one.name] = Port(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, dims)
    return found


def check_graph(model: onnx.ModelProto) -> None:
    domains = [entry.domain.replace("ai.onnx", "") for entry in model.opset_import]
    if twice := {domain for domain in domains if domains.count(domain) > 1}:
        raise AtcError("E16005", f"The model has {len(domains)} opsets for the domain {sorted(twice)}; one is allowed")
    for entry in model.opset_import:
        if entry.domain.replace("ai.onnx", "") == "" and entry.version not in OPSETS:
            raise AtcError("E19010", f"No parser is registered for opset {entry.version} of ai.onnx")
    if foreign := [node for node in model.graph.node if node.domain not in {"", "ai.onnx"}]:
        raise AtcError(
            "E19010", f"No parser is registered for Op [{foreign[0].name}, optype [{foreign[0].domain}::...]]"
        )


def check_shapes(shapes: Shapes, inputs: Mapping[str, Port]) -> None:
    """Names, ranks and sizes against the graph."""
    for name, dims in shapes.dims.items():
        if name not in inputs:
            raise AtcError("E10016", f"Opname [{name}] specified in [--input_shape] is not found in the model")
        if len(dims) != len(inputs[name].dims):
            raise AtcError(
                "E10049", f"Dimension num of [{name}] is {len(dims)}, the model has {len(inputs[name].dims)}"
            )
        if [dims for have, want in zip(dims, inputs[name].dims, strict=True) if want is not None and have != want]:
            raise AtcError(
                "EZ9999", f"[{name}] of {dims} contradicts the model's {inputs[name].dims}: InferShape failed"
            )
    for name, port in inputs.items():
        if name not in shapes.dims and None in port.dims:
            raise AtcError("E10004", f"input [{name}] of shape {port.dims} is dynamic and is not in [--input_shape]")


def om_dtypes(
    options: Mapping[str, str], inputs: Mapping[str, Port], outputs: Mapping[str, Port], aipp: str | None
) -> dict[str, str]:
    """Of the ports that the om does not take or give as the graph does."""
    found = {aipp: "uint8"} if aipp else {}
    for name in filter(None, options.get("input_fp16_nodes", "").split(";")):
        if name not in inputs:
            raise AtcError("E10016", f"Opname [{name}] specified in [--input_fp16_nodes] is not found in the model")
        if name == aipp:
            raise AtcError("E10001", f"[--input_fp16_nodes] and [--insert_op_conf] both name {name}")
        found[name] = "float16" if inputs[name].dtype == "float32" else inputs[name].dtype
    if kind := options.get("output_type"):
        if kind not in {"FP32", "FP16"}:
            raise AtcError(
                "E10001", f"Value [{kind}] for parameter [--output_type]: this simulator knows FP32 and FP16"
            )
        dtype = {"FP32": "float32", "FP16": "float16"}[kind]
        found |= {name: dtype for name, port in outputs.items() if port.dtype.startswith("float")}
    return found


def chosen_outputs(model: onnx.ModelProto, names: str) -> None:
    """``--out_nodes`` by the names of outputs, in that order."""
    known = {one.name: one for one in model.graph.output}
    wanted = [name for name in names.split(";") if name]
    if unknown := [name for name in wanted if name not in known]:
        raise AtcError("E10016", f"Opname [{unknown[0]}] specified in [--out_nodes] is no output of the model")
    del model.graph.output[:]
    model.graph.output.extend(known[name] for name in wanted)


def compile_om(options: Mapping[str, str], folder: Path) -> Path:
    """The om, which ran once in each gear."""
    source = check_files(options, folder)
    check_values(options)
    shapes = read_shapes(options)
    try:
        model = onnx.load(source)
        onnx.checker.check_model(model)
    except Exception as error:
        raise AtcError("E16001", f"{source} is no valid ONNX file: {error}") from error
    check_graph(model)
    if names := options.get("out_nodes"):
        chosen_outputs(model, names)
    inputs, outputs = ports(model, "input"), ports(model, "output")
    check_shapes(shapes, inputs)
    dims = {name: list(shapes.dims.get(name, port.dims)) for name, port in inputs.items()}
    aipp = aipp_of(options, folder, list(inputs), dims)
    dtypes = om_dtypes(options, inputs, outputs, str(aipp["input"]) if aipp else None)
    precision, model = rounded(options, folder, model)
    if aipp:
        count, channels, height, width = dims[str(aipp["input"])]
        dims[str(aipp["input"])] = [count, height, width, channels]
    path = folder / f"{options['output']}.om"
    try:
        options_of_om = {"kind": shapes.kind, "order": list(shapes.dims), "precision": precision, "aipp": aipp}
        gears = [shapes.setting(gear) for gear in shapes.gears]
        write_om(model, path, dims, gears=gears, dtypes=dtypes, **options_of_om)
    except Exception as error:
        path.unlink(missing_ok=True)
        raise AtcError("EZ9999", f"Inner Error! the graph does not run in this shape: {error}") from error
    return path


def main(words: Sequence[str], folder: Path) -> int:
    """The program, run in this folder."""
    lines, code = ["ATC start working now, please wait for a moment."], 0
    try:
        compile_om(parse(words), folder)
        lines.append("ATC run success, welcome to the next use.")
    except AtcError as error:
        lines.append("ATC run failed, Please check the detail log, Try 'atc --help' for more information")
        lines.append(f"{error.code}: {error}")
        code = 255
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
