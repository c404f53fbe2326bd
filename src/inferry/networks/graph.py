"""A thin builder over onnx_ir: the one way in which networks write their graphs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import onnx_ir as ir

from inferry.core.protocols import Network
from inferry.core.specs import Array, TensorSpec

OPSET = 17
"""The first with LayerNormalization, and old enough for every compiler that we target."""

_IR_VERSION = 8
"""The version that came with opset 17."""

Attribute = int | float | str | Sequence[int] | Sequence[float]


class Graph:
    """An ONNX graph in the making. Weights are referenced, not copied, until the model is written to a file.

    Node and value names follow the scopes: ``with graph.scope("encoder"), graph.scope("layers.0"):`` makes
    ``encoder.layers.0/MatMul``, then ``encoder.layers.0/MatMul_1``.

    Args:
        name: Of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._scopes: list[str] = []
        self._names: dict[str, int] = {}
        self._nodes: list[ir.Node] = []
        self._initializers: dict[str, ir.Value] = {}
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._input_specs: list[TensorSpec] = []
        self._output_specs: list[TensorSpec] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Everything made inside is named below `name`, which is the name of a module in the original network."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    @property
    def path(self) -> str:
        """The current scope: the full name of the original module that is being written."""
        return ".".join(self._scopes)

    def input(self, name: str, dtype: str, dims: Sequence[int | str]) -> ir.Value:
        """A graph input; `dtype` is a numpy dtype name, a string among `dims` a symbolic size, the batch first."""
        value = ir.Value(name=self._unique(name), type=_tensor_type(dtype), shape=ir.Shape(dims))
        self._inputs.append(value)
        self._input_specs.append(TensorSpec(name, dtype, tuple(dims)))
        return value

    def output(
        self, value: ir.Value, name: str, dtype: str, dims: Sequence[int | str], length: str | None = None
    ) -> None:
        """Declare a value as a graph output under a name of its own; `length` as in `TensorSpec`."""
        result = self.op("Identity", value) if value in self._inputs + self._outputs else value
        result.name = self._unique(name)
        result.type = _tensor_type(dtype)
        result.shape = ir.Shape(dims)
        self._outputs.append(result)
        self._output_specs.append(TensorSpec(name, dtype, tuple(dims), length))

    def weight(self, name: str, array: Array) -> ir.Value:
        """An initializer under the original tensor's name; the same name twice gives the same value.

        A transposed view stays a view: it becomes contiguous only while the file is written.
        """
        if name not in self._initializers:
            tensor = ir.Tensor(array, name=name)
            self._initializers[name] = ir.Value(
                name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
            )
        return self._initializers[name]

    def constant(self, array: Array | float | Sequence[int], dtype: str = "float32") -> ir.Value:
        """A small constant; equal constants share one initializer."""
        data = np.asarray(array, dtype=dtype)
        return self.weight(f"constant/{dtype}/{data.tolist()}" if data.size <= 8 else self._unique("constant"), data)

    def op(self, op_type: str, *inputs: ir.Value | None, name: str | None = None, **attributes: Attribute) -> ir.Value:
        """The single output of a new node.

        Args:
            op_type: An operator of the default domain.
            inputs: In the operator's order, None for an optional one that is left out.
            name: Of the node below the current scope; the operator's by default.
            attributes: Of the operator.
        """
        return self.op_outputs(op_type, *inputs, count=1, name=name, **attributes)[0]

    def op_outputs(
        self, op_type: str, *inputs: ir.Value | None, count: int, name: str | None = None, **attributes: Attribute
    ) -> tuple[ir.Value, ...]:
        """All outputs of a new node that has `count` of them; arguments as for `op`."""
        full = self._unique("/".join(part for part in (self.path, name or op_type) if part))
        names = [full] if count == 1 else [f"{full}:{index}" for index in range(count)]
        outputs = [ir.Value(name=output) for output in names]
        node = ir.node(op_type, list(inputs), attributes=_plain(attributes), outputs=outputs, name=full)
        self._nodes.append(node)
        return tuple(outputs)

    def network(self) -> Network:
        """The finished model with the specifications of its inputs and outputs."""
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._nodes,
            initializers=list(self._initializers.values()),
            opset_imports={"": OPSET},
            name=self._name,
        )
        model = ir.Model(graph, ir_version=_IR_VERSION, producer_name="inferry")
        return Network(model, tuple(self._input_specs), tuple(self._output_specs), OPSET)

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return self._unique(f"{name}_{count}") if count else name


def _tensor_type(dtype: str) -> ir.TensorType:
    return ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))


def _plain(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {key: value if isinstance(value, int | float | str) else list(value) for key, value in attributes.items()}
