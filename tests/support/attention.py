"""Small graphs with attention, what padding makes of them, and whether they still give the same."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import helper, numpy_helper, parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.pad_sequence import PadSequence

RANDOM = np.random.default_rng(5)
HEADS, WIDTH, LENGTH, PADDED = 2, 8, 10, 16


def weights(length=LENGTH):
    square = {name: RANDOM.standard_normal((WIDTH, WIDTH)) / 3 for name in ("wq", "wk", "wv", "wo")}
    floats = square | {
        "bias": RANDOM.standard_normal((1, HEADS, length, length)),
        "positions": RANDOM.standard_normal((1, length, WIDTH)),
        "mixing": RANDOM.standard_normal((length, length)),
        "scale": RANDOM.standard_normal(WIDTH),
        "half": 0.5,
    }
    ints = {"heads": [0, 0, HEADS, 4], "merged": [0, 0, WIDTH], "a1": [1], "a2": [2], "zero": [0], "i0": 0, "i9": 9}
    ints |= {"s2": [2], "s8": [8], "s100": [100], "first": [0], "end": [-1], "far": [2**40]}
    made = {name: np.asarray(array, np.float32) for name, array in floats.items()}
    return made | {name: np.array(values, np.int64) for name, values in ints.items()}


def block(x="x", out="y", *, memory=None, bias="", p="at_", masked=""):
    """Multi-head attention with a residual; names begin with `p`."""
    memory = memory or x
    scores = f"{p}biased = Add ({p}s, {bias})" if bias else f"{p}biased = Mul ({p}s, half)"
    return f"""
        {p}q = MatMul ({x}, wq) {p}q4 = Reshape ({p}q, heads) {p}qt = Transpose <perm = [0, 2, 1, 3]> ({p}q4)
        {p}k = MatMul ({memory}, wk) {p}k4 = Reshape ({p}k, heads) {p}kt = Transpose <perm = [0, 2, 3, 1]> ({p}k4)
        {p}v = MatMul ({memory}, wv) {p}v4 = Reshape ({p}v, heads) {p}vt = Transpose <perm = [0, 2, 1, 3]> ({p}v4)
        {p}s = MatMul ({p}qt, {p}kt) {scores} {masked}
        {p}weights = Softmax <axis = -1> ({p}{"masked" if masked else "biased"})
        {p}c = MatMul ({p}weights, {p}vt) {p}ct = Transpose <perm = [0, 2, 1, 3]> ({p}c)
        {p}m = Reshape ({p}ct, merged) {p}o = MatMul ({p}m, wo) {out} = Add ({x}, {p}o)"""


def model(body, inputs=f"float[b, {LENGTH}, 8] x", outputs="y", opset=17, **more):
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    proto = parser.parse_model(text)
    arrays = weights() | more
    used = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items() if n in used)
    return proto


def padded(proto):
    loaded = ir.from_proto(proto)
    ShapeInferencePass()(loaded)
    outcome = PadSequence().apply(loaded)
    onnx.checker.check_model(ir.to_proto(outcome.model), full_check=True)
    return outcome


def kinds(outcome, *operators):
    found = [node.op_type for node in outcome.model.graph]
    return tuple(found.count(operator) for operator in operators)


def scores(outcome):
    """The last two sizes of what each Softmax gives, as they are inferred anew."""
    loaded = ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(outcome.model), strict_mode=True))
    return [tuple(node.outputs[0].shape[-2:]) for node in loaded.graph if node.op_type == "Softmax"]


def run(proto, feeds):
    return ort.InferenceSession(proto.SerializeToString()).run(None, feeds)


def require_same(proto, outcome, part=1e-5, **given):
    after = ir.to_proto(outcome.model)
    for batch in (1, 3):
        feeds = {}
        for value in proto.graph.input:
            dims = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feeds[value.name] = given.get(value.name, RANDOM.standard_normal)(dims).astype(dtype)
        for expected, found in zip(run(proto, feeds), run(after, feeds), strict=True):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(found, expected, rtol=0, atol=part * np.abs(expected).max())
