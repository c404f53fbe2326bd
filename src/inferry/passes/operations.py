"""Counts the multiply-adds of a graph for given inputs, from the shapes that its own execution gives."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import onnx_ir as ir

from inferry.core.specs import Array

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one operator is counted.

    Attributes:
        operands: Which of the node's inputs decide; -1 is its first output.
        count: Their shapes and the node to multiply-adds.
    """

    operands: tuple[int, ...]
    count: Callable[[Sequence[Dims], ir.Node], int]


@dataclass(frozen=True, slots=True)
class _Counted:
    """A node of the graph and where the shapes of its operands come from: a name among the outputs, or known."""

    node: ir.Node
    kind: _Kind
    shapes: tuple[str | Dims, ...]


@dataclass(frozen=True)
class OperationProbe:
    """A graph that computes shapes only, and how they become a number of operations.

    Attributes:
        model: Same inputs as the original; each output is the shape of one tensor, int64 (rank). Without outputs
            (`names` is empty) there is nothing to run.
        names: Of its outputs.
        unknown: Operators that are not counted although they may multiply matrices: those of other domains than ONNX's
            own, those that hold graphs, and those of `_HIDING`. Element-wise operators and sums are never counted.
    """

    model: ir.Model
    names: tuple[str, ...]
    unknown: tuple[str, ...]
    _counted: tuple[_Counted, ...]

    def count(self, shapes: Mapping[str, Array]) -> dict[str, int]:
        """Operations by operator, two for each multiply-add.

        Args:
            shapes: Outputs of `model` for the inputs in question.
        """
        operations: dict[str, int] = {}
        for one in self._counted:
            dims = [_dims(shapes[shape]) if isinstance(shape, str) else shape for shape in one.shapes]
            name = one.node.op_type
            operations[name] = operations.get(name, 0) + 2 * one.kind.count(dims, one.node)
        return operations


def operation_probe(model: ir.Model) -> OperationProbe:
    """The probe of a model. `model` itself is rewritten: its outputs become shapes, its weights stay.

    Recurrent layers count every time step of the tensor, rows that end earlier included.
    """
    graph = model.graph
    outputs: dict[str, ir.Value] = {}
    counted, unknown = [], set()
    for node in list(graph):
        kind = _KINDS.get(node.op_type) if node.domain in _ONNX else None
        values = [] if kind is None else [node.outputs[0] if i < 0 else node.inputs[i] for i in kind.operands]
        if kind is not None and all(value is not None for value in values) and _readable(node):
            shapes = tuple(_shape_of(value, outputs) for value in values if value is not None)
            counted.append(_Counted(node, kind, shapes))
        elif kind is not None or _may_multiply(node):
            unknown.add(node.op_type if node.domain in _ONNX else f"{node.domain}.{node.op_type}")
    for value in outputs.values():
        producer = value.producer()
        assert producer is not None, "a shape is a node's output"
        graph.append(producer)
    graph.outputs.clear()
    graph.outputs.extend(outputs.values())
    names = tuple(str(value.name) for value in outputs.values())
    return OperationProbe(model, names, tuple(sorted(unknown)), tuple(counted))


def _shape_of(value: ir.Value, outputs: dict[str, ir.Value]) -> str | Dims:
    """The shape of a weight at once, otherwise the name of the output that will hold it."""
    if value.const_value is not None:
        return tuple(value.const_value.shape.numpy())
    name = f"shape of {value.name}"
    if name not in outputs:
        made = ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64))
        ir.node("Shape", [value], outputs=[made], name=name)
        outputs[name] = made
    return name


def _may_multiply(node: ir.Node) -> bool:
    holds_graph = any(
        attribute.type in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS} for attribute in node.attributes.values()
    )
    return node.domain not in _ONNX or holds_graph or node.op_type in _HIDING


def _readable(node: ir.Node) -> bool:
    """Whether this form of the operator is one that the counting function understands."""
    return node.op_type != "Einsum" or (len(node.inputs) == 2 and "." not in _equation(node))


def _equation(node: ir.Node) -> str:
    return node.attributes["equation"].as_string().replace(" ", "")


def _dims(shape: Array) -> Dims:
    return tuple(int(dim) for dim in shape)


def _matmul(shapes: Sequence[Dims], _: ir.Node) -> int:
    """(..., m, k) times (..., k, n), the rest broadcast; a vector is a matrix with one row or column."""
    a, b = shapes
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a[:-2], (1,) * (rank - len(b)) + b[:-2], strict=True)
    return math.prod(y if x == 1 else x for x, y in pairs) * a[-2] * a[-1] * b[-1]


def _gemm(shapes: Sequence[Dims], node: ir.Node) -> int:
    a, b = shapes
    transposed = node.attributes.get_int("transB", 0)
    return math.prod(a) * b[0 if transposed else 1]


def _convolution(shapes: Sequence[Dims], _: ir.Node) -> int:
    """Each output value takes one product for each weight of its filter; filters are (channels / group, kernel)."""
    weight, output = shapes
    return math.prod(output) * math.prod(weight[1:])


def _transposed_convolution(shapes: Sequence[Dims], _: ir.Node) -> int:
    """Each input value is multiplied by each weight of its channel, (outputs / group, kernel)."""
    data, weight = shapes
    return math.prod(data) * math.prod(weight[1:])


def _recurrent(shapes: Sequence[Dims], _: ir.Node) -> int:
    """Each of time x batch steps multiplies W and R of all directions once, in either layout."""
    data, weight, recurrent = shapes
    return data[0] * data[1] * (math.prod(weight) + math.prod(recurrent))


def _einsum(shapes: Sequence[Dims], node: ir.Node) -> int:
    """One product for each combination of all letters' values."""
    terms = _equation(node).split("->")[0].split(",")
    sizes = {
        letter: size for term, dims in zip(terms, shapes, strict=True) for letter, size in zip(term, dims, strict=True)
    }
    return math.prod(sizes.values())


_ONNX: Final = frozenset({"", "ai.onnx"})

_RECURRENT: Final = _Kind((0, 1, 2), _recurrent)

_KINDS: Final[Mapping[str, _Kind]] = {
    "MatMul": _Kind((0, 1), _matmul),
    "MatMulInteger": _Kind((0, 1), _matmul),
    "QLinearMatMul": _Kind((0, 3), _matmul),
    "Gemm": _Kind((0, 1), _gemm),
    "Conv": _Kind((1, -1), _convolution),
    "ConvInteger": _Kind((1, -1), _convolution),
    "QLinearConv": _Kind((3, -1), _convolution),
    "ConvTranspose": _Kind((0, 1), _transposed_convolution),
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
    "Einsum": _Kind((0, 1), _einsum),
}

_HIDING: Final = frozenset({"Attention", "DeformConv", "DFT", "STFT"})
"""Operators of ONNX's own domain with products inside that no function here counts."""
