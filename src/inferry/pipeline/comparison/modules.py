"""Where does a graph leave the original network? Module by module: nodes are named after the original's modules."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, runtime_checkable

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.pipeline.comparison.bisection import Departure, search
from inferry.pipeline.comparison.probing import Prober, Probes, Side


@runtime_checkable
class Traced(Protocol):
    """An original network that can be looked into; what `inferry.core.protocols.Reference` may offer besides."""

    def modules(self) -> Sequence[str]:
        """Full names of the modules that can be paired with the graph's scopes."""

    def trace(self, inputs: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """What these modules give for one sample, batch first; those that give no tensor are left out."""


def first_module(network: Traced, inputs: Mapping[str, Array], side: Side, tensor: str, backend: str) -> str:
    """The first module whose output departs from the graph's, as a sentence; empty if none can be named.

    Module outputs are paired with the last tensor that the module's scope gives in the graph, where both have the same
    shape. For a network of which the graph folds or reorders modules, such pairs mean nothing: it must not be `Traced`.

    Args:
        network: The original.
        inputs: Of one sample, without the batch dimension.
        side: The graph, with the same sample as its batch.
        tensor: Where the difference was noticed.
        backend: What runs the graph.
    """
    with TemporaryDirectory(prefix="inferry-probe-") as folder:
        graph = Prober(side, Path(folder) / "graph", backend)
        modules = tensors_of_modules(network.modules(), graph.nodes)
        original = _Modules(network, inputs, modules, graph.nodes)
        probes = Probes(original, graph, exact=False, kinds="f", same_shapes=True)
        found = search(probes, tensor)
    return "" if found is None else _sentence(modules[found.tensor], found)


def _sentence(module: str, found: Departure) -> str:
    return (
        f"Compared with the original's modules, it comes in at {module}, which gives {found.tensor} in the graph: it is"
        f" off by up to {found.difference:.3g} where the original reaches {found.scale:.3g}; those before it agree"
        f" to {found.inputs_relative:.1g} of theirs."
    )


def tensors_of_modules(modules: Sequence[str], nodes: Mapping[str, ir.Node]) -> dict[str, str]:
    """The module that gives each tensor; of several that give the same one, the innermost.

    Args:
        modules: Full names.
        nodes: Of the graph in its order, by the tensors that they make.
    """
    last: dict[str, str] = {}
    for tensor, node in nodes.items():
        parts = (node.name or "").rpartition("/")[0].split(".")
        for end in range(1, len(parts) + 1):
            last[".".join(parts[:end])] = tensor
    return {last[name]: name for name in sorted(modules, key=len) if name in last}


class _Modules:
    """The original, asked by the names of the graph's tensors."""

    def __init__(
        self, network: Traced, inputs: Mapping[str, Array], modules: Mapping[str, str], nodes: Mapping[str, ir.Node]
    ) -> None:
        self._network = network
        self._inputs = inputs
        self._modules = modules
        self.nodes = {tensor: nodes[tensor] for tensor in modules}
        self.weights: dict[str, ir.Value] = {}

    def values(self, names: Sequence[str]) -> dict[str, Array]:
        """See `inferry.pipeline.comparison.probing.Asked.values`; an empty array where a module gives no tensor."""
        found = self._network.trace(self._inputs, [self._modules[name] for name in names])
        return {name: found.get(self._modules[name], np.zeros(0)) for name in names}
