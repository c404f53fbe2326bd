import onnx_ir as ir
import pytest
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.row_wise import Port, links, picks


def node(body, inputs="float[b, 10, 8] x", weights="", opset=17):
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => (y) <{weights}> {{ {body} }}'
    model = ir.from_proto(parser.parse_model(text))
    ShapeInferencePass()(model)
    return model.graph[-1]


def in_step(found):
    return {(first.place, first.axis, second.axis) for first, second in found}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("0, 0, 2, 4", {(0, 1, 1)}),
        ("-1, 10, 4, 2", {(0, 1, 1)}),
        ("0, 80", set()),
        ("-1, 8", {(0, 2, 1)}),
        ("0, 8, 10", set()),
        ("0, 2, 5, 8", {(0, 2, 3)}),
        ("1, 0, 10, 8", {(0, 1, 2), (0, 2, 3)}),
    ],
)
def test_reshape(shape, expected):
    count = shape.count(",") + 1
    found = node("y = Reshape (x, s)", weights=f"int64[{count}] s = {{{shape}}}")
    found.inputs[0].shape = ir.Shape(["b", 10, 8])
    assert in_step(links(found, 17)) == expected


def test_unknown_sizes_are_equal_to_nothing():
    found = node("y = Reshape (x, s)", weights="int64[3] s = {-1, 10, 16}")
    found.inputs[0].shape, found.outputs[0].shape = ir.Shape([None, 10, 8]), ir.Shape([None, 10, 16])
    assert links(found, 17) == []
    found.outputs[0].shape = None
    assert links(found, 17) == []


def test_operators_that_are_not_known_link_nothing():
    assert links(node("y = CumSum (x, i)", weights="int64 i = {1}"), 17) == []
    assert picks(node("y = CumSum (x, i)", weights="int64 i = {1}")) == []


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("{0, 1}, int64[2] e = {10, 8}, int64[2] a = {1, -1}, int64[2] n = {1, 2}", [1, 2]),
        ("{0, 1}, int64[2] e = {11, 8}, int64[2] a = {1, 2}, int64[2] n = {1, 1}", [2]),
        ("{-1, 1}, int64[2] e = {10, 8}, int64[2] a = {1, 2}, int64[2] n = {1, 1}", [2]),
        ("{9, 1}, int64[2] e = {0, 8}, int64[2] a = {1, 2}, int64[2] n = {-1, 1}", [2]),
    ],
)
def test_what_a_slice_takes_from_the_start(limits, expected):
    found = node("y = Slice (x, s, e, a, n)", weights=f"int64[2] s = {limits}")
    assert picks(found) == [Port(0, axis) for axis in expected]
