from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper, parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.conv1d_to_conv2d import Conv1dToConv2d
from inferry.passes.registry import TARGETS
from inferry.pipeline.optimize import optimize

RANDOM = np.random.default_rng(3)
WEIGHTS = {
    "w": (6, 4, 3),
    "v": (4, 6, 3),
    "square": (4, 4, 3),
    "depthwise": (4, 1, 3),
    "bias": (6,),
    "channels": (6, 1),
    "row": (1, 6, 1),
    "whole": (1, 1, 1),
    "scale": (6,),
}


def model(body, inputs="float[b, 4, t] x", outputs="y", opset=17, **more):
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = parser.parse_model(text)
    arrays = {name: RANDOM.standard_normal(shape).astype(np.float32) for name, shape in WEIGHTS.items()}
    arrays |= {"half": np.float32(0.5), "root": np.float32(np.sqrt(2)), "one": np.float32(1)} | more
    used = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items() if n in used)
    return proto


def converted(proto):
    loaded = ir.from_proto(proto)
    ShapeInferencePass()(loaded)
    outcome = Conv1dToConv2d().apply(loaded)
    onnx.checker.check_model(ir.to_proto(outcome.model), full_check=True)
    return outcome


def kinds(outcome):
    return Counter(node.op_type for node in ir.traversal.RecursiveGraphIterator(outcome.model.graph))


def run(proto, feeds):
    return ort.InferenceSession(proto.SerializeToString()).run(None, feeds)


