"""The files with which atc is told the precision of single operators, and what may stand beside each other.

`inferry.ascend.atc_files` checks such files of others. Sources: the ATC documentation of ``--op_precision_mode``,
``--modify_mixlist``, ``--keep_dtype`` and ``--customize_dtypes``.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from inferry.ascend.atc_command import Command
from inferry.ascend.atc_files import PRECISIONS, RESERVED
from inferry.ascend.atc_problem import nearest
from inferry.ascend.atc_rules import rule_problems
from inferry.ascend.atc_soc import NO_FLOAT_32_EXECUTION, soc_family, soc_problems
from inferry.core.errors import UsageError
from inferry.core.graph_facts import GraphFacts

IR_TYPES: Final[Mapping[str, str]] = {
    "Add": "Add",
    "Div": "Div",
    "LogSoftmax": "LogSoftmaxV2",
    "MatMul": "BatchMatMulV2",
    "Relu": "Relu",
    "Softmax": "SoftmaxV2",
    "Sub": "Sub",
}
"""Ascend's own name of an ONNX operator, opset 13 on, where CANN's public parser plugins register exactly one."""

SPLIT: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "LayerNormalization", "ReduceMean"})
"""ONNX operators that these plugins write as several of Ascend's (``PartitionedCall``)."""

DTYPES: Final = ("float16", "float32", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool")

_BFLOAT16: Final = frozenset({"910B", "A3", "310B", "950"})
_NAME: Final = re.compile(r"[\w/.\-]+")


@dataclass(frozen=True, slots=True)
class PrecisionFile:
    """One configuration file.

    Attributes:
        option: That names it, without dashes.
        text: Its content.
        nodes: Of the graph that it speaks of by name.
    """

    option: str
    text: str
    nodes: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """A name with the suffix that the documentation's examples have."""
        suffix = {"op_precision_mode": "ini", "modify_mixlist": "json"}
        return f"{self.option}.{suffix.get(self.option, 'cfg')}"


@dataclass(frozen=True, slots=True)
class Dtypes:
    """The types that one operator computes in: one for each input and each output, in order.

    Attributes:
        inputs: Of `DTYPES`.
        outputs: Likewise.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MixList:
    """Changes to one of atc's lists, as ONNX operators.

    Attributes:
        add: Operators that come into the list.
        remove: Operators that leave it, for the grey list.
    """

    add: Sequence[str] = ()
    remove: Sequence[str] = ()

    def to_json(self) -> dict[str, list[str]]:
        """As atc reads it, in Ascend's names."""
        return {"to-add": [ir_type(name) for name in self.add], "to-remove": [ir_type(name) for name in self.remove]}


@dataclass(frozen=True)
class PrecisionSettings:
    """What a compilation adds to its command line, and the files beside it.

    Attributes:
        options: Values by option, without dashes.
        files: Texts by file name, for the folder in which atc runs.
    """

    options: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)


def precision_settings(
    options: Mapping[str, str], files: Sequence[PrecisionFile] = (), *, soc: str
) -> PrecisionSettings:
    """The options with the files that go with them.

    Args:
        options: ``precision_mode_v2`` and what else decides the precision, without dashes.
        files: At most one for each option.
        soc: The chip.

    Raises:
        UsageError: Options that exclude each other, or files that would have no effect; lists all.
    """
    given = {**options, **{file.option: file.name for file in files}}
    complete = {"model": "m.onnx", "framework": "5", "output": "m", "soc_version": soc, **given}
    command = Command(complete)
    problems = [str(problem) for problem in (*rule_problems(command), *soc_problems(command, soc))]
    named = {file.option: file.nodes for file in files}
    if twice := named.get("keep_dtype", frozenset()) & named.get("customize_dtypes", frozenset()):
        problems.append(f"--customize_dtypes beats --keep_dtype, and both name {min(twice)}. fix: name it in one")
    if len(named) < len(files):
        problems.append("two files are for one option. fix: join them")
    if problems:
        raise UsageError("these options for the precision do not go together:\n  " + "\n  ".join(problems))
    return PrecisionSettings(given, {file.name: file.text for file in files})


def keep_dtype(graph: GraphFacts, nodes: Collection[str], operators: Collection[str] = ()) -> PrecisionFile:
    """``--keep_dtype``: nodes that compute in the type that the ONNX file gives them.

    atc finds them by the names of its own operators. It keeps the name of an ONNX node that becomes one operator;
    of one that becomes several (`SPLIT`), or is fused with others, the line may have no effect.

    Args:
        graph: That is compiled.
        nodes: Their names.
        operators: ONNX operators, all nodes of which are meant.

    Raises:
        UsageError: A node or an operator is not there, a node has a name that the file cannot hold, or an operator's
            Ascend name is not certain.
    """
    lines = [*_nodes(graph, nodes), *(f"OpType::{_type(graph, name)}" for name in operators)]
    return PrecisionFile("keep_dtype", _joined(lines), frozenset(nodes))


