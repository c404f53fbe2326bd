import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from inferry.passes.operations import operation_probe


def graph_of(nodes, inputs, weights=(), *, domain=None):
    """A checked ONNX model with float inputs of the given symbolic shapes."""
    opsets = [helper.make_opsetid("", 17)] + ([] if domain is None else [helper.make_opsetid(domain, 1)])
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y",)],
        [
            helper.make_tensor(name, TensorProto.FLOAT, dims, np.ones(dims).ravel())
            for name, dims in dict(weights).items()
        ],
    )
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def counted(model, **arrays):
    probe = operation_probe(ir.from_proto(model))
    if not probe.names:
        return probe.count({}), probe
    session = ort.InferenceSession(ir.to_proto(probe.model).SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert tuple(names) == probe.names
    values = session.run(names, {name: np.zeros(shape, np.float32) for name, shape in arrays.items()})
    return probe.count(dict(zip(names, values, strict=True))), probe


@pytest.mark.parametrize(
    ("a", "b", "products"),
    [
        ((3, 4), (4, 5), 3 * 4 * 5),
        ((2, 6, 3, 4), (2, 6, 4, 5), 12 * 3 * 4 * 5),
        ((2, 1, 3, 4), (6, 4, 5), 12 * 3 * 4 * 5),
        ((7, 3, 4), (4, 5), 7 * 3 * 4 * 5),
        ((4,), (2, 4, 5), 2 * 4 * 5),
        ((2, 3, 4), (4,), 2 * 3 * 4),
    ],
)
def test_matmul_with_broadcast_batches_and_vectors(a, b, products):
    inputs = {"a": [f"a{i}" for i in range(len(a))], "b": [f"b{i}" for i in range(len(b))]}
    model = graph_of([helper.make_node("MatMul", ["a", "b"], ["y"])], inputs)
    assert counted(model, a=a, b=b)[0] == {"MatMul": 2 * products}


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_gemm_either_way_round(trans_a, trans_b):
    a, b = ((4, 3) if trans_a else (3, 4)), ((5, 4) if trans_b else (4, 5))
    node = helper.make_node("Gemm", ["a", "w"], ["y"], transA=trans_a, transB=trans_b)
    model = graph_of([node], {"a": ["m", "k"]}, {"w": b})
    assert counted(model, a=a)[0] == {"Gemm": 2 * 3 * 4 * 5}


def test_grouped_strided_convolution():
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=4, strides=[2], pads=[1, 1])
    model = graph_of([node], {"x": ["batch", 8, "time"]}, {"w": (12, 2, 3)})
    # 11 samples, padded to 13, kernel 3, stride 2: 6 frames of 12 channels, each 2 x 3 products.
    assert counted(model, x=(5, 8, 11))[0] == {"Conv": 2 * 5 * 12 * 6 * 2 * 3}


def test_transposed_convolution():
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=2, strides=[2])
    model = graph_of([node], {"x": ["batch", 4, "time"]}, {"w": (4, 3, 5)})
    assert counted(model, x=(2, 4, 7))[0] == {"ConvTranspose": 2 * 2 * 4 * 7 * 3 * 5}


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_count_both_directions(operator, gates):
    node = helper.make_node(operator, ["x", "w", "r"], ["y"], hidden_size=6, direction="bidirectional")
    model = graph_of([node], {"x": ["time", "batch", 5]}, {"w": (2, gates * 6, 5), "r": (2, gates * 6, 6)})
    products = 7 * 3 * 2 * gates * 6 * (5 + 6)
    assert counted(model, x=(7, 3, 5))[0] == {operator: 2 * products}


def test_the_layout_of_a_recurrent_layer_makes_no_difference():
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=6, layout=1)
    model = graph_of([node], {"x": ["batch", "time", 5]}, {"w": (1, 24, 5), "r": (1, 24, 6)})
    operations = operation_probe(ir.from_proto(model)).count({"shape of x": np.array([3, 7, 5])})
    assert operations == {"LSTM": 2 * 7 * 3 * 24 * 11}


def test_einsum_of_two_operands():
    model = graph_of(
        [helper.make_node("Einsum", ["a", "b"], ["y"], equation="bhqd, bhkd -> bhqk")],
        {"a": ["b", "h", "q", "d"], "b": ["b", "h", "k", "d"]},
    )
    assert counted(model, a=(2, 3, 4, 5), b=(2, 3, 6, 5))[0] == {"Einsum": 2 * 2 * 3 * 4 * 6 * 5}


def test_shapes_behind_a_dynamic_reshape_are_exact():
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["size"]),
        helper.make_node("Reshape", ["x", "size"], ["flat"]),
        helper.make_node("MatMul", ["flat", "flat"], ["y"]),
    ]
    assert counted(graph_of(nodes, {"x": ["a", "b"]}), x=(3, 7))[0] == {"MatMul": 2 * 21}


def test_what_is_not_counted_is_named():
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Gelu", ["r"], ["g"], domain="com.microsoft"),
        helper.make_node("Einsum", ["g", "g"], ["y"], equation="...i,...i->..."),
    ]
    model = graph_of(nodes, {"x": ["a", "b"]}, domain="com.microsoft")
    operations, probe = counted(model, x=(3, 7))
    assert operations == {}
    assert probe.unknown == ("Einsum", "com.microsoft.Gelu")


def test_a_node_that_holds_graphs_is_not_counted():
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "x"], ["z"])], "branch", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    condition = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.BOOL, [], [True]))
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model = graph_of([condition, node], {"x": ["a", "a"]})
    assert operation_probe(ir.from_proto(model)).unknown == ("If",)