def require_same(proto, outcome, *, names=("x",), channels=4):
    after = ir.to_proto(outcome.model)
    for batch, length in ((1, 24), (3, 41)):
        shapes = {"x": (batch, channels, length), "mask": (batch, 1, length - 2), "frames": (batch, length - 2, 1)}
        feeds = {name: RANDOM.standard_normal(shapes[name]).astype(np.float32) for name in names}
        for expected, found in zip(run(proto, feeds), run(after, feeds), strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


FORMS = {
    "plain": "Conv (x, w)",
    "bias": "Conv (x, w, bias)",
    "window": "Conv <kernel_shape = [3], strides = [2], dilations = [3], pads = [4, 1]> (x, w)",
    "same": 'Conv <auto_pad = "SAME_UPPER", strides = [2]> (x, w)',
    "same lower": 'Conv <auto_pad = "SAME_LOWER"> (x, w)',
    "valid": 'Conv <auto_pad = "VALID"> (x, w)',
    "depthwise": "Conv <group = 4> (x, depthwise)",
}


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
@pytest.mark.parametrize("form", FORMS)
def test_one_convolution(form, opset):
    proto = model(f"y = {FORMS[form]}", opset=opset)
    outcome = converted(proto)
    assert (outcome.matches, outcome.declined) == (1, ())
    assert kinds(outcome) == {"Unsqueeze": 1, "Conv": 1, "Squeeze": 1}
    require_same(proto, outcome)


GELU = "d = Div (c, root) e = Erf (d) f = Add (e, one) g = Mul (c, f) h = Mul (g, half)"
BETWEEN = {
    "nothing": "h = Identity (c)",
    "GELU": GELU,
    "limits": "h = Clip (c, half, one)",
    "negative slope": "h = PRelu (c, channels)",
    "channel scale": "h = Mul (channels, c)",
    "3-D constants": "d = Add (c, row) h = Sub (whole, d)",
    "power": "h = Pow (c, two)",
    "layer norm": """a = Transpose <perm = [0, 2, 1]> (c) d = LayerNormalization <axis = -1> (a, scale, bias)
        h = Transpose <perm = [0, 2, 1]> (d)""",
    "layer norm of axis 2": """a = Transpose <perm = [0, 2, 1]> (c) d = LayerNormalization <axis = 2> (a, scale)
        h = Transpose <perm = [0, 2, 1]> (d)""",
    "spelled-out norm": """m = ReduceMean <axes = [1]> (c) d = Sub (c, m) s = Mul (d, d)
        q = ReduceMean <axes = [-2]> (s) r = Add (q, one) u = Sqrt (r) h = Div (d, u)""",
    "sum over the channels": "s = ReduceSum (c, axis) h = Add (c, s)",
    "mean of all": "s = ReduceMean (c) h = Add (c, s)",
    "instance norm": "h = InstanceNormalization (c, scale, bias)",
    "batch norm": "v2 = Abs (scale) h = BatchNormalization (c, scale, bias, bias, v2)",
    "all axes turned": "a = Transpose <perm = [2, 0, 1]> (c) d = Relu (a) h = Transpose <perm = [1, 2, 0]> (d)",
    "default transposition": "a = Transpose (c) d = Relu (a) h = Transpose (d)",
    "softmax": "h = Softmax <axis = -2> (c)",
    "slice": "h = Slice (c, s1, s100, s2)",
    "slice of the first axes": "h = Slice (c, s00, s66)",
    "slice from the end": "h = Slice (c, s1, s100, last)",
    "pad": "h = Pad (c, pads)",
    "concat": "d = Slice (c, s1, s4, axis) e = Slice (c, s1, s4, axis) h = Concat <axis = 1> (d, e)",
    "pools": """a = MaxPool <kernel_shape = [2], strides = [2]> (c)
        h = AveragePool <kernel_shape = [3], pads = [1, 1]> (a)""",
    "global pool": "a = GlobalAveragePool (c) h = Add (a, c)",
}
INTS = {"axis": [1], "s1": [1], "s2": [2], "s4": [4], "s100": [100], "last": [-1], "s00": [0, 0], "s66": [6, 6]}
INTS["pads"] = [0, 1, 1, 0, -1, 2]


@pytest.mark.parametrize("between", BETWEEN)
def test_what_lies_between_two_convolutions_stays_in_four_dimensions(between):
    proto = model(
        f"c = Conv (x, w, bias) {BETWEEN[between]} y = Conv (h, v)",
        two=np.float32(2),
        **{name: np.array(values, np.int64) for name, values in INTS.items()},
    )
    outcome = converted(proto)
    assert outcome.matches == 2
    assert (kinds(outcome)["Unsqueeze"], kinds(outcome)["Squeeze"]) == (1, 1)
    require_same(proto, outcome)


@pytest.mark.parametrize(("opset", "axes"), [(11, "<axes = [1]> (c)"), (18, "(c, axis)")])
def test_older_and_newer_forms(opset, axes):
    body = f"c = Conv (x, w) s = ReduceMax {axes} a = Softmax <axis = 1> (c) h = Add (a, s) y = Conv (h, v)"
    proto = model(body, opset=opset, axis=np.array([1]))
    outcome = converted(proto)
    assert kinds(outcome)["Squeeze"] == 1
    require_same(proto, outcome)


def test_masks_from_outside_are_unsqueezed_once():
    body = """c = Conv (x, w) d = Mul (c, mask) a = Transpose <perm = [0, 2, 1]> (d) e = Mul (a, frames)
        f = Transpose <perm = [0, 2, 1]> (e) g = Mul (f, mask) h = Where (flag, g, half) y = Conv (h, v)"""
    inputs = "float[b, 4, t] x, float[b, 1, u] mask, float[b, u, 1] frames"
    proto = model(body, inputs, flag=np.array([[True], [False]] * 3))
    outcome = converted(proto)
    assert (kinds(outcome)["Unsqueeze"], kinds(outcome)["Squeeze"]) == (3, 1)
    require_same(proto, outcome, names=("x", "mask", "frames"))


LEAVING = {
    "a product of matrices": """a = Transpose <perm = [0, 2, 1]> (c) m = MatMul (a, turn)
        h = Transpose <perm = [0, 2, 1]> (m)""",
    "a squeezed sum": "s = ReduceSum <keepdims = 0> (c, axis) h = Unsqueeze (s, axis)",
    "four dimensions": "u = Unsqueeze (c, axis) r = Relu (u) h = Squeeze (r, axis)",
    "two results": "s0, s1 = Split <axis = 1> (c) h = Concat <axis = 1> (s1, s0)",
}


@pytest.mark.parametrize("way", LEAVING)
def test_what_cannot_be_carried_is_squeezed_before(way):
    weights = "one_channel" if way == "a squeezed sum" else "v"
    turn, narrow = np.eye(6, dtype=np.float32)[::-1], RANDOM.random((4, 1, 3), np.float32)
    proto = model(
        f"c = Conv (x, w) {LEAVING[way]} y = Conv (h, {weights})", axis=np.array([1]), turn=turn, one_channel=narrow
    )
    outcome = converted(proto)
    made = [node.op_type for node in outcome.model.graph]
    assert made[1:3] == ["Conv", "Squeeze"]
    assert made[-3:] == ["Unsqueeze", "Conv", "Squeeze"]
    require_same(proto, outcome)


def test_a_mean_without_its_axis_takes_part_as_what_it_is():
    body = """c = Conv (x, w) m = ReduceMean <axes = [0], keepdims = 0> (c) a = Transpose (m) d = Transpose (a)
        h = Add (c, d) y = Conv (h, v)"""
    proto = model(body)
    require_same(proto, converted(proto))


def test_a_pool_whose_places_are_used():
    proto = model("c = Conv (x, w) h, n = MaxPool <kernel_shape = [2]> (c) y = Conv (h, v)", outputs="y, n")
    require_same(proto, converted(proto))


def test_limits_of_a_slice_in_an_attribute():
    body = "c = Conv (x, w) h = Slice <starts = [1], ends = [100], axes = [2]> (c) y = Conv (h, v)"
    proto = model(body, opset=9)
    outcome = converted(proto)
    assert kinds(outcome)["Squeeze"] == 2
    require_same(proto, outcome)


def test_values_that_are_used_outside_keep_their_names_and_shapes():
    body = "c = Conv (x, w) h = Relu (c) y = Conv (h, v) n = Shape (h) z = ReduceMean <axes = [1], keepdims = 0> (c)"
    proto = model(body, outputs="y, h, n, z")
    outcome = converted(proto)
    assert [value.name for value in outcome.model.graph.outputs] == ["y", "h", "n", "z"]
    assert kinds(outcome)["Squeeze"] == 3
    require_same(proto, outcome)


def test_shared_weights_stay_shared_and_whole():
    proto = model("c = Conv (x, square) y = Conv (c, square) z = ReduceSum (square)", outputs="y, z")
    outcome = converted(proto)
    shapes = [tuple(value.shape) for value in outcome.model.graph.initializers.values() if len(value.shape) > 2]
    assert sorted(shapes) == [(4, 4, 1, 3), (4, 4, 3)]
    require_same(proto, outcome)


def test_computed_weights():
    proto = model("k = Tanh (w) c = Conv (x, k) y = Relu (c)")
    outcome = converted(proto)
    assert kinds(outcome)["Unsqueeze"] == 2
    require_same(proto, outcome)


def test_weights_that_are_an_input_with_a_default():
    proto = model("y = Conv (x, w)")
    proto.graph.input.append(helper.make_tensor_value_info("w", 1, [6, 4, 3]))
    outcome = converted(proto)
    assert kinds(outcome)["Unsqueeze"] == 2
    require_same(proto, outcome)


def test_names_that_are_taken():
    proto = model("c = Conv (x, w) c_Squeeze_1 = Neg (c) c_Conv_1 = Conv (c_Squeeze_1, v)", outputs="c_Conv_1, c")
    require_same(proto, converted(proto))


def test_a_subgraph():
    made = [helper.make_empty_tensor_value_info(name) for name in ("inner", "outer", "z")]
    then = helper.make_graph([helper.make_node("Conv", ["c", "v"], ["inner"], "inner")], "then", [], made[:1])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["outer"])], "else", [], made[1:2])
    proto = model("c = Conv (x, w) s = ReduceSum <keepdims = 0> (x) p = Greater (s, half) y = Relu (c)")
    proto.graph.initializer.append(numpy_helper.from_array(RANDOM.random((4, 6, 3), np.float32), "v"))
    proto.graph.node.append(helper.make_node("If", ["p"], ["z"], "if", then_branch=then, else_branch=other))
    proto.graph.output.append(made[2])
    outcome = converted(proto)
    assert outcome.matches == 2
    require_same(proto, outcome)


