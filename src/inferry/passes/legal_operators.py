"""Operators that atc is not known to parse, and those that it would read as something else."""

import onnx_ir as ir

from inferry.core.atc_operators import KNOWN
from inferry.passes.forward_recurrences import misread
from inferry.passes.rewriting import label


def operator_problems(model: ir.Model) -> list[str]:
    """Why the target would refuse or misread a model's operators, each the end of a sentence; empty if it would not."""
    nodes = [node for node in model.graph.all_nodes() if not node.domain]
    unknown = sorted({node.op_type for node in nodes} - KNOWN)
    problems = [f"has {', '.join(unknown)}, for which no parser of the target is known (E19010)"] if unknown else []
    problems += [f"has a node {label(node)} that {reason}" for node in nodes for reason in misread(node)]
    return problems
