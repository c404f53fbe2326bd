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
        declined = tuple(_passed_through(model))
        matches = 0
        for make in _PASSES:
            if declined and make is common.IdentityEliminationPass:
                continue
            before = _sizes(model)
            modified = make()(model).modified
            gone = max(abs(a - b) for a, b in zip(before, _sizes(model), strict=True))
            matches += max(gone, 1) if modified else 0
        return Outcome(model, matches, declined)


def _sizes(model: ir.Model) -> tuple[int, int]:
    graphs = list(model.graphs())
    return sum(len(graph) for graph in graphs), sum(len(graph.initializers) for graph in graphs)


def _passed_through(model: ir.Model) -> list[Declined]:
    """Identities by which a subgraph hands out a value from outside, which onnx_ir 1.1 would make it name directly.

    ONNX demands that a subgraph makes its outputs itself.
    """
    found = []
    for graph in model.graph.subgraphs():
        for node in graph:
            source = node.inputs[0] if node.op_type == "Identity" and node.inputs else None
            if source is not None and source.graph is not graph and node.outputs[0].is_graph_output():
                found.append(Declined(label(node), "hands a value from outside out of a subgraph: identities stay"))
    return found
