import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.errors import UsageError
from inferry.passes.half_range import overflows, range_probe, touching

MASKED = """<ir_version: 8, opset_import: ["": 17]> g (float[n] x, bool[n] m) => (float[n] y)
<float[1] never = {-1e9}, float[1] zero = {0.0}> {
    [bias] b = Where (m, zero, never)
    [scores] s = Add (x, b)
    [weights] w = Softmax (s)
    [out] y = Mul (w, x)
}"""


def model_of(text):
    model = ir.from_proto(parser.parse_model(text))
    ShapeInferencePass()(model)
    return model


def measured(text, **inputs):
    probe = range_probe(model_of(text))
    session = ort.InferenceSession(ir.to_proto(probe.model).SerializeToString(), providers=["CPUExecutionProvider"])
    values = session.run(None, inputs)
    return {probe.tensors[one.name]: float(value) for one, value in zip(session.get_outputs(), values, strict=True)}


def test_the_greatest_finite_value_of_every_tensor():
    found = measured(MASKED, x=np.array([1.0, -3.0, 2.0], np.float32), m=np.array([True, True, False]))
    assert found["b"] == pytest.approx(1e9)
    assert found["s"] == pytest.approx(1e9)
    assert 0 < found["w"] <= 1
    assert found["y"] <= 3


def test_infinities_and_tensors_without_elements_count_nothing():
    found = measured(MASKED, x=np.array([1, -np.inf], np.float32), m=np.array([True, True]))
    assert found["b"] == 0
    assert found["s"] == 1
    assert measured(MASKED, x=np.zeros(0, np.float32), m=np.zeros(0, bool)) == dict.fromkeys("bswy", 0.0)


def test_weights_and_tensors_beyond_the_range_in_order():
    model = model_of(MASKED)
    greatest = measured(MASKED, x=np.ones(2, np.float32), m=np.array([True, False]))
    found = overflows(model, greatest)
    assert [(one.node, one.tensor, one.weight) for one in found] == [
        ("bias", "never", True),
        ("bias", "b", False),
        ("scores", "s", False),
    ]
    assert found[0].to_json()["greatest"] == pytest.approx(1e9)
    assert touching(model, frozenset(one.tensor for one in found)) == ("bias", "scores", "weights")


def test_the_end_of_the_range_is_where_rounding_makes_infinity():
    model = model_of(MASKED.replace("-1e9", "-65519.0"))
    assert overflows(model, {"b": 65519.0}) == ()
    assert [one.tensor for one in overflows(model, {"b": 65520.0})] == ["b"]


def test_what_a_graph_inside_reads_counts_for_its_node():
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[n] x, bool c) => (float[n] y) <float[1] far = {1e6}> {
        [large] a = Mul (x, x)
        [choose] y = If (c) <
            then_branch = t () => (float[n] p) { p = Mul (x, far) },
            else_branch = e () => (float[n] q) { q = Identity (x) }
        >
    }"""
    model = model_of(text)
    found = overflows(model, {"a": 1.0, "y": 1.0})
    assert [(one.node, one.tensor) for one in found] == [("choose", "far")]
    assert touching(model, frozenset({"far"})) == ("choose",)


def test_unknown_types_are_refused():
    with pytest.raises(UsageError, match="type of the tensor b is not known"):
        range_probe(ir.from_proto(parser.parse_model(MASKED)))
