"""Which spelled-out norms become the operator, and which are none that it computes."""

import numpy as np
import pytest

from inferry.passes.fuse_layer_norm import FuseLayerNorm

RANDOM = np.random.default_rng(0)
SCALE, BIAS = (RANDOM.standard_normal(6).astype(np.float32) for _ in range(2))
WEIGHTS = {
    "two": np.float32(2),
    "four": np.float32(4),
    "eps": np.float32([1e-5]),
    "scale": SCALE,
    "bias": BIAS,
    "wide": SCALE[None, None],
    "five": RANDOM.standard_normal((5, 6)).astype(np.float32),
    "axes": np.array([-1], np.int64),
    "first": np.array([1], np.int64),
}
MEAN = "m = ReduceMean <axes = [-1]> (x) d = Sub (x, m) "
POWER = "p = Pow (d, two) v = ReduceMean <axes = [2]> (p) "
ROOT = "w = Add (v, eps) r = Sqrt (w) n = Div (d, r) "
AFFINE = "z = Mul (n, scale) y = Add (z, bias)"


def kinds(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        (MEAN + POWER + ROOT + AFFINE, 3),
        (MEAN + "p = Mul (d, d) v = ReduceMean <axes = [-1]> (p) " + ROOT + AFFINE, 3),
        (MEAN + POWER + "w = Add (eps, v) r = Sqrt (w) n = Div (d, r) z = Mul (wide, n) y = Add (bias, z)", 3),
        (MEAN + POWER + ROOT + "y = Mul (n, two)", 2),
        (MEAN + POWER + "w = Add (v, eps) r = Sqrt (w) y = Div (d, r)", 2),
        (MEAN + POWER + "r = Sqrt (v) n = Div (d, r) " + AFFINE, 3),
        (MEAN + POWER + ROOT + "z = Mul (n, scale) y = Add (z, eps)", 3),
    ],
)
def test_spellings(body, inputs, parsed, proven):
    outcome = proven(parsed(body, weights=WEIGHTS), FuseLayerNorm())
    assert (outcome.matches, outcome.declined) == (1, ())
    (norm,) = outcome.model.graph
    assert len(norm.inputs) == inputs
    assert norm.attributes["axis"].as_int() == -1
    assert [value.const_value.numpy().shape for value in norm.inputs[1:]] == [(6,)] * (inputs - 1)


@pytest.mark.parametrize(
    ("tail", "made"),
    [
        ("y = Mul (n, moving)", ["LayerNormalization", "Mul"]),
        ("y = Add (n, bias)", ["LayerNormalization", "Add"]),
        ("y = Mul (n, five)", ["LayerNormalization", "Mul"]),
        ("z = Mul (n, scale) y = Add (z, x)", ["LayerNormalization", "Add"]),
        ("z = Mul (n, scale) u = Add (z, bias) y = Add (u, z)", ["LayerNormalization", "Add", "Add"]),
        ("z = Mul (n, scale) u = Add (n, z) y = Add (u, bias)", ["LayerNormalization", "Mul", "Add", "Add"]),
    ],
)
def test_only_constants_of_the_norms_size_become_part_of_it(tail, made, parsed, proven):
    inputs = "float[b, 5, 6] x, float[6] moving" if "moving" in tail else "float[b, 5, 6] x"
    outcome = proven(parsed(MEAN + POWER + ROOT + tail, inputs, WEIGHTS), FuseLayerNorm())
    assert kinds(outcome.model) == made


def test_several_axes(parsed, proven):
    body = (
        "m = ReduceMean <axes = [1, -1]> (x) d = Sub (x, m) p = Pow (d, two) v = ReduceMean <axes = [-1, 1]> (p) "
        + ROOT
        + "y = Mul (n, five)"
    )
    outcome = proven(parsed(body, "float[b, 5, 6] x", WEIGHTS), FuseLayerNorm())
    assert outcome.model.graph[0].attributes["axis"].as_int() == -2
    assert kinds(outcome.model) == ["LayerNormalization"]


