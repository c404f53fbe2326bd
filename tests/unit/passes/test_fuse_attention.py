"""Which attentions become ONNX Runtime's operator, with answers that stay, and which are left."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from inferry.passes.fuse_attention import FuseAttention

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "split": np.array([0, 0, 2, 4], np.int64),
    "split_b": np.array([0, -1, 2, 4], np.int64),
    "split_wide": np.array([0, 0, 2, 3], np.int64),
    "merge": np.array([0, 0, 8], np.int64),
    "merge_wide": np.array([0, 0, 6], np.int64),
    "minus": np.array([0, -1, 8], np.int64),
    "rest": np.array([2, 4], np.int64),
    "one_head": np.array([0, 0, 1, 4], np.int64),
    "four": np.array([0, -1, 4], np.int64),
    "mixed": np.array([5, 2, 2, 4], np.int64),
    "mixed_end": np.array([5, 2, 8], np.int64),
    "s": np.float32(0.37),
    "r": np.float32(1.9),
    "low": np.float32(-30000),
    "zero": np.float32(0),
    "places": RANDOM.standard_normal((1, 2, 5, 5)).astype(np.float32),
    "wide_axes": np.array([1, 2], np.int64),
}
THREE = "float[b, t, 8] q, float[b, s, 8] k, float[b, s, 8] v"
QUERY = "q4 = Reshape (q, split) qt = Transpose <perm = [0, 2, 1, 3]> (q4) "
SCALED = "qs = Mul (qt, s) "
KEY = "k4 = Reshape (k, split) kt = Transpose <perm = [0, 2, 3, 1]> (k4) "
VALUE = "v4 = Reshape (v, split) vt = Transpose <perm = [0, 2, 1, 3]> (v4) "
SOFTMAX = "w = Softmax <axis = -1> (l) c = MatMul (w, vt) "
END = "ct = Transpose <perm = [0, 2, 1, 3]> (c) y = Reshape (ct, merge)"
BEFORE = QUERY + SCALED + KEY + VALUE
PLAIN = BEFORE + "l = MatMul (qs, kt) " + SOFTMAX + END

FORMS = {
    "a scaled query": (PLAIN, THREE, []),
    "no scale": (QUERY + KEY + VALUE + "l = MatMul (qt, kt) " + SOFTMAX + END, THREE, []),
    "a quotient after the product": (
        QUERY + KEY + VALUE + "p = MatMul (qt, kt) l = Div (p, r) " + SOFTMAX + END,
        THREE,
        [],
    ),
    "half of the scale at query and key each, keys transposed twice": (
        QUERY + VALUE + "k4 = Reshape (k, split_b) k1 = Transpose <perm = [0, 2, 1, 3]> (k4) "
        "k2 = Transpose <perm = [0, 1, 3, 2]> (k1) ks = Mul (k2, s) qs = Mul (s, qt) l = MatMul (qs, ks) "
        + SOFTMAX
        + END.replace("merge", "minus"),
        THREE,
        [],
    ),
    "a mask over keys": (
        BEFORE + "p = MatMul (qs, kt) l = Add (p, mask) " + SOFTMAX + END,
        THREE + ", float[b, 1, 1, s] mask",
        ["Shape", "Shape", "Concat", "Expand"],
    ),
    "a mask of fewer axes, first, before a quotient is none": (
        QUERY + KEY + VALUE + "p = MatMul (qt, kt) d = Div (p, r) l = Add (mask, d) " + SOFTMAX + END,
        THREE + ", float[t, s] mask",
        ["Shape", "Shape", "Concat", "Expand"],
    ),
    "a bias of the full size": (
        BEFORE + "p = MatMul (qs, kt) l = Add (p, bias) " + SOFTMAX + END,
        THREE + ", float[b, 2, t, s] bias",
        [],
    ),
    "constant positions": (
        BEFORE + "p = MatMul (qs, kt) l = Add (p, places) " + SOFTMAX + END,
        "float[b, 5, 8] q, float[b, 5, 8] k, float[b, 5, 8] v",
        [],
    ),
    "values of another size": (
        QUERY + SCALED + KEY + "v4 = Reshape (v, split_wide) vt = Transpose <perm = [0, 2, 1, 3]> (v4) "
        "l = MatMul (qs, kt) " + SOFTMAX + END.replace("merge", "merge_wide"),
        THREE.replace("8] v", "6] v"),
        [],
    ),
}


def kinds(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("name", FORMS)
def test_forms(name, parsed, proven):
    body, inputs, bias = FORMS[name]
    outcome = proven(parsed(body, inputs, WEIGHTS), FuseAttention())
    assert (outcome.matches, outcome.declined) == (1, ())
    assert kinds(outcome.model) == [*bias, "MultiHeadAttention"]
    assert outcome.model.graph.opset_imports["com.microsoft"] == 1
    fused = outcome.model.graph[-1]
    assert fused.attributes["num_heads"].as_int() == 2
    if name == "a mask over keys":
        assert fused.attributes["scale"].as_float() == pytest.approx(0.37)
    elif name == "no scale":
        assert fused.attributes["scale"].as_float() == 1
    elif name.startswith("half"):
        assert fused.attributes["scale"].as_float() == pytest.approx(0.37**2)


def test_sizes_that_are_computed(parsed, proven):
    """As exporters write it that follow the shapes of the original's `view`."""
    body = (
        "n = Shape <start = 0, end = 2> (q) sq = Concat <axis = 0> (n, rest) q4 = Reshape (q, sq) "
        "qt = Transpose <perm = [0, 2, 1, 3]> (q4) qs = Mul (qt, s) "
        + KEY
        + VALUE
        + "l = MatMul (qs, kt) "
        + SOFTMAX
        + END
    )
    outcome = proven(parsed(body, THREE, WEIGHTS), FuseAttention())
    assert (outcome.matches, kinds(outcome.model)) == (1, ["MultiHeadAttention"])


