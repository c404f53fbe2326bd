"""Loops that become copies of their bodies, and those that cannot."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.unroll_loops import UnrollLoops

X = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
STEP = "body (int64 i, bool c, float[a, b] v) => (bool d, float[a, b] w) { d = Identity (c) w = Mul (v, v) }"


def proto_of(body, inputs="float[a, b] x", outputs="float[a, b] y", weights="int64 n = {3}", opset=17):
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) <{weights}> {{ {body} }}'
    )


def applied(proto):
    model = ir.from_proto(proto)
    ShapeInferencePass()(model)
    return UnrollLoops().apply(model)


def kinds(outcome):
    return [node.op_type for node in outcome.model.graph]


@pytest.mark.parametrize("opset", [12, 17])
def test_carried_and_collected_values(opset, same_answers):
    """The round's number is used, a weight of the body, one from outside, and the body collects."""
    body = """body (int64 i, bool c, float[a, b] v) => (bool d, float[a, b] w, float[a, b] k) <float[1] q = {5}> {
        d = Identity (c) f = Cast <to = 1> (i) g = Add (f, q) h = Mul (v, g) w = Add (h, x) k = Sub (w, v) }"""
    proto = proto_of(
        f"y, all = Loop <body = {body}> (n, , x)", outputs="float[a, b] y, float[n, a, b] all", opset=opset
    )
    outcome = applied(proto)
    assert (outcome.matches, outcome.declined) == (1, ())
    assert kinds(outcome) == [*["Cast", "Add", "Mul", "Add", "Sub", "Unsqueeze"] * 3, "Concat", "Identity"]
    assert same_answers(proto, outcome.model, X) == 0


def test_names_stay_unique(same_answers):
    """The names that copies would get are taken, inside a nested graph too."""
    branch = (
        "then_branch = t () => (float[a, b] p) { p = Relu (v) }, else_branch = e () => (float[a, b] q) { q = Neg (v) }"
    )
    body = f"""body (int64 i, bool c, float[a, b] v) => (bool d, float[a, b] w) {{
        d = Identity (c) s = ReduceSum <keepdims = 0> (v) z = Cast <to = 9> (s) w = If (z) <{branch}> }}"""
    proto = proto_of(f"a = Abs (x) u_w_1 = Neg (a) u = Loop <body = {body}> (n, , u_w_1) y = Add (u, a)")
    outcome = applied(proto)
    assert outcome.matches == 1
    names = [value.name for node in outcome.model.graph.all_nodes() for value in node.outputs]
    assert len(set(names)) == len(names)
    assert same_answers(proto, outcome.model, X) == 0


def test_inner_loops_first(same_answers):
    inner = """inner (int64 j, bool e, float[a, b] u) => (bool f, float[a, b] o) {
        f = Identity (e) g = Cast <to = 1> (i) o = Add (u, g) }"""
    body = f"body (int64 i, bool c, float[a, b] v) => (bool c, float[a, b] w) {{ w = Loop <body = {inner}> (n, t, v) }}"
    proto = proto_of(f"y = Loop <body = {body}> (n, t, x)", weights="int64 n = {3}, bool t = {1}")
    outcome = applied(proto)
    assert outcome.matches == 2
    assert "Loop" not in kinds(outcome)
    assert kinds(outcome).count("Add") == 9
    assert same_answers(proto, outcome.model, X) == 0


def test_a_loop_in_a_branch(same_answers):
    then = f"t () => (float[a, b] p) {{ p = Loop <body = {STEP}> (n, , x) }}"
    proto = proto_of(
        f"y = If (yes) <then_branch = {then}, else_branch = e () => (float[a, b] q) {{ q = Neg (x) }}>",
        inputs="float[a, b] x, bool yes",
    )
    outcome = applied(proto)
    assert outcome.matches == 1
    for yes in (True, False):
        assert same_answers(proto, outcome.model, X | {"yes": np.array(yes)}) == 0


def test_values_that_are_handed_on_and_swapped(same_answers):
    body = "body (int64 i, bool c, float[a, b] v, float[a, b] w) => (bool c, float[a, b] w, float[a, b] v) { }"
    proto = proto_of(f"z = Neg (x) y, p = Loop <body = {body}> (n, , x, z)", outputs="float[a, b] y, float[a, b] p")
    outcome = applied(proto)
    assert outcome.matches == 1
    assert same_answers(proto, outcome.model, X) == 0


def test_no_rounds(same_answers):
    proto = proto_of(f"y = Loop <body = {STEP}> (n, , x)", weights="int64 n = {0}")
    outcome = applied(proto)
    assert (outcome.matches, kinds(outcome)) == (1, ["Identity"])
    assert same_answers(proto, outcome.model, X) == 0


COLLECTS = "body (int64 i, bool c, float[a, b] v) => (bool c, float[a, b] w, float[a, b] k) { w = Neg (v) k = Abs (v) }"
ENDS = "body (int64 i, bool c, float[a, b] v) => (bool d, float[a, b] w) { d = Not (c) w = Neg (v) }"


@pytest.mark.parametrize(
    ("loop", "weights", "reason"),
    [
        (f"y = Loop <body = {STEP}> (m, , x)", "int64 n = {3}", "has a number of rounds that is not constant"),
        (f"y = Loop <body = {STEP}> ( , t, x)", "bool t = {1}", "has a number of rounds that is not constant"),
        (f"y = Loop <body = {STEP}> (n, go, x)", "int64 n = {3}", "may end early: its condition is computed"),
        (
            f"y = Loop <body = {STEP}> (n, t, x)",
            "int64 n = {3}, bool t = {0}",
            "may end early: its condition is computed",
        ),
        (f"y = Loop <body = {ENDS}> (n, , x)", "int64 n = {3}", "may end early: its condition is computed"),
        (f"y = Loop <body = {STEP}> (n, , x)", "int64 n = {65}", "would become 130 nodes in 65 rounds; at most"),
        (f"y, k = Loop <body = {COLLECTS}> (n, , x)", "int64 n = {0}", "never runs, and what it would collect"),
    ],
)
def test_what_stays(loop, weights, reason):
    outcome = applied(proto_of(loop, "float[a, b] x, int64 m, bool go", weights=weights))
    assert (outcome.matches, kinds(outcome)) == (0, ["Loop"])
    assert [one.reason.startswith(reason) for one in outcome.declined] == [True]


def test_an_inner_loop_that_stays_is_copied_with_its_round(same_answers):
    inner = "inner (int64 j, bool e, float[a, b] u) => (bool e, float[a, b] o) { g = Cast <to = 1> (i) o = Add (u, g) }"
    body = f"body (int64 i, bool c, float[a, b] v) => (bool c, float[a, b] w) {{ w = Loop <body = {inner}> (m, , v) }}"
    proto = proto_of(f"y = Loop <body = {body}> (n, , x)", "float[a, b] x, int64 m")
    outcome = applied(proto)
    assert (outcome.matches, kinds(outcome)) == (1, ["Loop", "Loop", "Loop", "Identity"])
    assert {one.reason for one in outcome.declined} == {"has a number of rounds that is not constant"}
    assert same_answers(proto, outcome.model, X | {"m": np.array(2)}) == 0
