"""Removes what a graph does not need: onnx_ir's own passes, in the order in which each helps the next."""

from dataclasses import dataclass
from typing import Final

import onnx_ir as ir
from onnx_ir.passes import common

from inferry.passes.rewriting import Declined, Outcome, label

_PASSES: Final = (
    lambda: common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    common.DeduplicateInitializersPass,
    common.CommonSubexpressionEliminationPass,
    common.IdentityEliminationPass,
    common.RemoveUnusedNodesPass,
    common.RemoveUnusedFunctionsPass,
    common.RemoveUnusedOpsetsPass,
)


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Constant nodes become initializers; equal small ones, repeated nodes, identities and unused parts go."""

    name: str = "clean-up"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is a node or an initializer that went, or a step that changed something else."""
        declined: list[Declined] = []
        matches = 0
        for make in _PASSES:
            if make is common.IdentityEliminationPass:
                declined = _handing_out(model)
                if declined:
                    continue
            before = _sizes(model)
            modified = make()(model).modified
            gone = max(abs(a - b) for a, b in zip(before, _sizes(model), strict=True))
            matches += max(gone, 1) if modified else 0
        return Outcome(model, matches, tuple(declined))


def _sizes(model: ir.Model) -> tuple[int, int]:
    graphs = list(model.graphs())
    return sum(len(graph) for graph in graphs), sum(len(graph.initializers) for graph in graphs)


def _handing_out(model: ir.Model) -> list[Declined]:
    """Identities that make an output and that onnx_ir 1.1 would not leave out in a valid way.

    ONNX demands that a subgraph makes its outputs itself, and an output of its own for each name.
    """
    found = []
    for graph in model.graphs():
        for node in graph:
            source = node.inputs[0] if node.op_type == "Identity" and node.inputs else None
            if source is None or not node.outputs[0].is_graph_output():
                continue
            if graph is not model.graph and source.graph is not graph:
                found.append(Declined(label(node), "hands a value from outside out of a subgraph: identities stay"))
            elif source.is_graph_output():
                found.append(Declined(label(node), "hands out an output under a second name: identities stay"))
    return found
