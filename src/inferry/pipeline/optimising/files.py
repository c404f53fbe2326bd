"""ONNX files as the passes see them: read with shapes, written with their weights where they belong."""

from pathlib import Path
from typing import Final

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.errors import UsageError

_LARGEST_FILE: Final = 1 << 30
"""Bytes of weights that still go into the ONNX file itself; protobuf ends at twice as many."""

_ALIAS: Final = "ai.onnx"


def read_model(model: Path, output: Path) -> ir.Model:
    """The model, once it is clear that writing the output harms nothing that it needs.

    Raises:
        UsageError: It cannot be read, or the output would replace it or its weights.
    """
    if not model.is_file():
        raise UsageError(f"there is no ONNX file {model}")
    if output.is_dir() or output.suffix != ".onnx":
        raise UsageError(f"{model} is an ONNX file, and so is what becomes of it: --output names one, not {output}")
    if model.resolve() == output.resolve():
        raise UsageError(f"{output} is the model itself: choose another output")
    try:
        loaded = load_model(model)
    except Exception as error:  # protobuf's own errors share no base but Exception
        raise UsageError(f"{model} cannot be read as an ONNX file: {error}") from error
    if data_file(output).resolve() in {(model.parent / name).resolve() for name in weight_files(loaded)}:
        raise UsageError(f"the model reads its weights from {data_file(output)}: choose another output than {output}")
    return loaded


def load_model(model: Path, *, shapes: bool = True) -> ir.Model:
    """With types and shapes as far as ONNX infers them; a model that it cannot infer keeps those it has."""
    loaded = ir.load(model)
    for imports in (loaded.graph.opset_imports, *(one.opset_imports for one in loaded.functions.values())):
        # Another name of ONNX's own domain, which onnx_ir knows of nodes only.
        version = imports.pop(_ALIAS, None)
        if version is not None:
            imports.setdefault("", version)
    if shapes:
        ShapeInferencePass()(loaded)
    return loaded


def save_model(model: ir.Model, file: Path) -> None:
    """Weights go beside the file where they did before, or where they are too many for it."""
    tensors = [value.const_value for graph in model.graphs() for value in graph.initializers.values()]
    if weight_files(model) or sum(tensor.nbytes for tensor in tensors if tensor is not None) > _LARGEST_FILE:
        ir.save(model, file, external_data=data_file(file).name)
    else:
        ir.save(model, file)


def data_file(file: Path) -> Path:
    """Where the weights go that do not fit into an ONNX file."""
    return file.with_name(f"{file.name}.data")


def weight_files(model: ir.Model) -> set[str]:
    """The files that a model reads its weights from, as it names them."""
    tensors = [value.const_value for graph in model.graphs() for value in graph.initializers.values()]
    return {str(tensor.location) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}


def count_nodes(model: ir.Model) -> int:
    """Of the graph and its subgraphs."""
    return sum(len(graph) for graph in model.graphs())
