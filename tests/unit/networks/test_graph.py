"""The graph builder: names, sharing, specifications."""

import numpy as np
import onnx_ir as ir

from inferry.core.specs import TensorSpec
from inferry.networks.graph import OPSET, Graph


def test_names_follow_the_scopes_and_stay_unique():
    graph = Graph("g")
    x = graph.input("x", "float32", ("batch", 3))
    with graph.scope("encoder"), graph.scope("layers.0"):
        assert graph.path == "encoder.layers.0"
        first, second = graph.op("Relu", x), graph.op("Relu", x)
        named = graph.op("Relu", x, name="activation")
    assert [value.name for value in (first, second, named)] == [
        "encoder.layers.0/Relu",
        "encoder.layers.0/Relu_1",
        "encoder.layers.0/activation",
    ]
    assert graph.path == ""


def test_a_weight_is_shared_and_never_copied():
    graph = Graph("g")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    value = graph.weight("w", array.T)
    assert graph.weight("w", array.T) is value
    assert np.shares_memory(value.const_value.numpy(), array)


def test_equal_small_constants_are_one_but_shapes_and_types_keep_them_apart():
    graph = Graph("g")
    assert graph.constant(1.0) is graph.constant(1.0)
    values = [graph.constant(1), graph.constant(1, "int64"), graph.constant([1])]
    assert len({value.name for value in values}) == 3
    long = np.zeros(9)
    assert graph.constant(long) is not graph.constant(long)


def test_outputs_of_one_node_and_the_specifications():
    graph = Graph("g")
    x = graph.input("x", "float32", ("batch", 4))
    left, right = graph.op_outputs("Split", x, count=2, axis=1)
    graph.output(graph.op("Add", left, right), "sum", "float32", ("batch", 2), length="counts")
    graph.output(x, "same", "float32", ("batch", 4))
    network = graph.network()
    assert network.opset == OPSET
    assert network.inputs == (TensorSpec("x", "float32", ("batch", 4)),)
    assert network.outputs == (
        TensorSpec("sum", "float32", ("batch", 2), "counts"),
        TensorSpec("same", "float32", ("batch", 4)),
    )
    assert [node.op_type for node in network.model.graph] == ["Split", "Add", "Identity"]
    assert isinstance(network.model, ir.Model)
