"""Where in a graph do two forms of a network begin to differ? A search that probes a few tensors at a time.

How it works, and what its answer is worth: docs/decisions/0016.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import onnx_ir as ir

from inferry.pipeline.comparison.probing import PROBES, Probes, Side

_SHARP: Final = 8.0
"""How many times more than its inputs a node's output must depart for the node to be the one."""


@dataclass(frozen=True)
class Departure:
    """A node whose output departs.

    Attributes:
        node: Its name.
        operator: Its type.
        tensor: The output.
        difference: Greatest absolute difference; infinite where only one side is finite.
        scale: Greatest absolute value of the tensor on the first side.
        inputs_relative: The most that any of its inputs departs, as a part of that input's scale.
        sharp: Whether the node alone makes the difference: its inputs agree. Otherwise rounding has grown along the
            way, and of the nodes looked at this one adds most.
        unseen: Nodes between it and the inputs that agree whose tensors only one side has: it may be one of them.
        changes: What differs between the two files in this very node, each as a part of a sentence.
    """

    node: str
    operator: str
    tensor: str
    difference: float
    scale: float
    inputs_relative: float
    sharp: bool
    unseen: int = 0
    changes: tuple[str, ...] = ()


def first_departure(before: Side, after: Side, tensor: str, backend: str = "onnxruntime") -> Departure | None:
    """The first node of `after` whose output departs from that of `before`, among the ancestors of a tensor.

    Tensors are paired by name and compared on what both have: the common part of each axis, from its start. Each run
    asks for at most eight of them.

    Args:
        before: The form that is right.
        after: The form that departs.
        tensor: Where it was noticed: an output of both graphs.
        backend: What runs them.

    Returns:
        None if the tensor does not depart when it is looked at like this.
    """
    with TemporaryDirectory(prefix="inferry-probe-") as folder:
        probes = Probes.of_graphs(before, after, Path(folder), backend)
        found = search(probes, tensor)
    # Only now: onnx_ir refuses to read a file that has a second hard link.
    return None if found is None else replace(found, changes=probes.changes(found.tensor))


def search(probes: Probes, tensor: str) -> Departure | None:
    """The first node whose output departs, among the ancestors of a tensor; None if the tensor does not depart."""
    if tensor not in probes.shared or probes.relative([tensor]).get(tensor, 0.0) <= probes.floor:
        return None
    return _search(_Ancestry(probes.nodes, probes.shared), probes, tensor)


class _Ancestry:
    """Which tensors lead to which, in the order in which the graph computes them; only those in `shared` are seen."""

    def __init__(self, nodes: Mapping[str, ir.Node], shared: set[str]) -> None:
        self.nodes = nodes
        self._order = {name: place for place, name in enumerate(nodes)}
        self._shared = shared
        self._named = frozenset(shared)

    def inputs(self, tensor: str) -> list[str]:
        """The nearest shared tensors from which this one is computed, in order."""
        return self._sorted(self._walk(tensor, lambda name: name not in self._shared))

    def unseen(self, tensor: str) -> int:
        """How many tensors that only this side has lie between this one and its nearest shared ones."""
        return len(self._walk(tensor, lambda name: name not in self._shared) - self._named)

    def ancestors(self, tensor: str) -> list[str]:
        """All shared tensors from which this one is computed, in order."""
        return self._sorted(self._walk(tensor, lambda _: True))

    def _sorted(self, names: set[str]) -> list[str]:
        return sorted(names & self._shared, key=self._order.__getitem__)

    def _walk(self, tensor: str, goes_on: Callable[[str], bool]) -> set[str]:
        seen: set[str] = set()
        waiting = [tensor]
        while waiting:
            for value in self.nodes[waiting.pop()].inputs:
                name = value.name if value is not None else None
                if name and name in self.nodes and name not in seen:
                    seen.add(name)
                    if goes_on(name):
                        waiting.append(name)
        return seen


def _search(graph: _Ancestry, probes: Probes, tensor: str) -> Departure:
    """Look with a coarse threshold first; where rounding has only grown, go on from there with a finer one."""
    threshold = probes.floor
    if not probes.exact:
        threshold = max(threshold, math.sqrt(min(1.0, probes.known[tensor].relative) * threshold))
    best: Departure | None = None
    current = tensor
    while True:
        current = _first_above(graph, probes, current, threshold)
        found = _describe(graph, probes, current)
        if best is None or _jump(found, probes) > _jump(best, probes):
            best = found
        if found.sharp or found.inputs_relative <= probes.floor:
            return best
        threshold = max(probes.floor, found.inputs_relative / 4)


def _first_above(graph: _Ancestry, probes: Probes, tensor: str, threshold: float) -> str:
    """A tensor that departs by more than the threshold while none of its inputs does."""
    current = tensor
    while True:
        current = _narrow(graph, probes, current, threshold)
        departing = [name for name, relative in _inputs(graph, probes, current).items() if relative > threshold]
        if not departing:
            return current
        current = departing[0]


def _inputs(graph: _Ancestry, probes: Probes, tensor: str) -> dict[str, float]:
    """How far the nearest tensors depart from which this one is computed; what cannot be compared is looked through."""
    while True:
        names = graph.inputs(tensor)
        found = probes.relative(names)
        if len(found) == len(names):
            return found


def _narrow(graph: _Ancestry, probes: Probes, tensor: str, threshold: float) -> str:
    """The earliest departing ancestor that evenly spread probes find; what leads to an agreeing one is left out."""
    current, candidates = tensor, graph.ancestors(tensor)
    while candidates:
        count = min(PROBES, len(candidates))
        picks = [candidates[(2 * index + 1) * len(candidates) // (2 * count)] for index in range(count)]
        relative = probes.relative(picks)
        departing = [name for name in picks if relative.get(name, 0.0) > threshold]
        left = set(candidates) - set(picks)
        for name in picks:
            if name in relative and name not in departing:
                left -= set(graph.ancestors(name))
        if departing:
            current = departing[0]
            left &= set(graph.ancestors(current))
        candidates = [name for name in candidates if name in left]
    return current


def _describe(graph: _Ancestry, probes: Probes, tensor: str) -> Departure:
    node, measured = graph.nodes[tensor], probes.known[tensor]
    inputs = max(_inputs(graph, probes, tensor).values(), default=0.0)
    return Departure(
        node=node.name or tensor,
        operator=node.op_type,
        tensor=tensor,
        difference=measured.difference,
        scale=measured.scale,
        inputs_relative=inputs,
        sharp=measured.relative >= _SHARP * max(inputs, probes.floor),
        unseen=graph.unseen(tensor),
    )


def _jump(found: Departure, probes: Probes) -> float:
    """How many times further the output departs than the inputs."""
    return probes.known[found.tensor].relative / max(found.inputs_relative, probes.floor)
