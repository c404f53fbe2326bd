"""Which linear layers become one."""

import numpy as np
import pytest

from inferry.passes.fuse_qkv import FuseQkv

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    **{name: RANDOM.standard_normal((6, size)).astype(np.float32) for name, size in (("q", 4), ("k", 4), ("v", 10))},
    **{name: RANDOM.standard_normal(size).astype(np.float32) for name, size in (("a", 4), ("b", 4), ("c", 10))},
    "kt": RANDOM.standard_normal((4, 6)).astype(np.float32),
    "single": np.float32([0.5]),
    "deep": RANDOM.standard_normal((1, 6, 4)).astype(np.float32),
}
THREE = "p = MatMul (x, q) qa = Add (p, a) r = MatMul (x, k) kb = Add (b, r) s = MatMul (x, v) vc = Add (s, c) "
TAIL = "t0 = Mul (qa, kb) u = ReduceSum (vc) y = Add (t0, u)"


def kinds(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
def test_three_layers_of_two_sizes(opset, parsed, proven):
    outcome = proven(parsed(THREE + TAIL, weights=WEIGHTS, opset=opset), FuseQkv())
    assert (outcome.matches, outcome.declined) == (1, ())
    assert kinds(outcome.model) == ["MatMul", "Add", "Split", "Mul", "ReduceSum", "Add"]
    product, _, split, *_ = outcome.model.graph
    assert product.inputs[1].const_value.numpy().shape == (6, 18)
    assert [value.name for value in split.outputs] == ["qa", "kb", "vc"]
    assert ("split" in split.attributes) == (opset < 13)
    assert len(outcome.model.graph.initializers) == (3 if opset >= 13 else 2)


def test_a_key_without_a_bias_gets_zeros(parsed, proven):
    body = "p = MatMul (x, q) qa = Add (p, a) kb = MatMul (x, k) y = Mul (qa, kb)"
    outcome = proven(parsed(body, weights=WEIGHTS), FuseQkv())
    assert kinds(outcome.model) == ["MatMul", "Add", "Split", "Mul"]
    assert outcome.model.graph[1].inputs[1].const_value.numpy().tolist() == [*WEIGHTS["a"].tolist(), 0, 0, 0, 0]


def test_no_bias_at_all(parsed, proven):
    outcome = proven(parsed("m = MatMul (x, q) n = MatMul (x, k) y = Mul (m, n)", weights=WEIGHTS), FuseQkv())
    assert kinds(outcome.model) == ["MatMul", "Split", "Mul"]


def test_results_that_are_outputs_or_read_before_their_bias_stay(parsed, proven):
    body = "m = MatMul (x, q) n = MatMul (x, k) o = Add (n, b) y = Mul (n, o)"
    outcome = proven(parsed(body, weights=WEIGHTS, outputs="m, y"), FuseQkv())
    assert kinds(outcome.model) == ["MatMul", "Split", "Add", "Mul"]
    assert [value.name for value in outcome.model.graph.outputs] == ["m", "y"]


def test_a_bias_of_another_size_stays(parsed, proven):
    body = "m = MatMul (x, q) n = MatMul (x, k) o = Add (n, single) y = Mul (m, o)"
    assert kinds(proven(parsed(body, weights=WEIGHTS), FuseQkv()).model) == ["MatMul", "Split", "Add", "Mul"]


def test_gemms_with_a_transposed_weight(parsed, proven):
    body = (
        "m = Gemm (x, q, a) n = Gemm <transB = 1> (x, kt, b) o = Gemm (x, v) "
        "p = ReduceSum (o) r = Mul (m, n) y = Add (r, p)"
    )
    outcome = proven(parsed(body, "float[b, 6] x", WEIGHTS), FuseQkv())
    assert kinds(outcome.model) == ["Gemm", "Split", "ReduceSum", "Mul", "Add"]


def test_two_groups_and_what_reads_a_first_result_for_a_second_layer(parsed, proven):
    body = (
        "p = MatMul (x, q) r = MatMul (x, k) h = Softmax (p) g = Mul (h, r) s = ReduceSum <keepdims = 0> (g) "
        "x2 = Mul (x, s) n = MatMul (x2, v) w = MatMul (x2, q2) z = ReduceSum (n) y = Add (w, z)"
    )
    outcome = proven(parsed(body, weights=WEIGHTS | {"q2": WEIGHTS["q"] + 1}), FuseQkv())
    assert outcome.matches == 2
    assert kinds(outcome.model).count("MatMul") == 2


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("m = MatMul (x, q) n = MatMul (x, q) y = Mul (m, n)", ["is used elsewhere too"] * 2),
        ("m = MatMul (x, deep) n = MatMul (x, k) y = Mul (m, n)", ["is no matrix of floats"]),
        ("m = MatMul (x, q) n = MatMul (x, free) y = Mul (m, n)", []),
        ("m = MatMul (x, q) r = Neg (x) n = MatMul (r, k) y = Mul (m, n)", []),
        ("m = MatMul (x, q) t0 = Transpose (x) n = MatMul (t0, x) u = ReduceSum (n) y = Add (m, u)", []),
    ],
)
def test_what_is_left(body, reasons, parsed, proven):
    inputs = "float[b, t, 6] x, float[6, 4] free" if "free" in body else "float[4, 4, 6] x"
    if "t0" in body:
        inputs = "float[t, 6] x"
    outcome = proven(parsed(body, inputs, WEIGHTS), FuseQkv())
    assert outcome.matches == 0
    assert len(outcome.declined) == len(reasons)
    assert all(one.reason.endswith(end) for one, end in zip(outcome.declined, reasons, strict=True))


@pytest.mark.parametrize("change", ["<alpha = 0.5> (x, k, b)", "<beta = 2.0> (x, k, b)", "(x, k, free)"])
def test_gemms_that_are_no_plain_layers(change, parsed, proven):
    body = f"m = Gemm (x, q, a) n = Gemm {change} y = Mul (m, n)"
    outcome = proven(parsed(body, "float[b, 6] x, float[4] free", WEIGHTS), FuseQkv())
    assert [one.reason for one in outcome.declined] == ["shares its input with others, but is no plain linear layer"]
    assert kinds(outcome.model) == ["Gemm", "Gemm", "Mul"]


def test_layers_of_a_branch_become_one_within_it(parsed, proven):
    then = "then_branch = one () => (float[b, t, 4] o) { m = MatMul (x, q) n = MatMul (x, k) o = Mul (m, n) }"
    other = "else_branch = two () => (float[b, t, 4] u) { u = MatMul (x, late) }"
    body = f"r = MatMul (x, v) z = ReduceSum (r) w = If (flag) <{then}, {other}> y = Add (w, z)"
    given = WEIGHTS | {"late": WEIGHTS["q"] + 1}
    outcome = proven(parsed(body, "float[b, t, 6] x, bool flag", given), FuseQkv())
    assert kinds(outcome.model) == ["MatMul", "ReduceSum", "If", "Add"]
    branches = outcome.model.graph[2].attributes
    assert [node.op_type for node in branches["then_branch"].as_graph()] == ["MatMul", "Split", "Mul"]
    assert [node.op_type for node in branches["else_branch"].as_graph()] == ["MatMul"]
