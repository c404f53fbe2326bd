"""What a command line and the graph it compiles ask of each other."""

from collections.abc import Callable, Iterator
from typing import Final

from inferry.ascend.atc_command import Command
from inferry.ascend.atc_problem import USAGE, Problem, nearest
from inferry.ascend.atc_rules import COMPILING
from inferry.ascend.atc_shapes import GEAR_OPTIONS, Entry, input_shapes
from inferry.core.atc_operators import KNOWN
from inferry.core.graph_facts import GraphFacts, InputFacts

OPSETS: Final = range(11, 19)
"""Versions of ONNX's own operators that atc reads."""

DTYPES: Final = ("FLOAT", "FLOAT16", "UINT8", "INT32", "INT64", "INT8", "BOOL")
"""Of inputs. The documentation names the first three; INT32 and INT64 stand in published recipes; pyACL knows all."""

_QUANTISED: Final = frozenset(
    {
        *("AscendDequant", "AscendQuant", "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear"),
        *("MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear"),
    }
)
_DATA_DEPENDENT: Final = frozenset({"NonZero", "Unique", "Compress", "NonMaxSuppression"})


def graph_problems(command: Command, graph: GraphFacts) -> list[Problem]:
    """All that is wrong between a command line and a graph: names, ranks, versions, operators, dtypes."""
    return [problem for rule in _RULES for problem in rule(command, graph)]


def _entries(command: Command, graph: GraphFacts) -> Iterator[Problem]:
    """Names, ranks and numbers of the shapes."""
    entries = input_shapes(command).entries
    inputs = {value.name: value for value in graph.inputs}
    named = [entry for entry in entries if entry.name]
    for entry in named:
        if entry.name in inputs:
            yield from _shape(entry, inputs[entry.name])
        else:
            yield _unknown(entry.name, "input_shape", graph)
    indexed = [entry for entry in entries if not entry.name]
    if len(indexed) > len(inputs):
        found = f"--input_shape has {len(indexed)} shapes, the graph {len(inputs)} inputs"
        yield Problem("E10002", found, "give one shape for each input, in the graph's order")
    for entry, value in zip(indexed, graph.inputs, strict=False):
        yield from _shape(entry, value)


def _shape(entry: Entry, value: InputFacts) -> Iterator[Problem]:
    """Rank and fixed sizes. For the latter atc has no code: it compiles what does not fit, and fails within or errs.

    A fixed batch, the first size, is left alone: no documented rule forbids another one.
    """
    if value.dims is None:
        return
    if len(entry.dims) != len(value.dims):
        found = f"--input_shape gives '{value.name}' {len(entry.dims)} sizes, the graph has {len(value.dims)}"
        shown = ",".join("-1" if dim is None else str(dim) for dim in value.dims)
        yield Problem("E10049", found, f"the graph's are {shown or 'none: write a scalar as name:'}")
        return
    for axis, (given, own) in enumerate(zip(entry.dims, value.dims, strict=True)):
        if axis and isinstance(own, int) and given != own:
            shown = "~".join(map(str, given)) if isinstance(given, tuple) else str(given)
            found = f"--input_shape gives axis {axis} of '{value.name}' the size {shown}, the graph fixes it at {own}"
            yield Problem(USAGE, found, f"write {own}, or export the graph with this size open")


def _unknown(name: str, option: str, graph: GraphFacts) -> Problem:
    names = [value.name for value in graph.inputs]
    if name in graph.nodes:
        found = f"--{option} names '{name}', which is a node and no input"
        return Problem("E10017", found, f"the inputs are {', '.join(names)}")
    return Problem("E10016", f"--{option} names '{name}', which the graph does not have", nearest(name, names))


def _missing(command: Command, graph: GraphFacts) -> Iterator[Problem]:
    """Every input without a fixed shape needs an entry, and beside gears every scalar."""
    if command.get("mode", "0") not in COMPILING:
        return
    entries = input_shapes(command).entries
    given = {entry.name for entry in entries}
    listed = [value.name for value, entry in zip(graph.inputs, entries, strict=False) if not entry.name]
    unlisted = [value for value in graph.inputs if value.name not in given | set(listed)]
    missing = [value.name for value in unlisted if not value.is_static]
    scalars = [value.name for value in unlisted if value.dims == ()]
    if scalars and (command.get("dynamic_image_size") or command.get("dynamic_dims")):
        found = f"--input_shape lacks the scalar {', '.join(scalars)}, which gears want listed"
        yield Problem("E10004", found, f'add "{scalars[0]}:"')
    if missing:
        found = f"--input_shape lacks {', '.join(missing)}, whose shape the graph leaves open"
        yield Problem("E10004", found, "add name:sizes for each")


