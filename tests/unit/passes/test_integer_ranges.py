"""Ranges hold for every input that a graph takes, and are no wider than they need to be."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.integer_ranges import LARGEST_DIMENSION, IntegerRanges

TOP = LARGEST_DIMENSION


def proto_of(body, inputs="int8[n] a, int8[n] b", weights="", outputs="y", opset=17):
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) <{weights}> {{ {body} }}'
    return parser.parse_model(text)


def ranges_of(proto):
    """By the names of all values."""
    model = ir.from_proto(proto)
    ShapeInferencePass()(model)
    found = IntegerRanges(model)
    values = [*model.graph.inputs, *(value for node in model.graph.all_nodes() for value in node.outputs)]
    return {value.name: found[value] for value in values}


WIDE = "p = Cast <to = 7> (a) q = Cast <to = 7> (b) "
COMPUTED = {
    "y = Add (p, q)": (-256, 254),
    "y = Sub (p, q)": (-255, 255),
    "y = Mul (p, q)": (-128 * 127, 128 * 128),
    "y = Neg (p)": (-127, 128),
    "y = Abs (p)": (0, 128),
    "y = Min (p, q, three)": (-128, 3),
    "y = Max (p, q, three)": (3, 127),
    "y = Div (p, three)": (-42, 42),
    "s = Abs (q) t = Add (s, one) y = Div (p, t)": (-128, 127),
    "s = Abs (q) t = Sub (minus, s) y = Div (p, t)": (-128, 128),
    "y = Mod (p, three)": (0, 2),
    "y = Mod <fmod = 1> (p, three)": (-2, 2),
    "y = Mod (p, minus)": (-6, 6),
    "c = Less (p, q) y = Where (c, p, three)": (-128, 127),
    "y = Concat <axis = 0> (p, three, minus)": (-128, 127),
    "y = Pad (three, pads)": (0, 3),
    "y = Pad (three, pads, seven)": (3, 7),
    "f = Cast <to = 1> (p) c = Cast <to = 9> (f) y = Cast <to = 7> (c)": (0, 1),
    "y = ConstantOfShape <value = int64[1] {9}> (three)": (9, 9),
    "s = Abs (p) t = ReduceMax <keepdims = 0> (s) y = Range (one0, t, one0)": (0, 128),
    "s = ReduceMin <keepdims = 0> (p) y = Range (one0, s, minus0)": (-128, 127),
    "s = Abs (p) t = ReduceMax <keepdims = 0> (s) y = Range (minus0, t, one0)": (-3, 128),
    "y = ArgMax <keepdims = 0> (p)": (0, TOP),
    "y = NonZero (p)": (0, TOP),
    "v, y = TopK (p, one)": (0, TOP),
    "y, i = TopK (p, one)": (-128, 127),
    "y = Shape (p)": (0, TOP),
    "y = Size (p)": (0, 2**31 - 1),
    "y = Tile (p, three)": (-128, 127),
}
CONSTANTS = (
    "int64[1] one = {1}, int64[1] three = {3}, int64[1] minus = {-7}, int64[2] pads = {1, 1}, int64 seven = {7}, "
    "int64 one0 = {1}, int64 minus0 = {-3}"
)


@pytest.mark.parametrize("body", COMPUTED)
def test_what_is_computed_stays_in_its_range(body):
    proto = proto_of(WIDE + body, outputs="int64[k] y", weights=CONSTANTS)
    low, high = ranges_of(proto)["y"]
    assert (low, high) == COMPUTED[body]
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    edges = np.array([-128, 127, -1, 0, 1], np.int8)
    first, second = (grid.ravel() for grid in np.meshgrid(edges, edges))
    made = session.run(None, {"a": first, "b": second})[0]
    assert made.size == 0 or (low <= made.min() and made.max() <= high)


UNKNOWN = {
    "y = Cast <to = 7> (f)": "float[n] f",
    "y = Add (n, one)": "int64[n] n",
    "y = CumSum (n, one)": "int64[n] n",
    "y = Mul (n, zero)": "int64[n] n",
    "m = Mul (big, big) p = Cast <to = 7> (a) y = Mul (m, p)": "int8[n] a",
}


@pytest.mark.parametrize("body", UNKNOWN)
def test_what_is_not_known(body):
    weights = "int64[1] one = {1}, int64[1] zero = {0}, int64[1] big = {4294967296}"
    assert ranges_of(proto_of(body, UNKNOWN[body], weights))["y"] is None


def test_sizes_are_taken_from_shapes():
    found = ranges_of(proto_of("y = Shape (x)", "float[2, 7] x"))
    assert found["y"] == (2, 7)
    assert ranges_of(proto_of("y = Shape (x)", "float[2, k] x"))["y"] == (0, TOP)


DEMANDS = {
    "y = Gather (x, n)": (-9, 8),
    "y = Gather <axis = 1> (x, n)": (-TOP, TOP - 1),
    "u = Unsqueeze (n, one) y = GatherElements (x, u)": (-9, 8),
    "i = Sub (n, one) y = Gather (x, i)": (-8, 9),
    "i = Sub (one, n) y = Gather (x, i)": (-7, 10),
    "i = Add (n, one) y = Gather (x, i)": (-10, 7),
    "i = Div (n, two) y = Gather (x, i)": (-20, 20),
    "y = ReverseSequence (x, n)": (0, TOP),
    "i = Sub (n, one) j = Div (i, two) k = Add (j, one) y = ReverseSequence (x, k)": (1 - 2 * TOP, 1 + 2 * TOP),
    "y = Gather (x, n) z = ReverseSequence (x, n)": (0, 8),
}


@pytest.mark.parametrize("body", DEMANDS)
def test_readers_bound_what_they_take(body):
    proto = proto_of(body, "float[9, t] x, int64[t] n", "int64[1] one = {1}, int64[1] two = {2}")
    assert ranges_of(proto)["n"] == DEMANDS[body]


def test_a_reader_in_a_branch_bounds_nothing():
    branch = "{ p = Gather (x, n) }, else_branch = e () => (float[k, t] q) { q = Neg (x) }"
    proto = proto_of(
        f"y = If (c) <then_branch = t () => (float[k, t] p) {branch}>", "float[9, t] x, int64[k] n, bool c"
    )
    assert ranges_of(proto)["n"] is None


def test_a_default_is_not_a_bound():
    proto = proto_of("y = Add (n, w)", "int64[1] n, int64[1] w", "int64[1] w = {1}")
    assert ranges_of(proto)["w"] is None
