"""The smallest part of a model that shows what a pass did to it, as two files that run alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.backends.registry import get_backend
from inferry.core.protocols import SessionOptions
from inferry.core.specs import Array
from inferry.pipeline.comparison.bisection import Departure, search
from inferry.pipeline.comparison.probing import Prober, Probes, Side
from inferry.pipeline.optimising.files import count_nodes, load_model

_BACKEND: Final = "onnxruntime"
NOISE: Final = 0.1
"""Part of what a pass may change below which a tensor still agrees."""


@dataclass(frozen=True)
class Part:
    """Two cut models, and the tensors that both take.

    Attributes:
        before: The part as it was.
        after: The part as the pass left it.
        inputs: By name; the two forms of the whole model agree on them.
        departure: Where they begin to differ: the output of both.
    """

    before: ir.Model
    after: ir.Model
    inputs: Mapping[str, Array]
    departure: Departure

    @property
    def nodes(self) -> int:
        """Of the part as the pass left it."""
        return count_nodes(self.after)


def cut_out(before: Side, after: Side, output: str, tolerance: float) -> Part | None:
    """The part between the tensors on which two forms still agree and the first on which they do not.

    Args:
        before: The model before the pass, and the inputs.
        after: The model after it, and the same inputs.
        output: Where the difference was noticed.
        tolerance: What the pass may change, as a part of a tensor's scale.

    Returns:
        None where the two share too few names for it.

    Raises:
        BackendError: The runtime does not hand out a tensor.
    """
    with TemporaryDirectory(prefix="inferry-cut-") as folder:
        sides = [Prober(side, Path(folder) / name, _BACKEND) for side, name in ((before, "a"), (after, "b"))]
        probes = Probes(*sides, exact=False, kinds="fiub", same_shapes=True)
        probes.floor = tolerance * NOISE
        found = search(probes, output)
        if found is None:
            return None
        names = sorted({name for side in sides for name in _boundary(side.nodes, found, probes, before.inputs)})
        made = [name for name in names if name in sides[0].nodes]
        values = [side.values(made) if made else {} for side in sides]
    if any(values[0][name].dtype != values[1][name].dtype for name in made):
        return None
    inputs = {name: values[0][name] if name in made else before.inputs[name] for name in names}
    # Only now: onnx_ir refuses to read weights that have a second hard link.
    try:
        was, now = (_cut(side.model, inputs, found.tensor) for side in (before, after))
    except ValueError:  # something else leads to the tensor: a subgraph may read what no node input shows
        return None
    return Part(was, now, inputs, found)


def run_part(before: Path, after: Path, inputs: Mapping[str, Array]) -> list[dict[str, Array]]:
    """The outputs of both files, without the runtime's own rewrites.

    Raises:
        BackendError: One of them does not open or run.
    """
    outputs = []
    for file in (before, after):
        session = get_backend(_BACKEND).open(file, SessionOptions(optimise=False))
        try:
            outputs.append(session.run(inputs))
        finally:
            session.close()
    return outputs


def _boundary(nodes: Mapping[str, ir.Node], found: Departure, probes: Probes, inputs: Mapping[str, Array]) -> set[str]:
    """The nearest tensors that both sides agree on, and inputs of the graph, that lead to the one that departs."""
    limit = max(probes.floor, found.inputs_relative)
    boundary: set[str] = set()
    seen, waiting = {found.tensor}, [found.tensor]
    while waiting:
        for value in _read_by(nodes[waiting.pop()]):
            name = value.name or ""
            if name in seen:
                continue
            seen.add(name)
            if name in inputs or (name in probes.shared and probes.relative([name]).get(name, np.inf) <= limit):
                boundary.add(name)
            elif name in nodes:
                waiting.append(name)
    return boundary


def _read_by(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, its subgraphs included."""
    yield from (value for value in node.inputs if value is not None)
    for attribute in node.attributes.values():
        inner = {ir.AttributeType.GRAPH: [attribute.value], ir.AttributeType.GRAPHS: attribute.value}
        for graph in inner.get(attribute.type, ()):
            for one in graph.all_nodes():
                yield from (value for value in one.inputs if value is not None)


def _cut(file: Path, inputs: Mapping[str, Array], output: str) -> ir.Model:
    """A model of its own: weights within, inputs with types and shapes.

    Raises:
        ValueError: The inputs do not bound it.
    """
    model = load_model(file)
    graph = ir.convenience.extract(model.graph, list(inputs), [output])
    for value in graph.inputs:
        array = inputs[value.name or ""]
        value.type, value.shape = ir.TensorType(ir.DataType.from_numpy(array.dtype)), ir.Shape(array.shape)
    cut = ir.Model(graph, ir_version=model.ir_version, functions=list(model.functions.values()))
    return ir.external_data.load_to_model(cut)
