"""Any tensor of a graph as an output, to look at what lies between the input and the answer."""

from collections.abc import Sequence

import onnx_ir as ir

from inferry.core.errors import UsageError


def expose_tensors(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """A model whose outputs are these tensors, and which holds no more than they need.

    The given model stays as it is. Weights are shared with it and not copied; external ones keep the name of their
    file, which must lie beside the new model once that is saved. The tensors get no type: ONNX Runtime infers it.

    Args:
        model: Any model; all its inputs stay inputs.
        names: Of values that nodes make, in the order of the new outputs.

    Raises:
        UsageError: No name is given, or a name is none of a value that a node makes.
    """
    made = {value.name for node in model.graph for value in node.outputs}
    unknown = [name for name in names if name not in made]
    if unknown or not names:
        raise UsageError(f"no node of this graph makes {', '.join(unknown) or 'nothing'}; it makes {len(made)} tensors")
    inputs = [value.name or "" for value in model.graph.inputs]
    graph = ir.convenience.extract(model.graph, inputs, list(names))
    return ir.Model(graph, ir_version=model.ir_version, producer_name=model.producer_name)