def test_axes_as_an_input_from_opset_18_on(parsed, proven):
    body = "m = ReduceMean (x, axes) d = Sub (x, m) p = Pow (d, two) v = ReduceMean (p, axes) " + ROOT + AFFINE
    assert kinds(proven(parsed(body, weights=WEIGHTS, opset=18), FuseLayerNorm()).model) == ["LayerNormalization"]


def test_half_precision(parsed, proven):
    given = {name: array.astype(np.float16) if array.dtype.kind == "f" else array for name, array in WEIGHTS.items()}
    model = parsed(MEAN + POWER + ROOT + AFFINE, "float16[b, t, 6] x", given)
    assert kinds(proven(model, FuseLayerNorm()).model) == ["LayerNormalization"]


DIFFERENT = "does not divide by the root of the mean of the squared differences from the mean"
DECLINED = {
    "another power": (MEAN + "p = Pow (d, four) v = ReduceMean <axes = [-1]> (p) " + ROOT + AFFINE, DIFFERENT),
    "one pass": (
        MEAN + "p = Mul (x, x) q = ReduceMean <axes = [-1]> (p) s = Mul (m, m) v = Sub (q, s) " + ROOT + AFFINE,
        DIFFERENT,
    ),
    "a moving epsilon": (
        MEAN + POWER + "e = Abs (x) f = ReduceMax <axes = [-1]> (e) w = Add (v, f) r = Sqrt (w) y = Div (d, r)",
        DIFFERENT,
    ),
    "two axes": (
        MEAN + "p = Pow (d, two) v = ReduceMean <axes = [1]> (p) " + ROOT + AFFINE,
        "takes a mean over other axes than the last ones",
    ),
    "not the last axes": (
        "m = ReduceMean <axes = [1]> (x) d = Sub (x, m) p = Pow (d, two) v = ReduceMean <axes = [1]> (p) "
        + ROOT
        + "y = Neg (n)",
        "takes a mean over other axes than the last ones",
    ),
    "other axes": (
        "m = ReduceMean <axes = [1, 2]> (x) d = Sub (x, m) " + POWER + ROOT + "y = Neg (n)",
        "takes its mean and its variance over different axes",
    ),
    "all axes": (
        "m = ReduceMean (x) d = Sub (x, m) p = Pow (d, two) v = ReduceMean (p) " + ROOT + "y = Neg (n)",
        "takes a mean over axes that are not given, or that it drops",
    ),
    "a shared part": (MEAN + POWER + ROOT + "y = Add (n, v)", "is a norm of which something else reads a part"),
    "a shared difference": (MEAN + POWER + ROOT + "y = Add (n, d)", "is a norm of which something else reads a part"),
}


@pytest.mark.parametrize("name", DECLINED)
def test_what_is_left(name, parsed, proven):
    body, reason = DECLINED[name]
    outcome = proven(parsed(body, weights=WEIGHTS), FuseLayerNorm())
    assert outcome.matches == 0
    assert [one.reason for one in outcome.declined] == [reason]


@pytest.mark.parametrize(
    ("inputs", "opset", "reason"),
    [
        ("float[b, t, 6] x", 16, "would need LayerNormalization of opset 17, the model has 16"),
        ("float[b, 5, t] x", 17, "normalises over an axis without a fixed size"),
        ("double[b, t, 6] x", 17, "is not known to be in float32 or less, in which LayerNormalization computes"),
    ],
)
def test_models_in_which_none_is_fused(inputs, opset, reason, parsed):
    given = {name: array.astype(np.float64) if "double" in inputs else array for name, array in WEIGHTS.items()}
    outcome = FuseLayerNorm().apply(parsed(MEAN + POWER + ROOT + "y = Neg (n)", inputs, given, opset=opset))
    assert (outcome.matches, [one.reason for one in outcome.declined]) == (0, [reason])
    assert "LayerNormalization" not in kinds(outcome.model)


def test_other_divisions_are_no_business_of_it(parsed):
    outcome = FuseLayerNorm().apply(parsed("a = Sqrt (x) d = Sub (x, a) y = Div (d, a)"))
    assert (outcome.matches, outcome.declined) == (0, ())