def test_a_row_without_any_key_gets_the_same_answer(parsed):
    """An added mask keeps the scores' differences, as far as float32 has digits for them; both forms round alike."""
    body, inputs, _ = FORMS["a mask over keys"]
    random = np.random.default_rng(3)
    feeds = {name: random.standard_normal((4, 33, 8), np.float32) for name in "qkv"}
    feeds["mask"] = np.zeros((4, 1, 1, 33), np.float32)
    feeds["mask"][0, ..., 20:] = -30000
    feeds["mask"][1] = -30000
    feeds["mask"][2, ..., 1:] = np.finfo(np.float32).min
    feeds["mask"][3] = np.finfo(np.float32).min
    model = parsed(body, inputs, WEIGHTS)
    before = ir.to_proto(model)
    found = []
    for proto in (before, ir.to_proto(FuseAttention().apply(model).model)):
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found.append(session.run(None, feeds)[0])
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-5 * np.abs(found[0]).max())
    np.testing.assert_allclose(found[0][3], np.broadcast_to(feeds["v"][3].mean(axis=0), (33, 8)), atol=1e-6)
    np.testing.assert_allclose(found[0][2], np.broadcast_to(feeds["v"][2, :1], (33, 8)), atol=1e-6)


HEADS = "does not read (batch, positions, heads * size) that is split into heads and transposed"
READ = "has scores that something else reads"
LEFT = {
    "a mask that replaces": (
        BEFORE + "p = MatMul (qs, kt) l = Where (mask, p, low) " + SOFTMAX + END,
        THREE + ", bool[b, 1, 1, s] mask",
        "has scores that a mask replaces: a row without any key would get another answer",
    ),
    "another axis": (PLAIN.replace("axis = -1", "axis = 2"), THREE, "is a softmax over another axis than the keys"),
    "scores that are read": (PLAIN.replace("ct =", "f = ReduceSum (l) h = Add (c, f) ct =", 1), THREE, READ),
    "masked scores that are read": (
        BEFORE
        + "p = MatMul (qs, kt) l = Add (p, mask) "
        + SOFTMAX
        + "f = ReduceSum (l) ct = Transpose <perm = [0, 2, 1, 3]> (c) z = Reshape (ct, merge) y = Add (z, f)",
        THREE + ", float[b, 1, 1, s] mask",
        READ,
    ),
    "weights that are guarded against NaN": (
        PLAIN.replace("c = MatMul (w", "i = IsNaN (w) g = Where (i, zero, w) c = MatMul (g"),
        THREE,
        "has weights that more than one node reads, or that are an output",
    ),
    "heads that are not split": (
        "l = MatMul (q, k) w = Softmax (l) y = MatMul (w, v)",
        "float[b, t, 8] q, float[b, 8, s] k, float[b, s, 8] v",
        HEADS,
    ),
    "a key that is read": (
        BEFORE
        + "l = MatMul (qs, kt) "
        + SOFTMAX
        + "ct = Transpose <perm = [0, 2, 1, 3]> (c) z = Reshape (ct, merge) f = ReduceSum (k4) y = Add (z, f)",
        THREE,
        HEADS,
    ),
    "keys in the order of queries": (
        QUERY
        + VALUE
        + "k4 = Reshape (k, split) kt = Transpose <perm = [0, 1, 3, 2]> (k4) l = MatMul (qt, kt) "
        + SOFTMAX
        + END,
        "float[b, 2, 8] q, float[b, 2, 8] k, float[b, 2, 8] v",
        HEADS,
    ),
    "one head of keys for all": (
        PLAIN.replace("(k, split)", "(k, one_head)"),
        THREE.replace("8] k", "4] k"),
        "has queries, keys and values of different heads",
    ),
    "one head of values for all": (
        PLAIN.replace("(v, split)", "(v, one_head)"),
        THREE.replace("8] v", "4] v"),
        "has queries, keys and values of different heads",
    ),
    "scaled values": (
        PLAIN.replace("w, vt)", "w, vs)").replace("w =", "vs = Mul (vt, s) w =", 1),
        THREE,
        "has queries, keys and values of different heads",
    ),
    "heads and their sizes joined the other way round": (
        PLAIN.replace("ct = Transpose <perm = [0, 2, 1, 3]>", "ct = Transpose <perm = [0, 2, 3, 1]>"),
        THREE,
        "is not followed by a Transpose and a Reshape that join the heads",
    ),
    "positions that become the batch": (
        PLAIN.replace("(ct, merge)", "(ct, mixed_end)"),
        "float[2, 5, 8] q, float[2, 7, 8] k, float[2, 7, 8] v",
        "has heads that are joined in another way",
    ),
    "positions that were the batch": (
        PLAIN.replace(", split)", ", mixed)"),
        "float[2, 5, 8] q, float[2, 5, 8] k, float[2, 5, 8] v",
        HEADS,
    ),
    "queries for a whole batch": (
        PLAIN,
        THREE.replace("b, t, 8] q", "1, t, 8] q"),
        "has one set of queries, keys or values for a whole batch",
    ),
    "heads that stay apart": (
        BEFORE + "l = MatMul (qs, kt) " + SOFTMAX + "y = Neg (c)",
        THREE,
        "is not followed by a Transpose and a Reshape that join the heads",
    ),
    "heads joined with the positions": (
        PLAIN.replace("(ct, merge)", "(ct, four)"),
        THREE,
        "has heads that are joined in another way",
    ),
    "a softmax of 16 bits": (PLAIN, THREE.replace("float", "float16"), "is not in float32"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left(name, parsed, proven):
    body, inputs, reason = LEFT[name]
    given = WEIGHTS
    if "float16" in inputs:
        given = {key: array.astype(np.float16) if array.dtype.kind == "f" else array for key, array in given.items()}
    outcome = proven(parsed(body, inputs, given), FuseAttention())
    assert outcome.matches == 0
    (declined,) = outcome.declined
    assert declined.reason.startswith(reason)
    assert "MultiHeadAttention" not in kinds(outcome.model)


@pytest.mark.parametrize(
    "body", ["y = Softmax (q)", "w = Softmax (q) y = MatMul (w, k)", "w = Softmax (q) y = Neg (w)"]
)
def test_other_softmaxes_are_no_business_of_it(body, parsed):
    outcome = FuseAttention().apply(parsed(body, "float[b, t, 8] q, float[b, 8, 8] k", WEIGHTS))
    assert (outcome.matches, outcome.declined) == (0, ())
    assert "com.microsoft" not in outcome.model.graph.opset_imports


def test_a_mask_that_older_operators_cannot_broadcast(parsed):
    body, inputs, _ = FORMS["a mask over keys"]
    outcome = FuseAttention().apply(parsed(body, inputs, WEIGHTS, opset=13))
    assert [one.reason for one in outcome.declined] == [
        "adds a bias that would have to be broadcast by operators of opset 15"
    ]
    plain = FuseAttention().apply(parsed(PLAIN, THREE, WEIGHTS, opset=13))
    assert kinds(plain.model) == ["MultiHeadAttention"]