def customize_dtypes(
    graph: GraphFacts, nodes: Mapping[str, Dtypes], operators: Mapping[str, Dtypes] | None = None, *, soc: str
) -> PrecisionFile:
    """``--customize_dtypes``: the types of single operators; it beats every other option.

    Args:
        graph: That is compiled; knows how many inputs and outputs a node has.
        nodes: By node name.
        operators: By ONNX operator.
        soc: The chip.

    Raises:
        UsageError: As `keep_dtype`, or a type is unknown or the chip lacks it, or a node has another number of inputs
            or outputs.
    """
    for name, dtypes in nodes.items():
        wanted = graph.arity.get(name, (len(dtypes.inputs), len(dtypes.outputs)))
        if (found := (len(dtypes.inputs), len(dtypes.outputs))) != wanted:
            raise UsageError(
                f"{name} has {wanted[0]} inputs and {wanted[1]} outputs, and types for {found[0]} and {found[1]} are"
                " given: give one for each"
            )
    by_node = zip(_nodes(graph, nodes), nodes.values(), strict=True)
    lines = [f"{name}::{_types(dtypes, soc)}" for name, dtypes in by_node]
    lines += [f"OpType::{_type(graph, name)}:{_types(dtypes, soc)}" for name, dtypes in (operators or {}).items()]
    return PrecisionFile("customize_dtypes", _joined(lines), frozenset(nodes))


def op_precision_mode(
    graph: GraphFacts, nodes: Mapping[str, str], operators: Mapping[str, str] | None = None, *, soc: str
) -> PrecisionFile:
    """``--op_precision_mode``: which implementation of an operator is taken; a node's line beats its operator's.

    Args:
        graph: That is compiled.
        nodes: One of `inferry.ascend.atc_files.PRECISIONS` by node name.
        operators: Likewise by ONNX operator.
        soc: The chip.

    Raises:
        UsageError: As `keep_dtype`, or a value is unknown or reserved, or the chip lacks it.
    """
    operators = operators or {}
    for name, value in {**nodes, **operators}.items():
        if value not in PRECISIONS:
            raise UsageError(f"{name}={value}: the values are {', '.join(PRECISIONS)}")
        if value == RESERVED:
            raise UsageError(f"{name}={value} is reserved: use enable_float_32_execution or high_precision")
        if value == "enable_float_32_execution" and soc_family(soc) in NO_FLOAT_32_EXECUTION:
            raise UsageError(f"{name}={value} is not supported on {soc}: use high_precision")
    sections = {
        "ByOpType": [f"{_type(graph, name)}={value}" for name, value in operators.items()],
        "ByNodeName": [f"{name}={value}" for name, value in zip(_nodes(graph, nodes), nodes.values(), strict=True)],
    }
    lines = [line for section, rows in sections.items() if rows for line in (f"[{section}]", *rows)]
    return PrecisionFile("op_precision_mode", _joined(lines), frozenset(nodes))


def modify_mixlist(*, black: MixList | None = None, white: MixList | None = None) -> PrecisionFile:
    """``--modify_mixlist``: changes to the lists of operators that mixed precision never or always lowers.

    Args:
        black: Of those that stay in float32.
        white: Of those that may become float16.

    Raises:
        UsageError: Nothing is changed, an operator is added to both or added and removed, or its Ascend name is not
            certain.
    """
    lists = {"black-list": black, "white-list": white}
    content = {name: one.to_json() for name, one in lists.items() if one is not None}
    if not any(names for one in content.values() for names in one.values()):
        raise UsageError("a mix list that changes nothing: leave it out")
    for name, one in lists.items():
        if one is not None and (both := set(one.add) & set(one.remove)):
            raise UsageError(f"{min(both)} cannot come into the {name} and leave it: choose one")
    if black and white and (both := set(black.add) & set(white.add)):
        raise UsageError(f"{min(both)} cannot be added to the black list and the white list: choose one")
    return PrecisionFile("modify_mixlist", json.dumps(content, indent=2) + "\n")


def ir_type(operator: str) -> str:
    """Ascend's name of an ONNX operator.

    Raises:
        UsageError: It is not certain, with the reason.
    """
    if operator in IR_TYPES:
        return IR_TYPES[operator]
    why = (
        "becomes several of Ascend's operators" if operator in SPLIT else "has no Ascend name that we know for certain"
    )
    raise UsageError(f"the ONNX operator {operator} {why}: name its nodes instead; known: {', '.join(IR_TYPES)}")


def _type(graph: GraphFacts, operator: str) -> str:
    """As `ir_type`, of an operator that the graph has: a line for another one would say nothing."""
    name = ir_type(operator)
    if ("", operator) not in graph.operators:
        raise UsageError(f"the graph has no operator {operator}: leave it out")
    return name


def _nodes(graph: GraphFacts, names: Iterable[str]) -> list[str]:
    names = list(names)
    for name in names:
        if name not in graph.nodes:
            raise UsageError(f"the graph has no node {name!r}; {nearest(name, graph.nodes)}")
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"the node {name!r} cannot be named in atc's files: letters, digits and _ / . - only")
    return names


def _types(dtypes: Dtypes, soc: str) -> str:
    if unknown := [name for name in (*dtypes.inputs, *dtypes.outputs) if name not in DTYPES]:
        raise UsageError(f"the type {unknown[0]!r} is not known; there are {', '.join(DTYPES)}")
    if "bfloat16" in {*dtypes.inputs, *dtypes.outputs} and soc_family(soc) not in _BFLOAT16:
        raise UsageError(f"{soc} has no bfloat16: use float16 or float32")
    return f"InputDtype:{','.join(dtypes.inputs)},OutputDtype:{','.join(dtypes.outputs)}"


def _joined(lines: Sequence[str]) -> str:
    if not lines:
        raise UsageError("neither nodes nor operators are named: leave the file out")
    return "".join(f"{line}\n" for line in lines)
