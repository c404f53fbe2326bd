"""What compiling for half precision does to numbers: Casts to float16 and back around a graph's operators."""

import itertools
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NUMBERS = itertools.count()
Rounds = Callable[[onnx.NodeProto], bool]


def round_to_half(model: onnx.ModelProto, rounds: Rounds) -> onnx.ModelProto:
    """A copy whose operators take and give floats of half precision where `rounds` says so; overflow becomes inf."""
    copied = onnx.shape_inference.infer_shapes(model)
    _Rounder(copied.graph, {}, {}, rounds).run()
    del copied.graph.value_info[:]
    return copied


class _Rounder:
    """One graph. `types` and `rounded` know the names of the graphs around it."""

    def __init__(self, graph: onnx.GraphProto, types: dict[str, int], rounded: dict[str, str], rounds: Rounds) -> None:
        known = [*graph.input, *graph.value_info, *graph.output]
        self.graph, self.rounds, self.rounded = graph, rounds, dict(rounded)
        self.types = types | {one.name: one.type.tensor_type.elem_type for one in known}
        self.types |= {one.name: one.data_type for one in graph.initializer}
        self.constants = {one.name: one for one in graph.initializer}
        self.nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        for node in self.graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    _Rounder(attribute.g, self.types, self.rounded, self.rounds).run()
            if self.rounds(node):
                node.input[:] = [self._rounded(name) for name in node.input]
            self.nodes.append(node)
            if self.rounds(node):
                self._round_outputs(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)

    def _is_float(self, name: str) -> bool:
        if name and name not in self.types:
            raise ValueError(f"the type of {name} is not known: it cannot be rounded")
        return self.types.get(name) == TensorProto.FLOAT

    def _rounded(self, name: str) -> str:
        if not self._is_float(name) or name in self.rounded:
            return self.rounded.get(name, name)
        # A name is free once in all graphs, those within others included.
        self.rounded[name] = f"{name}__rounded_{next(NUMBERS)}"
        if name in self.constants:
            value = numpy_helper.to_array(self.constants[name])
            with np.errstate(over="ignore"):
                half = value.astype(np.float16).astype(np.float32)
            self.graph.initializer.append(numpy_helper.from_array(half, self.rounded[name]))
        else:
            self._cast(name, self.rounded[name])
        return self.rounded[name]

    def _round_outputs(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.output):
            if self._is_float(name):
                node.output[index] = f"{name}__exact"
                self._cast(node.output[index], name)
                self.rounded[name] = name

    def _cast(self, source: str, target: str) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [f"{target}__half"], to=TensorProto.FLOAT16))
        self.nodes.append(helper.make_node("Cast", [f"{target}__half"], [target], to=TensorProto.FLOAT))
