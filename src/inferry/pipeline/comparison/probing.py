"""Looking into a graph: any of its tensors, for two forms of a network, a few at a time."""

import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import onnx_ir as ir

from inferry.backends.registry import get_backend
from inferry.core.protocols import SessionOptions
from inferry.core.specs import Array
from inferry.core.tolerances import ROUNDING, SAME
from inferry.passes.expose import expose_tensors

PROBES: Final = 8
"""Most tensors that one run of the network hands out: they are all in memory, for both forms."""


@dataclass(frozen=True)
class Side:
    """One form of a network, and the batch that it sees.

    Attributes:
        model: The ONNX file.
        inputs: Of the graph, batch first; the sample in question is the first row.
        optimise: Whether the runtime may rewrite the graph.
    """

    model: Path
    inputs: Mapping[str, Array]
    optimise: bool = False


@dataclass(frozen=True)
class Measured:
    """How far a tensor departs; `comparable` where its values can be expected to be the same."""

    difference: float
    scale: float
    comparable: bool = True

    @property
    def relative(self) -> float:
        """The difference as a part of the scale."""
        if self.difference == 0:
            return 0.0
        return self.difference / self.scale if self.scale else math.inf


class Asked(Protocol):
    """One side of a comparison.

    Attributes:
        nodes: Of the graph, by the tensors that can be asked for.
        weights: Of the graph.
    """

    nodes: dict[str, ir.Node]
    weights: dict[str, ir.Value]

    def values(self, names: Sequence[str]) -> Mapping[str, Array]:
        """The tensors of these names."""


class Probes:
    """Asks both sides for tensors and keeps how far these are apart, never the tensors.

    Attributes:
        shared: Tensors that can be compared; those that turn out not to be (sizes, of which another batch rightly has
            others) leave it when they are met.
        exact: Whether both sides compute the same, with the same operators.
        floor: Greatest departure that means nothing, as a part of the scale.

    Args:
        before: The side that is right.
        after: The side that departs.
        exact: As above.
        kinds: numpy's letters for the kinds of numbers that must be the same on both sides.
        same_shapes: Whether only tensors of the same shape can be compared, and not what both have in common.
    """

    def __init__(self, before: Asked, after: Asked, *, exact: bool, kinds: str, same_shapes: bool = False) -> None:
        self._sides = (before, after)
        self.shared = before.nodes.keys() & after.nodes.keys()
        self.exact = exact
        self.floor = SAME if exact else ROUNDING
        self.nodes = after.nodes
        self._kinds = kinds
        self._same_shapes = same_shapes
        self.known: dict[str, Measured] = {}

    @classmethod
    def of_graphs(cls, before: Side, after: Side, folder: Path, backend: str) -> "Probes":
        """Of two graphs; `folder` takes what is written on the way."""
        sides = [Prober(side, folder / name, backend) for side, name in ((before, "a"), (after, "b"))]
        same_inputs = all(np.array_equal(array, after.inputs[name]) for name, array in before.inputs.items())
        exact = same_inputs and before.optimise == after.optimise
        # Whole numbers are sizes and lengths, which another batch changes rightly.
        return cls(*sides, exact=exact, kinds="fiub" if same_inputs else "f")

    def relative(self, names: Iterable[str]) -> dict[str, float]:
        """How far each of these tensors departs, as a part of its scale; those that cannot be compared are left out."""
        wanted = list(names)
        new = [name for name in wanted if name not in self.known]
        for start in range(0, len(new), PROBES):
            some = new[start : start + PROBES]
            a, b = (side.values(some) for side in self._sides)
            self.known |= {name: self._measure(a[name], b[name]) for name in some}
        self.shared -= {name for name in wanted if not self.known[name].comparable}
        return {name: self.known[name].relative for name in wanted if self.known[name].comparable}

    def _measure(self, a: Array, b: Array) -> Measured:
        same_kind = a.dtype.kind == b.dtype.kind and a.dtype.kind in self._kinds
        if not same_kind or (self._same_shapes and a.shape != b.shape):
            return Measured(0.0, 0.0, comparable=False)
        if a.ndim != b.ndim:
            return Measured(math.inf, 1.0)
        common = tuple(slice(min(sizes)) for sizes in zip(a.shape, b.shape, strict=True))
        first, second = a[common].astype(np.float64), b[common].astype(np.float64)
        if np.array_equal(first, second):
            return Measured(0.0, 0.0)
        with np.errstate(invalid="ignore"):
            difference = float(np.abs(first - second).max())
        scale = float(np.abs(first).max())
        return Measured(difference if math.isfinite(difference) else math.inf, scale if math.isfinite(scale) else 1.0)

    def changes(self, tensor: str) -> tuple[str, ...]:
        """What differs between the two files in the node that makes a tensor, each as a part of a sentence."""
        before, after = (side.nodes[tensor] for side in self._sides)
        reads = [[value.name if value is not None else None for value in node.inputs] for node in (before, after)]
        attributes = [{name: str(value.value) for name, value in node.attributes.items()} for node in (before, after)]
        changes = []
        if before.op_type != after.op_type:
            changes.append(f"it is a {after.op_type} instead of a {before.op_type}")
        if reads[0] != reads[1]:
            changes.append(f"it reads {_listed(reads[1])} instead of {_listed(reads[0])}")
        if attributes[0] != attributes[1]:
            changes.append("its attributes differ")
        weights = [side.weights for side in self._sides]
        shared = [name for name in reads[1] if name and name in weights[0] and name in weights[1]]
        return (*changes, *filter(None, (weight_change(name, *(side[name] for side in weights)) for name in shared)))


class Prober:
    """Runs one side's graph cut down to the tensors asked for."""

    def __init__(self, side: Side, folder: Path, backend: str) -> None:
        self._side = side
        self._backend = get_backend(backend)
        self._model = ir.load(side.model)
        self._file = folder / "probe.onnx"
        self.nodes = _nodes(self._model)
        self.weights = dict(self._model.graph.initializers)
        folder.mkdir()
        for tensor in {_location(value) for value in self._model.graph.initializers.values()} - {None}:
            _place(side.model.parent / str(tensor), folder / str(tensor))

    def values(self, names: Sequence[str]) -> dict[str, Array]:
        """The tensors of these names."""
        ir.save(expose_tensors(self._model, names), self._file)
        session = self._backend.open(self._file, SessionOptions(optimise=self._side.optimise))
        try:
            return session.run(self._side.inputs)
        finally:
            session.close()


def _nodes(model: ir.Model) -> dict[str, ir.Node]:
    """The node that makes each tensor, in the order of the graph."""
    return {value.name: node for node in model.graph for value in node.outputs if value.name}


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(name or "nothing" for name in names)


def weight_change(name: str, before: ir.Value, after: ir.Value) -> str:
    """How a weight of a graph differs from another graph's, as a part of a sentence; empty if it does not."""
    if before.const_value is None or after.const_value is None:
        return ""
    a, b = before.const_value.numpy(), after.const_value.numpy()
    if a.shape != b.shape:
        return f"the weight {name} has shape {b.shape} instead of {a.shape}"
    if a.dtype != b.dtype:
        return f"the weight {name} is {b.dtype} instead of {a.dtype}"
    count = int((a != b).sum())
    return f"the weight {name} differs in {count:,} of {a.size:,} values" if count else ""


def _location(value: ir.Value) -> str | None:
    tensor = value.const_value
    return str(tensor.location) if isinstance(tensor, ir.ExternalTensor) else None


def _place(source: Path, target: Path) -> None:
    """A hard link where the file system allows it: ONNX Runtime refuses a link that leads out of the model's folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
