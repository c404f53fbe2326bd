from importlib import import_module

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.errors import UsageError
from inferry.passes.emulate_half import LARGEST, emulate_half, rounded

TWO = """<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (float[n] y)
<float[1] w = {0.1}> {
    [first] a = Mul (x, w)
    [second] y = Add (a, w)
}"""
BRANCH = """<ir_version: 8, opset_import: ["": 17]> g (float[n] x, bool c) => (float[n] y, float[n] z) {
    [double] z = Add (x, x)
    [choose] y = If (c) <
        then_branch = t () => (float[n] p) { [inner] p = Mul (x, x) },
        else_branch = e () => (float[n] q) { [other] q = Sub (x, z) }
    >
}"""
SUM = """<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (float y)
{ [square] a = Mul (x, x) [sum] y = ReduceSum <keepdims = 0> (a) }"""


def model_of(text):
    model = ir.from_proto(parser.parse_model(text))
    ShapeInferencePass()(model)
    return model


def run(model, **inputs):
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def half(array):
    with np.errstate(over="ignore"):
        return np.asarray(array, np.float32).astype(np.float16).astype(np.float32)


X = np.array([0.3, -7.77, 1000.1, 3e-8], np.float32)


def test_every_tensor_and_weight_is_rounded():
    model = emulate_half(model_of(TWO))
    weight = half(0.1)
    np.testing.assert_array_equal(run(model, x=X)[0], half(half(half(X) * weight) + weight))
    assert [value.name for value in model.graph.outputs] == ["y"]
    assert {node.name for node in model.graph} >= {"first", "second"}


def test_kept_nodes_see_float32_and_their_own_weights():
    first = run(emulate_half(model_of(TWO), ["first"]), x=X)[0]
    np.testing.assert_array_equal(first, half(half(X * np.float32(0.1)) + half(0.1)))
    second = run(emulate_half(model_of(TWO), ["second"]), x=X)[0]
    np.testing.assert_array_equal(second, half(half(X) * half(0.1)) + np.float32(0.1))


def test_keeping_all_changes_nothing():
    model, original = model_of(TWO), model_of(TWO)
    np.testing.assert_array_equal(run(emulate_half(model, ["first", "second"]), x=X)[0], run(original, x=X)[0])
    assert len(list(model.graph)) == 2


def test_overflow_is_infinite():
    x = np.array([200.0, 300.0], np.float32)
    assert run(emulate_half(model_of(SUM)), x=x)[0] == np.inf
    # The square is rounded no more, its sum still is.
    assert run(emulate_half(model_of(SUM), ["square"]), x=x)[0] == np.inf
    assert run(emulate_half(model_of(SUM), ["square", "sum"]), x=x)[0] == 130_000
    assert run(emulate_half(model_of(SUM)), x=np.array([200.0], np.float32))[0] == 40_000


def test_weights_beyond_the_range_are_infinite():
    model = emulate_half(model_of(TWO.replace("0.1", "1e30")))
    assert np.isposinf(run(model, x=np.ones(1, np.float32))[0]).all()


@pytest.mark.parametrize("choice", [True, False])
def test_graphs_inside_are_rounded_too(choice):
    found = run(emulate_half(model_of(BRANCH)), x=X, c=np.array(choice))
    x, doubled = half(X), half(half(X) + half(X))
    np.testing.assert_array_equal(found[1], doubled)
    np.testing.assert_array_equal(found[0], half(x * x) if choice else half(x - doubled))


@pytest.mark.parametrize("choice", [True, False])
def test_what_only_the_graphs_inside_read_is_rounded_in_each_of_them(choice):
    text = BRANCH.replace("[double] z = Add (x, x)", "").replace("Sub (x, z)", "Neg (x)")
    text = text.replace("(float[n] y, float[n] z)", "(float[n] y)")
    found = run(emulate_half(model_of(text)), x=X, c=np.array(choice))
    np.testing.assert_array_equal(found[0], half(half(X) * half(X)) if choice else -half(X))


