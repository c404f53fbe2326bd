"""torch's modules as ONNX nodes, in the forms that the runtimes fuse, under their original names."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx_ir as ir

from inferry.core.errors import CheckpointError
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array
from inferry.networks.graph import Graph


class Modules:
    """Writes modules into a graph and keeps account of the checkpoint's tensors.

    A module's scope is its full original name, so the tensors of the checkpoint and the nodes of the graph share names.
    Missing and wrongly shaped tensors are collected; `finish` reports them all.

    Args:
        graph: Where the nodes go.
        checkpoint: Where the weights come from.
    """

    def __init__(self, graph: Graph, checkpoint: Checkpoint) -> None:
        self.graph = graph
        self._checkpoint = checkpoint
        self._used: set[str] = set()
        self._problems: list[str] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """The child module `name` of the current one."""
        with self.graph.scope(name):
            yield

    def tensor(self, name: str, shape: Sequence[int]) -> Array:
        """The current module's tensor `name`, zeros of `shape` if there is none like it (`finish` then raises)."""
        full = f"{self.graph.path}.{name}".lstrip(".")  # a network's own parameters have no module before them
        self._used.add(full)
        array = self._checkpoint.tensors.get(full)
        if array is not None and array.shape == tuple(shape):
            return array
        found = "is missing" if array is None else f"has shape {list(array.shape)}"
        self._problems.append(f"{full} {found}; the configuration asks for {list(shape)}")
        return np.zeros(tuple(shape), np.float32)

    def weight(self, name: str, shape: Sequence[int]) -> ir.Value:
        """The current module's tensor `name` as an initializer."""
        return self.graph.weight(f"{self.graph.path}.{name}", self.tensor(name, shape))

    def finish(self) -> None:
        """Check that every tensor of the checkpoint has found its place.

        Raises:
            CheckpointError: Tensors are missing, have another shape, or were not used: the configuration describes
                another network than the weights.
        """
        unused = sorted(set(self._checkpoint.tensors) - self._used)
        problems = self._problems + [
            f"{name} has no place in the network that the configuration describes" for name in unused
        ]
        if problems:
            fix = "check that the configuration and the weights come from the same checkpoint."
            raise CheckpointError(self._checkpoint.path, problems, fix)

    def linear(self, name: str, x: ir.Value, size: int, size_out: int) -> ir.Value:
        """``torch.nn.Linear``: (..., size) to (..., size_out). The weight is stored transposed, as MatMul reads it."""
        with self.scope(name):
            weight = self.graph.weight(f"{self.graph.path}.weight.T", self.tensor("weight", (size_out, size)).T)
            product = self.graph.op("MatMul", x, weight)
            return self.graph.op("Add", product, self.weight("bias", (size_out,)))

    def layer_norm(self, name: str, x: ir.Value, size: int, epsilon: float = 1e-5) -> ir.Value:
        """``torch.nn.LayerNorm`` over the last axis of `size`."""
        with self.scope(name):
            scale, bias = self.weight("weight", (size,)), self.weight("bias", (size,))
            return self.graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)

    def conv1d(
        self,
        name: str,
        x: ir.Value,
        shape: tuple[int, int, int],
        *,
        stride: int = 1,
        pads: tuple[int, int] = (0, 0),
        groups: int = 1,
        bias: bool = True,
    ) -> ir.Value:
        """``torch.nn.Conv1d``: (batch, channels, time); `shape` is (channels out, channels in / groups, kernel)."""
        with self.scope(name):
            inputs = [x, self.weight("weight", shape)] + ([self.weight("bias", shape[:1])] if bias else [])
            return self.graph.op("Conv", *inputs, kernel_shape=shape[2:], strides=[stride], pads=pads, group=groups)

    def gelu(self, x: ir.Value) -> ir.Value:
        """``torch.nn.GELU``, the exact form (Hendrycks and Gimpel, arXiv:1606.08415).

        The division is deliberate: ONNX Runtime recognises this form as one Gelu, but not the product with 1/sqrt(2).
        """
        graph = self.graph
        erf = graph.op("Erf", graph.op("Div", x, graph.constant(math.sqrt(2.0))))
        return graph.op("Mul", graph.op("Mul", x, graph.op("Add", erf, graph.constant(1.0))), graph.constant(0.5))

    def transpose(self, x: ir.Value) -> ir.Value:
        """(batch, a, b) to (batch, b, a)."""
        return self.graph.op("Transpose", x, perm=[0, 2, 1])