def _fp16_nodes(command: Command, graph: GraphFacts) -> Iterator[Problem]:
    inputs = {value.name for value in graph.inputs}
    for name in filter(None, command.get("input_fp16_nodes").split(";")):
        if name.strip() not in inputs:
            yield _unknown(name.strip(), "input_fp16_nodes", graph)


def _out_nodes(command: Command, graph: GraphFacts) -> Iterator[Problem]:
    for part in filter(None, command.get("out_nodes").split(";")):
        node, _, index = part.strip().rpartition(":")
        by_index = bool(node) and index.isdecimal()
        known = graph.nodes if by_index else frozenset(graph.outputs)
        name = node if by_index else part.strip()
        if name not in known and part.strip() not in graph.outputs:
            found = f"--out_nodes names '{part.strip()}', which the graph does not have"
            yield Problem("E10016", found, nearest(name, known))
        elif by_index and int(index) >= graph.arity.get(name, (0, int(index) + 1))[1]:
            found = f"--out_nodes names output {index} of '{name}', which has {graph.arity[name][1]}"
            yield Problem("E10003", found, "outputs are counted from 0")


def _opsets(_: Command, graph: GraphFacts) -> Iterator[Problem]:
    domains = sorted({domain for domain, _ in graph.opsets})
    for domain in domains:
        versions = sorted(version for name, version in graph.opsets if name == domain)
        if len(versions) > 1:
            found = f"the graph imports versions {' and '.join(map(str, versions))} of {domain or 'ai.onnx'}"
            yield Problem("E16005", found, "convert the model to one version")
    versions = sorted(version for domain, version in graph.opsets if not domain and version not in OPSETS)
    if versions:
        found = f"the graph is of ai.onnx {versions[0]}; atc reads {OPSETS[0]} to {OPSETS[-1]}"
        yield Problem("E16002", found, f"export the model with opset {OPSETS[-1]}")


def _operators(_: Command, graph: GraphFacts) -> Iterator[Problem]:
    for domain, operator in sorted(graph.operators):
        if domain:
            found = f"no parser is registered for {domain}.{operator}"
            yield Problem("E19010", found, "rewrite it with operators of ai.onnx")
        elif operator not in KNOWN:
            found = f"{operator} is not among the operators that atc is known to read (documentation of CANN 8.0)"
            yield Problem("E19010", found, "rewrite it with other operators; a newer CANN may read it")


def _tensors(_: Command, graph: GraphFacts) -> Iterator[Problem]:
    for name in graph.empty:
        yield Problem(
            "E10055", f"the tensor '{name}' has a size of 0", "remove it from the graph, or make it a constant"
        )
    for value in graph.inputs:
        if value.dtype not in DTYPES:
            found = f"the input '{value.name}' is {value.dtype}; atc takes {', '.join(DTYPES)}"
            yield Problem("E10055", found, "convert the input to one of these")


def _gears(command: Command, graph: GraphFacts) -> Iterator[Problem]:
    used = [name for name in GEAR_OPTIONS if command.get(name)]
    names = {operator for _, operator in graph.operators}
    for option in used[:1]:
        if names & _QUANTISED:
            found = f"--{option} cannot be used with a quantised model ({', '.join(sorted(names & _QUANTISED))})"
            yield Problem("E10055", found, "compile one static model for each shape")
        if names & _DATA_DEPENDENT:
            found = f"--{option} allows no operator whose output shape depends on data: "
            found += ", ".join(sorted(names & _DATA_DEPENDENT))
            yield Problem("E10055", found, "rewrite it, or compile a dynamic shape: -1 without gears")


_RULES: Final[tuple[Callable[[Command, GraphFacts], Iterator[Problem]], ...]] = (
    _entries,
    _missing,
    _fp16_nodes,
    _out_nodes,
    _opsets,
    _operators,
    _tensors,
    _gears,
)
