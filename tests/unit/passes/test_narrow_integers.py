"""Which integers become narrow, where the Casts stand, and what stays as it is."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.narrow_integers import NarrowIntegers

WEIGHTS = "int64[1] one = {1}, int64[1] two = {2}, int64 zero = {0}, int64 unit = {1}, int64[1] big = {4294967296}"


def proto_of(body, inputs="float[b, t] x", outputs="y", weights=WEIGHTS, opset=17):
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) <{weights}> {{ {body} }}'
    return parser.parse_model(text)


def applied(proto):
    model = ir.from_proto(proto)
    ShapeInferencePass()(model)
    return NarrowIntegers().apply(model)


def wide(outcome):
    """Operators that still make int64."""
    return [
        node.op_type
        for node in outcome.model.graph.all_nodes()
        if any(value.dtype == ir.DataType.INT64 for value in node.outputs)
    ]


def feeds(**arrays):
    return {"x": np.arange(12, dtype=np.float32).reshape(3, 4), **arrays}


MASK = """s = Shape (x) t = Gather (s, unit) p = Range (zero, t, unit) q = Mul (p, two) m = Sub (q, one)
    c = Less (m, p) y = Where (c, x, x)"""


def test_a_mask_from_sizes(same_answers):
    proto = proto_of(MASK)
    outcome = applied(proto)
    assert outcome.matches == 4
    assert outcome.declined == ()
    assert wide(outcome) == ["Shape"]
    assert [node.op_type for node in outcome.model.graph].count("Cast") == 1
    assert same_answers(proto, outcome.model, feeds()) == 0


def test_inputs_and_outputs_keep_their_dtype(same_answers):
    body = "i = Sub (n, one) h = Div (i, two) k = Add (h, one) y = Gather (x, k) r = Mul (k, two)"
    proto = proto_of(body, "float[b, t] x, int64[1] n", "y, int64[1] k, int64[1] r")
    outcome = applied(proto)
    assert outcome.matches == 4
    graph = outcome.model.graph
    assert [value.dtype for value in (graph.inputs[1], *graph.outputs[1:])] == [ir.DataType.INT64] * 3
    assert [value.name for value in graph.outputs] == ["y", "k", "r"]
    assert wide(outcome) == ["Cast", "Cast"]
    for number in (1, 2, 4):
        assert same_answers(proto, outcome.model, feeds(n=np.array([number]))) == 0


def test_negative_numbers_divide_alike(same_answers):
    body = (
        "p = Cast <to = 7> (a) q = Div (p, two) r = Mod (p, two) s = Add (q, r) e = Equal (s, p) y = Cast <to = 6> (e)"
    )
    proto = proto_of(body, "int8[k] a", "y")
    outcome = applied(proto)
    assert (outcome.matches, wide(outcome)) == (4, [])
    assert same_answers(proto, outcome.model, {"a": np.arange(-128, 128).astype(np.int8)}) == 0


@pytest.mark.parametrize(
    ("factor", "matches"), [(1 << 24, 2), ((1 << 24) + 1, 0), (-(1 << 24), 0), (-(1 << 24) + 1, 2)]
)
def test_up_to_the_last_number_of_32_bits(factor, matches, same_answers):
    body = "p = Cast <to = 7> (a) m = Mul (p, k) c = Equal (m, p) y = Cast <to = 6> (c)"
    proto = proto_of(body, "int8[n] a", weights=f"int64 k = {{{factor}}}")
    outcome = applied(proto)
    assert outcome.matches == matches
    assert same_answers(proto, outcome.model, {"a": np.arange(-128, 128).astype(np.int8)}) == 0


def test_a_shared_constant_stays_wide_where_it_must(same_answers):
    """A Reshape reads in int64 what the arithmetic beside it reads in int32."""
    body = """p = Cast <to = 7> (a) q = Mul (p, pair) r = Add (q, pair) f = Cast <to = 1> (r)
        z = Reshape (x, pair) y = MatMul (z, f)"""
    proto = proto_of(body, "int8[2] a, float[b, t] x", weights="int64[2] pair = {-1, 2}")
    outcome = applied(proto)
    assert (outcome.matches, wide(outcome)) == (2, [])
    reshape = next(node for node in outcome.model.graph if node.op_type == "Reshape")
    assert reshape.inputs[1].dtype == ir.DataType.INT64
    assert same_answers(proto, outcome.model, feeds(a=np.array([3, -5], np.int8))) == 0


def test_values_of_a_subgraph(same_answers):
    then = "t () => (int64[k] p) { u = Mul (w, two) v = Add (u, one) p = Sub (v, two) }"
    body = (
        f"w = Cast <to = 7> (a) y = If (c) <then_branch = {then}, else_branch = e () => (int64[k] q) {{ q = Neg (w) }}>"
    )
    proto = proto_of(body, "int8[k] a, bool c", "int64[k] y")
    outcome = applied(proto)
    assert outcome.matches == 4
    for c in (True, False):
        assert same_answers(proto, outcome.model, {"a": np.arange(5).astype(np.int8), "c": np.array(c)}) == 0


UNCHANGED = {
    "y = Add (n, one)": ["is int64 and its range is unknown"],
    "m = Add (n, one) k = Mul (m, two) y = Sub (k, one)": ["is int64 and its range is unknown"],
    "s = Shape (x) a = Mul (s, s) b = Mul (a, one) y = Add (b, a)": ["may hold numbers beyond 32 bits"],
    "s = Shape (x) a = Less (s, big) y = Cast <to = 6> (a)": ["may hold numbers beyond 32 bits"],
    "s = Shape (x) a = Gather (s, one) b = Concat <axis = 0> (a, one) y = Reshape (x, b)": [],
    "s = Shape (x) a = Add (s, one) y = ConstantOfShape (a)": [
        "belongs to a computation that would need more Casts than it has operations"
    ],
    "s = Shape (x) y = Tile (x, s)": [],
}


@pytest.mark.parametrize("body", UNCHANGED)
def test_what_stays(body):
    proto = proto_of(body, "float[b, t] x, int64[k] n")
    outcome = applied(proto)
    assert outcome.matches == 0
    assert list(dict.fromkeys(one.reason for one in outcome.declined)) == UNCHANGED[body]
    assert [node.op_type for node in outcome.model.graph] == [node.op_type for node in proto.graph.node]


@pytest.mark.parametrize(
    "limit",
    [
        "s = Shape (x) g = Gather (s, one) n = Squeeze (g, first)",
        "s = Shape <start = 1> (x) d = Add (s, one) e = Sub (d, one) n = Squeeze (e, first)",
    ],
)
def test_a_range_to_a_fixed_size(limit, same_answers):
    """ONNX Runtime refuses one in int32: ONNX's inference hands it the size as int64, and sees two types."""
    body = f"{limit} p = Range (zero, n, unit) q = Mul (p, two) r = Add (q, p) c = Less (p, r) y = Where (c, x, x)"
    for inputs, declined in (("float[3, 4] x", 1), ("float[b, t] x", 0)):
        proto = proto_of(body, inputs, weights=f"{WEIGHTS}, int64[1] first = {{0}}")
        outcome = applied(proto)
        assert [one.reason.startswith("counts to a fixed size") for one in outcome.declined] == [True] * declined
        assert outcome.matches >= 3
        assert same_answers(proto, outcome.model, feeds()) == 0


def test_the_cause_is_named_once():
    """Not what is made of it."""
    proto = proto_of("m = Add (n, one) k = Mul (m, two) y = Sub (k, n)", "int64[k] n")
    assert [one.node for one in applied(proto).declined] == ["n"]


def test_a_default_input_may_change(same_answers):
    proto = proto_of(
        "p = Add (w, one) q = Mul (p, two) y = Sub (q, one)", "int64[1] w", weights=f"{WEIGHTS}, int64[1] w = {{1}}"
    )
    outcome = applied(proto)
    assert (outcome.matches, [one.node for one in outcome.declined]) == (0, ["w"])
    assert same_answers(proto, outcome.model, {"w": np.array([2**40])}) == 0
