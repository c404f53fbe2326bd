import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.fix_shapes import FixShapes, dynamic_sizes
from inferry.passes.registry import PASSES
from inferry.pipeline.optimising.cases import made_up_cases


def parsed(body, inputs, outputs="y", weights=""):
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => ({outputs}) <{weights}> {{ {body} }}'
    model = ir.from_proto(parser.parse_model(text))
    ShapeInferencePass()(model)
    return model


def shapes(model):
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    return {value.name: str(value.shape) for value in values}


def test_sizes_reach_every_value():
    model = parsed("a = Transpose (x) b = MatMul (x, a) y = Relu (b)", "float[rows, columns] x", "float[m, n] y")
    outcome = FixShapes({"rows": 3, "columns": 5}).apply(model)
    assert (outcome.matches, outcome.declined) == (2, ())
    assert shapes(outcome.model) == {"x": "[3,5]", "a": "[5,3]", "b": "[3,3]", "y": "[3,3]"}
    assert shapes(model)["x"] == "[rows,columns]"


def test_what_is_not_named_stays_dynamic():
    outcome = FixShapes({"b": 2}).apply(parsed("y = Add (x, z)", "float[b, t] x, float[b, t] z", "float[b, t] y"))
    assert outcome.matches == 2
    assert shapes(outcome.model) == {"x": "[2,t]", "z": "[2,t]", "y": "[2,t]"}


def test_a_dimension_without_a_name():
    model = parsed("y = Relu (x)", "float[?, 4] x")
    model.graph.inputs[0].shape = ir.Shape([None, 4])
    assert dynamic_sizes(model) == ("x[0]",)
    assert shapes(FixShapes({"x[0]": 7}).apply(model).model)["y"] == "[7,4]"


def test_without_sizes():
    model = parsed("y = Relu (x)", "float[b, 4] x")
    (declined,) = PASSES["fix-shapes"].apply(model).declined
    assert declined.reason == "no sizes were given (--sizes batch=1,samples=16000)"
    assert PASSES["fix-shapes"].apply(parsed("y = Relu (x)", "float[3, 4] x")).declined == ()


@pytest.mark.parametrize(
    ("sizes", "node", "reason"),
    [
        ({"batch": 1}, "batch", "is no dynamic dimension of an input; available: t, u"),
        ({"m": 1}, "m", "is no dynamic dimension of an input; available: t, u"),
        ({"t": 0}, "t", "cannot be 0: a size is at least 1"),
        ({"t": 3, "u": 4}, "the model", "has no consistent shapes with t=3, u=4"),
    ],
)
def test_sizes_that_cannot_be_meant(sizes, node, reason, caplog):
    model = parsed("a = Add (x, z) y = Relu (a)", "float[t] x, float[u] z", "float[m] y")
    outcome = FixShapes(sizes).apply(model)
    assert (outcome.matches, outcome.model) == (0, model)
    assert [(one.node, one.reason) for one in outcome.declined] == [(node, reason)]
    assert not caplog.records


def test_sizes_that_broadcast():
    model = parsed("a = Add (x, z) y = Relu (a)", "float[t] x, float[u] z", "float[m] y")
    assert shapes(FixShapes({"t": 3, "u": 1}).apply(model).model)["y"] == "[3]"


def test_a_model_that_is_not_inferred_at_all_keeps_what_it_says():
    text = """<ir_version: 8, opset_import: ["": 17, "own": 1]> g (float[b, 4] x) => (float[b, 4] y) {
        a = own.Relu (x) y = own.Relu (a) }"""
    model = ir.from_proto(parser.parse_model(text))
    assert shapes(FixShapes({"b": 2}).apply(model).model) == {"x": "[2,4]", "a": "None", "y": "[2,4]"}


FAMILIES = {
    "wav2vec2": {"batch": 2, "samples": 800},
    "data2vec-audio": {"batch": 2, "samples": 800},
    "deepspeech2": {"batch": 2, "time": 50},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_dynamic_is_left(family, tiny_bundles, tmp_path):
    file = tiny_bundles[family].model
    outcome = FixShapes(FAMILIES[family]).apply(ir.load(file))
    model = PASSES["fold-constants"].apply(outcome.model).model
    ShapeInferencePass()(model)
    assert all(value.shape.is_static() for node in model.graph for value in node.outputs)
    ir.save(model, tmp_path / "fixed.onnx")
    before, after = (ort.InferenceSession(str(one)) for one in (file, tmp_path / "fixed.onnx"))
    feeds = dict(next(made_up_cases(outcome.model, 1)).inputs)
    for expected, found in zip(before.run(None, feeds), after.run(None, feeds), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_pictures_and_questions(picture_bundle, question_bundle):
    for bundle, sizes in ((picture_bundle, {"batch": 4}), (question_bundle, {"batch": 2, "boxes": 5, "tokens": 7})):
        model = PASSES["fold-constants"].apply(FixShapes(sizes).apply(ir.load(bundle.model)).model).model
        ShapeInferencePass()(model)
        assert all(value.shape.is_static() for node in model.graph for value in node.outputs)
