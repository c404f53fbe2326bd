"""Which spellings of GELU become one, and which functions are none."""

import math

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from inferry.passes.fuse_gelu import FuseGelu

ROOT = math.sqrt(2)
WEIGHTS = {"root": ROOT, "inverse": 1 / ROOT, "one": 1.0, "half": 0.5, "two": 2.0, "quarter": 0.25}
CANONICAL = ["Div", "Erf", "Add", "Mul", "Mul"]
SPELLINGS = {
    "as Transformers writes it": "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)",
    "half first": "d = Div (x, root) e = Erf (d) a = Add (e, one) h = Mul (x, half) y = Mul (h, a)",
    "half first, swapped": "h = Mul (half, x) d = Div (x, root) e = Erf (d) a = Add (one, e) y = Mul (a, h)",
    "half at the sum": "d = Div (x, root) e = Erf (d) a = Add (e, one) h = Mul (half, a) y = Mul (h, x)",
    "a product": "d = Mul (x, inverse) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)",
    "a product, swapped": "d = Mul (inverse, x) e = Erf (d) a = Add (one, e) m = Mul (a, x) y = Mul (half, m)",
    "divided by two": "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Div (m, two)",
    "in steps": "d = Div (x, root) e = Erf (d) a = Add (e, one) q = Mul (x, quarter) m = Mul (q, a) y = Mul (m, two)",
    "sum swapped": "d = Div (x, root) e = Erf (d) a = Add (one, e) m = Mul (x, a) y = Mul (m, half)",
    "not the operand's order": "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (a, x) y = Mul (m, half)",
}


def weights(dtype=np.float32, **others):
    return {name: np.asarray(value, dtype) for name, value in (WEIGHTS | others).items()}


def kinds(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name, dtype, parsed, proven):
    given = weights(np.float32 if dtype == "float" else np.float16)
    model = parsed(SPELLINGS[name], f"{dtype}[b, t] x", given)
    outcome = proven(model, FuseGelu())
    assert outcome.declined == ()
    assert outcome.matches == (name != "as Transformers writes it")
    assert kinds(outcome.model) == CANONICAL
    div, _, _, mul, last = outcome.model.graph
    assert mul.inputs[0] is div.inputs[0]
    assert last.outputs[0].name == "y"


def test_the_runtime_makes_one_node_of_it(parsed, tmp_path):
    """Of a product with 1 / sqrt 2 it makes none: the reason for the pass."""

    def fused(model):
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "fused.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node]

    model = parsed(SPELLINGS["a product"], "float[b, t] x", weights())
    assert "Erf" in fused(model)
    assert fused(FuseGelu().apply(model).model) == ["Gelu"]


def test_shared_constants_and_a_shared_half_stay(parsed, proven):
    body = (
        "h = Mul (x, half) d = Mul (x, inverse) e = Erf (d) a = Add (e, one) y = Mul (h, a) "
        "p = Mul (y, inverse) q = Erf (p) r = Add (one, q) s = Mul (y, r) u = Mul (half, s) z = Add (h, half)"
    )
    outcome = proven(parsed(body, "float[b, t] x", weights(), outputs="u, z"), FuseGelu())
    assert outcome.matches == 2
    assert sorted(kinds(outcome.model)) == sorted([*CANONICAL, *CANONICAL, "Mul", "Add"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "s = Mul (x, cube) t = Mul (s, x) u = Mul (t, x) v = Add (x, u) w = Mul (slope, v) y = Tanh (w)",
            "is the tanh form of GELU: another function than the exact one",
        ),
        ("d = Div (x, near) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)", "has 1.41400"),
        ("d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, two)", "is no part of x * 0.5"),
        ("d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) n = Mul (m, half) y = Add (n, a)", "no part"),
        ("d = Div (x, root) e = Erf (d) a = Add (e, one) y = Mul (a, half)", "is no part of"),
        ("d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) h = Mul (x, half) y = Mul (m, h)", "no part"),
        (
            "d = Div (x, root) e = Erf (d) a = Add (e, one) h = Mul (a, half) n = Mul (h, x) y = Add (n, d)",
            "holds the argument of an error function that is used elsewhere too",
        ),
    ],
)
def test_what_is_left(body, reason, parsed, proven):
    given = weights(near=1.414, cube=0.044715, slope=math.sqrt(2 / math.pi))
    before = parsed(body, "float[b, t] x", given)
    outcome = proven(before, FuseGelu())
    assert outcome.matches == 0
    (declined,) = outcome.declined
    assert reason in declined.reason


@pytest.mark.parametrize(
    "body",
    [
        "y = Tanh (x)",
        "m = Mul (x, half) y = Tanh (m)",
        "y = Erf (x)",
        "d = Div (x, two) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)",
        "d = Div (root, x) e = Erf (d) a = Add (e, one) m = Mul (a, x) y = Mul (m, half)",
        "d = Div (x, root) e = Erf (d) a = Add (e, half) m = Mul (a, x) y = Mul (m, half)",
    ],
)
def test_what_is_no_gelu_at_all(body, parsed):
    outcome = FuseGelu().apply(parsed(body, "float[b, t] x", weights()))
    assert (outcome.matches, outcome.declined) == (0, ())
