"""Precision in detail: what a user says of single nodes and operators, as the files that atc reads."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from inferry.ascend.atc_precision import (
    Dtypes,
    MixList,
    PrecisionFile,
    PrecisionSettings,
    customize_dtypes,
    keep_dtype,
    modify_mixlist,
    op_precision_mode,
    precision_settings,
)
from inferry.ascend.atc_write import PRECISIONS
from inferry.core.errors import UsageError
from inferry.core.graph_facts import GraphFacts

OPERATOR: Final = "Type:"
"""Before the name of an operator where a node could stand too."""

_ATC_MIXED: Final = "mixed_float16"
_LISTS: Final = ("black+", "black-", "white+", "white-")


@dataclass(frozen=True)
class PrecisionDetails:
    """What is said of nodes, by their names, or of all nodes of an operator (``Type:Softmax``).

    Attributes:
        keep_fp32: Stay in float32: ``--keep_dtype``.
        op_precision: ``NAME=high_precision``, which implementation is taken: ``--op_precision_mode``.
        dtypes: ``NAME=float16,float16:float32``, types of the inputs and of the outputs: ``--customize_dtypes``.
        mix_list: ``black+Softmax``, ``white-MatMul``: changes to the lists of atc's own mixed precision
            (``--modify_mixlist``), which then stands in the place of what was measured.
    """

    keep_fp32: tuple[str, ...] = ()
    op_precision: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    mix_list: tuple[str, ...] = ()


def precision_of(
    precision: str, details: PrecisionDetails, graph: GraphFacts, measured: Collection[str], soc: str
) -> PrecisionSettings:
    """The mode, and the files with what differs from it.

    Args:
        precision: ``fp32``, ``fp16`` or ``mixed``.
        details: The user's.
        graph: That is compiled.
        measured: Further nodes that stay in float32.
        soc: The chip.

    Raises:
        UsageError: What is said cannot be meant, or atc would refuse it.
    """
    if details.mix_list and precision != "mixed":
        raise UsageError(f"--mix-list changes the lists of mixed precision, and --precision is {precision}")
    mode = _ATC_MIXED if details.mix_list else PRECISIONS[precision]
    return precision_settings({"precision_mode_v2": mode}, list(_files(details, graph, measured, soc)), soc=soc)


def _files(
    details: PrecisionDetails, graph: GraphFacts, measured: Collection[str], soc: str
) -> Iterator[PrecisionFile]:
    nodes, operators = _apart(details.keep_fp32)
    if nodes or operators or measured:
        yield keep_dtype(graph, list(dict.fromkeys([*nodes, *measured])), operators)
    if details.op_precision:
        values = _pairs("--op-precision", details.op_precision, "NAME=high_precision")
        nodes, operators = _apart(list(values))
        by_operator = {name: values[OPERATOR + name] for name in operators}
        yield op_precision_mode(graph, {name: values[name] for name in nodes}, by_operator, soc=soc)
    if details.dtypes:
        values = _pairs("--dtypes", details.dtypes, "NAME=float16,float16:float32")
        types = {name: _dtypes(name, text) for name, text in values.items()}
        nodes, operators = _apart(list(types))
        by_type = {name: types[OPERATOR + name] for name in operators}
        yield customize_dtypes(graph, {name: types[name] for name in nodes}, by_type, soc=soc)
    if details.mix_list:
        yield modify_mixlist(black=_mix_list(details.mix_list, "black"), white=_mix_list(details.mix_list, "white"))


def _apart(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Nodes, and operators without their mark."""
    nodes = [name for name in names if not name.startswith(OPERATOR)]
    return nodes, [name.removeprefix(OPERATOR) for name in names if name.startswith(OPERATOR)]


def _pairs(option: str, words: Sequence[str], form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        # Names of nodes may hold an equals sign, values may not.
        name, separator, value = word.rpartition("=")
        if not (separator and name and value):
            raise UsageError(f"{option} {word!r} is not {form}")
        if name in found:
            raise UsageError(f"{option} names {name} twice")
        found[name] = value
    return found


def _dtypes(name: str, text: str) -> Dtypes:
    inputs, separator, outputs = text.partition(":")
    if not separator:
        raise UsageError(f"--dtypes {name}={text}: the types of the outputs are missing: {text}:float32")
    return Dtypes(tuple(filter(None, inputs.split(","))), tuple(filter(None, outputs.split(","))))


def _mix_list(words: Sequence[str], name: str) -> MixList | None:
    for word in words:
        if not word.startswith(_LISTS) or len(word) == len(_LISTS[0]):
            raise UsageError(f"--mix-list {word!r} is not black+OPERATOR, black-, white+ or white-OPERATOR")
    size = len(_LISTS[0])
    add, remove = ([word[size:] for word in words if word.startswith(f"{name}{sign}")] for sign in "+-")
    return MixList(add, remove) if add or remove else None
