"""Which products with a number become part of a linear layer before them."""

import numpy as np
import pytest

from inferry.passes.fold_scale import FoldScale

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "w": RANDOM.standard_normal((6, 8)).astype(np.float32),
    "b": RANDOM.standard_normal(8).astype(np.float32),
    "s": np.float32(0.35),
    "e": np.float32([8]),
    "zero": np.float32(0),
    "many": RANDOM.standard_normal(8).astype(np.float32),
    "heads": np.array([0, 0, 2, 4], np.int64),
}


def kinds(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ("p = MatMul (x, w) y0 = Mul (p, s) y = Relu (y0)", ["MatMul", "Relu"]),
        ("p = MatMul (x, w) y0 = Div (p, e) y = Relu (y0)", ["MatMul", "Relu"]),
        ("p = MatMul (x, w) a = Add (b, p) y0 = Mul (s, a) y = Relu (y0)", ["MatMul", "Add", "Relu"]),
        (
            "p = MatMul (x, w) a = Add (p, b) r = Reshape (a, heads) h = Transpose (r) y0 = Mul (h, s) y = Relu (y0)",
            ["MatMul", "Add", "Reshape", "Transpose", "Relu"],
        ),
        (
            "p = MatMul (x, w) u = Mul (p, s) r = Reshape (u, heads) v = Div (r, e) y = Relu (v)",
            ["MatMul", "Reshape", "Relu"],
        ),
    ],
)
def test_what_is_folded(body, made, parsed, proven):
    outcome = proven(parsed(body, weights=WEIGHTS), FoldScale())
    assert outcome.declined == ()
    assert kinds(outcome.model) == made
    assert WEIGHTS["w"][0, 0] == np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)[0, 0]


def test_a_power_of_two_changes_no_bit(parsed):
    outcome = FoldScale().apply(parsed("p = MatMul (x, w) y0 = Div (p, e) y = Relu (y0)", weights=WEIGHTS))
    (matrix,) = (value.const_value.numpy() for value in outcome.model.graph.initializers.values())
    assert np.array_equal(matrix * np.float32(8), WEIGHTS["w"])


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("p = MatMul (x, w) q = MatMul (x, w) u = Mul (p, s) y = Add (u, q)", ["something else reads a part"]),
        ("p = MatMul (x, w) a = Add (p, b) u = Mul (a, s) v = Add (p, u) y = Add (v, b)", ["something else reads"]),
        ("p = MatMul (x, w) y = Mul (p, s)", ["makes an output of its graph"]),
        ("p = MatMul (x, w) u = Mul (p, s) v = Add (u, p) y = Neg (v)", []),  # the layer's own result is needed
        ("p = MatMul (x, w) u = Mul (p, many) y = Neg (u)", []),
        ("p = MatMul (x, w) u = Mul (p, zero) y = Neg (u)", []),
        ("p = MatMul (x, w) u = Div (s, p) y = Neg (u)", []),
        ("p = Relu (x) u = Mul (p, s) y = Neg (u)", []),
        ("t0 = Transpose <perm = [0, 2, 1]> (x) p = MatMul (x, t0) u = Mul (p, s) y = Neg (u)", []),
    ],
)
def test_what_is_left(body, reasons, parsed, proven):
    outcome = proven(parsed(body, weights=WEIGHTS), FoldScale())
    assert outcome.matches == 0
    assert len(outcome.declined) == len(reasons)
    assert all(part in one.reason for part, one in zip(reasons, outcome.declined, strict=True))