def test_a_kept_node_keeps_the_graphs_in_it():
    found = run(emulate_half(model_of(BRANCH), ["choose"]), x=X, c=np.array(True))
    np.testing.assert_array_equal(found[0], X * X)
    np.testing.assert_array_equal(found[1], half(half(X) + half(X)))
    inner = run(emulate_half(model_of(BRANCH), ["inner"]), x=X, c=np.array(True))
    np.testing.assert_array_equal(inner[0], half(X * X))


def test_sizes_and_whole_numbers_stay():
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[1, 1, 2, 3] x) => (float[1, 1, 10, 15] y, int64[4] s)
    <float[4] scales = {1.0, 1.0, 5.0001, 5.0001}> {
        y = Resize <mode = "nearest"> (x, , scales)
        s = Shape (y)
    }"""
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    model = emulate_half(model_of(text))
    np.testing.assert_array_equal(run(model, x=x)[1], [1, 1, 10, 15])
    np.testing.assert_array_equal(model.graph.initializers["scales"].const_value.numpy()[2:], np.float32(5.0001))


def test_what_only_moves_numbers_is_not_rounded_again():
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[2, 3] x) => (float[3, 2] y) {
        a = Relu (x)
        b = Transpose <perm = [1, 0]> (a)
        y = Identity (b)
    }"""
    model = emulate_half(model_of(text))
    assert sum(node.op_type == "Cast" for node in model.graph) == 4


def test_names_that_are_taken_are_no_trouble():
    text = TWO.replace("a = Mul", "x_half_1 = Mul").replace("Add (a,", "Add (x_half_1,")
    np.testing.assert_array_equal(run(emulate_half(model_of(text)), x=X)[0], run(emulate_half(model_of(TWO)), x=X)[0])


def test_an_input_that_is_an_output():
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (float[n] y, float[n] z) {\n'
    text += "y = Relu (x)\n z = Neg (y) }"
    found = run(emulate_half(model_of(text)), x=X)
    np.testing.assert_array_equal(found[0], np.maximum(half(X), 0))
    np.testing.assert_array_equal(found[1], -np.maximum(half(X), 0))


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="no node thrid"):
        emulate_half(model_of(TWO), ["first", "thrid"])


def test_unknown_types_are_refused():
    model = ir.from_proto(parser.parse_model(TWO))
    with pytest.raises(UsageError, match="type of the tensor a is not known"):
        emulate_half(model)


@settings(max_examples=50)
@given(arrays(np.float32, array_shapes(max_dims=1), elements=st.floats(width=32, allow_nan=False)))
def test_rounding_is_that_of_the_runtime(x):
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (float[n] y) { y = Identity (x) }'
    np.testing.assert_array_equal(run(emulate_half(model_of(text)), x=x)[0], rounded(x))
    np.testing.assert_array_equal(np.isinf(rounded(x)), np.abs(x) >= LARGEST)


def test_families_whose_weights_stay_external(tiny_bundle, tmp_path):
    ir.save(ir.load(tiny_bundle.model), tmp_path / "large.onnx", external_data="large.data")
    model = ir.load(tmp_path / "large.onnx")
    ShapeInferencePass()(model)
    emulate_half(model)
    weights = [value for value in model.graph.initializers.values() if value.dtype == ir.DataType.FLOAT]
    assert len(weights) > 20
    assert all(np.array_equal(value.const_value.numpy(), half(value.const_value.numpy())) for value in weights)


@pytest.mark.parametrize("keep", [0, 3, 1])
def test_the_simulated_compiler_rounds_the_same(tiny_bundles, keep):
    """Two implementations that share no line, bit by bit; every third node, all nodes or none in float32."""
    path = tiny_bundles["deepspeech2"].model
    names = {node.name for node in ir.load(path).graph}
    kept = set(sorted(names)[::keep]) if keep else set()
    other = import_module("half").round_to_half(onnx.load(path), lambda node: node.name not in kept)
    model = ir.load(path)
    ShapeInferencePass()(model)
    inputs = {
        "spectrogram": np.random.default_rng(0).standard_normal((2, 1, 161, 90), np.float32),
        "input_lengths": np.array([90, 61], np.int64),
    }
    for found, expected in zip(
        run(emulate_half(model, kept), **inputs), run(ir.from_proto(other), **inputs), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
