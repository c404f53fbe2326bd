"""The facts of an ONNX graph that a compiler's command line is checked against."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir

from inferry.core.graph_facts import GraphFacts, InputFacts


def file_facts(path: Path) -> GraphFacts:
    """Reads the facts of a file, without its weights; a domain that it imports twice is seen.

    Raises:
        Exception: Of nearly any kind, if the file is no ONNX model.
    """
    proto = onnx.load(path, load_external_data=False)
    facts = graph_facts(ir.from_proto(proto))
    imported = {(_domain(entry.domain), entry.version) for entry in proto.opset_import}
    return replace(facts, opsets=facts.opsets | imported)


def graph_facts(model: ir.Model) -> GraphFacts:
    """Reads the facts of a model; the model stays as it is.

    onnx_ir keeps one version of a domain for the graph and one for each function: `file_facts` sees the others.
    """
    graph = model.graph
    parts: list[ir.Graph | ir.Function] = [graph, *model.functions.values()]
    everything = [node for part in parts for node in part.all_nodes()]
    opsets = (part.opset_imports for part in parts)
    return GraphFacts(
        inputs=tuple(_input(value) for value in graph.inputs if value.name not in graph.initializers),
        outputs=tuple(value.name or "" for value in graph.outputs),
        nodes=frozenset(node.name for node in graph if node.name),
        opsets=frozenset((_domain(domain), version) for imports in opsets for domain, version in imports.items()),
        operators=frozenset((_domain(node.domain), node.op_type) for node in everything),
        empty=tuple(_empty(graph.inputs, everything)),
        arity={node.name: (len(node.inputs), len(node.outputs)) for node in graph if node.name},
    )


def _input(value: ir.Value) -> InputFacts:
    dims = None if value.shape is None else tuple(d if isinstance(d, int) else d.value for d in value.shape)
    return InputFacts(value.name or "", dims, "UNDEFINED" if value.dtype is None else value.dtype.name)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _empty(inputs: Iterable[ir.Value], nodes: Iterable[ir.Node]) -> Iterator[str]:
    """Values with a size of 0. A constant may have one: an empty list of axes, for instance."""
    made = (value for node in nodes if node.op_type != "Constant" for value in node.outputs)
    for value in (*inputs, *made):
        if value.shape is not None and 0 in value.shape.dims:
            yield value.name or ""
