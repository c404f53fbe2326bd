"""Opsets that a compiler reads: atc takes ai.onnx 11 to 18, one version for each domain (E16005)."""

from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx import version_converter

from inferry.passes.legal_operators import operator_problems
from inferry.passes.rewriting import Declined, Outcome


@dataclass(frozen=True, slots=True)
class LegalOpset:
    """Converts ONNX's own operators to the nearest version in a range, with ONNX's converter.

    Attributes:
        lowest: Version of ai.onnx.
        highest: Likewise.
    """

    lowest: int = 11
    highest: int = 18
    name: str = "legal-opset"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. What conversion cannot mend is declined: operators of other domains stay."""
        declined = [Declined("model", problem) for problem in _domain_problems(model)]
        version = model.graph.opset_imports.get("", 0)
        nearest = min(max(version, self.lowest), self.highest)
        if not version or version == nearest:
            return Outcome(model, 0, tuple(declined))
        try:
            proto = version_converter.convert_version(ir.to_proto(model), nearest)
            converted = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
        except Exception as error:  # noqa: BLE001 -- the converter raises other kinds for other operators
            why = f"has opset {version}, which ONNX's converter cannot turn into {nearest}: {error}"
            return Outcome(model, 0, (*declined, Declined("model", why)))
        _find_weights(converted, model)
        converted.ir_version = min(converted.ir_version, model.ir_version)
        return Outcome(converted, 1, tuple(declined))

    def problems(self, model: ir.Model) -> list[str]:
        """Why the target would refuse the model, each the end of a sentence; empty if nothing is known against it."""
        version = model.graph.opset_imports.get("", 0)
        outside = f"has version {version} of ai.onnx, the target reads {self.lowest} to {self.highest}"
        versions = [] if self.lowest <= version <= self.highest else [outside]
        return [*versions, *_domain_problems(model), *operator_problems(model)]


def _find_weights(converted: ir.Model, model: ir.Model) -> None:
    """Weights outside of the file are named relative to a folder, of which ONNX's own form of a model knows nothing."""
    values = (value for graph in model.graphs() for value in graph.initializers.values())
    for tensor in (value.const_value for value in values):
        if isinstance(tensor, ir.ExternalTensor):
            ir.external_data.set_base_dir(converted.graph, tensor.base_dir)
            return


def _domain_problems(model: ir.Model) -> list[str]:
    problems = []
    foreign = sorted({node.domain for node in ir.traversal.RecursiveGraphIterator(model.graph) if node.domain})
    if foreign:
        problems.append(f"has operators of {', '.join(foreign)}, for which the target has no parser (E19010)")
    for function in model.functions.values():
        for domain, own in function.opset_imports.items():
            if model.graph.opset_imports.get(domain, own) != own:
                problems.append(f"has two versions of the domain {domain or 'ai.onnx'} (E16005): in {function.name}")
    return problems