def test_convolutions_of_other_kinds_stay():
    body = "y = ConvTranspose (x, w) q = ConvInteger (i, k) p = Conv (picture, pw)"
    inputs = "float[b, 4, t] x, uint8[b, 1, t] i, float[b, 1, h, u] picture"
    proto = model(body, inputs, "y, q, p", k=np.ones((1, 1, 3), np.uint8), pw=np.ones((1, 1, 3, 3), np.float32))
    outcome = converted(proto)
    assert outcome.matches == 0
    assert [one.reason for one in outcome.declined] == [
        f"is a {kind} along one axis: only Conv is rewritten" for kind in ("ConvTranspose", "ConvInteger")
    ]


@pytest.mark.parametrize(
    ("family", "convolutions", "more"),
    [("wav2vec2", 4, (3, 3)), ("data2vec-audio", 6, (3, 2)), ("deepspeech2", 0, (0, 0))],
)
def test_families(family, convolutions, more, tiny_bundles, tmp_path):
    file = tiny_bundles[family].model
    ledger = optimize(file, tmp_path / "done.onnx", ["conv1d-to-conv2d"])
    (entry,) = ledger.entries
    assert (entry.matches, entry.declined, ledger.ok) == (convolutions, (), True)
    before, after = (ir.load(one) for one in (file, tmp_path / "done.onnx"))
    assert all(len(node.inputs[1].shape) == 4 for node in after.graph if node.op_type == "Conv")
    counts = [Counter(node.op_type for node in one.graph) for one in (before, after)]
    # A stack is entered and left once, however many convolutions it has; masks are unsqueezed once.
    assert tuple(counts[1][kind] - counts[0][kind] for kind in ("Unsqueeze", "Squeeze")) == more


def test_the_ascend_pipeline_has_it_before_indices_are_narrowed():
    passes = TARGETS["ascend310p"].passes
    assert passes.index("fold-batch-norm") < passes.index("conv1d-to-conv2d") < passes.index("narrow-indices")
