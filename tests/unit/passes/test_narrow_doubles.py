"""Which doubles become floats, and which numbers need more."""

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.narrow_doubles import NarrowDoubles

WEIGHTS = {"half": 0.5, "tenth": [0.1, 0.2], "huge": 1e39, "stamp": 1.6e9 + 1, "infinite": -np.inf, "power": 2.0**40}
WEIGHTS |= {
    "lowest": float(np.finfo(np.float32).min),
    "one": 1.0,
    "two": 2.0,
    "eps": 1e-5,
    "dust": 1e-300,
    "tiny": 1e-3,
    "loud": 2.0**70,
}


def proto_of(body, inputs="float[n] x", outputs="y"):
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => ({outputs}) {{ {body} }}')
    used = set(re.findall(r"\w+", body))
    arrays = {name: np.asarray(value, np.float64) for name, value in WEIGHTS.items() if name in used}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return proto


def applied(proto):
    model = ir.from_proto(proto)
    ShapeInferencePass()(model)
    return NarrowDoubles().apply(model)


def doubles(outcome):
    nodes = outcome.model.graph.all_nodes()
    return [node.op_type for node in nodes if any(value.dtype == ir.DataType.DOUBLE for value in node.outputs)]


X = {"x": np.array([-3.5, 0.25], np.float32)}
NARROWED = {
    "between floats": ("d = Cast <to = 11> (x) m = Mul (d, half) a = Add (m, tenth) y = Cast <to = 1> (a)", "y", []),
    "to an output": ("d = Cast <to = 11> (x) y = Mul (d, half)", "y", ["Cast"]),
    "an output that is read": ("d = Cast <to = 11> (x) m = Mul (d, half) y = Neg (m)", "m, y", ["Cast", "Cast"]),
    "infinities": ("d = Cast <to = 11> (x) m = Max (d, infinite) y = Cast <to = 1> (m)", "y", []),
    "exact powers": ("d = Cast <to = 11> (x) m = Div (d, power) y = Cast <to = 1> (m)", "y", []),
    "filled": (
        """s = Shape (x) c = ConstantOfShape <value = double[1] {0.5}> (s) d = Cast <to = 11> (x) m = Mul (c, d)
        y = Cast <to = 1> (m)""",
        "y",
        [],
    ),
    "a mask": (
        """c = Less (x, x) b = Cast <to = 11> (c) i = Sub (one, b) m = Mul (i, lowest) d = Cast <to = 11> (x)
        a = Add (d, m) y = Cast <to = 1> (a)""",
        "y",
        [],
    ),
    "bounded before it is squared": (
        """d = Cast <to = 11> (x) t = Tanh (d) m = Mul (t, t) a = Add (m, eps) r = Sqrt (a) n = Div (t, r)
        y = Cast <to = 1> (n)""",
        "y",
        [],
    ),
    "a mean": ("d = Cast <to = 11> (x) m = ReduceMean <axes = [0]> (d) s = Sub (d, m) y = Cast <to = 1> (s)", "y", []),
    "clipped before it is raised": (
        "d = Cast <to = 11> (x) k = Clip (d, tiny, two) p = Pow (k, two) l = Log (p) y = Cast <to = 1> (l)",
        "y",
        [],
    ),
    "sizes": ("s = Shape (x) d = Cast <to = 11> (s) m = Mul (d, half) y = Cast <to = 1> (m)", "y", []),
}


@pytest.mark.parametrize("name", NARROWED)
def test_what_becomes_narrow(name, same_answers):
    body, outputs, wide = NARROWED[name]
    proto = proto_of(body, outputs=outputs)
    outcome = applied(proto)
    assert outcome.declined == ()
    assert outcome.matches > 0
    assert doubles(outcome) == wide
    assert same_answers(proto, outcome.model, X) <= 1e-6


def test_inputs_keep_their_dtype(same_answers):
    proto = proto_of("m = Mul (w, half) y = Cast <to = 1> (m)", "double[n] w")
    outcome = applied(proto)
    assert (outcome.matches, doubles(outcome)) == (2, [])
    assert outcome.model.graph.inputs[0].dtype == ir.DataType.DOUBLE
    assert same_answers(proto, outcome.model, {"w": np.array([1.5, -2.25])}) == 0


def test_in_a_branch(same_answers):
    branches = (
        "then_branch = t () => (double[n] p) { p = Mul (d, half) }, else_branch = e () => (double[n] q) { q = Neg (d) }"
    )
    proto = proto_of(f"d = Cast <to = 11> (x) r = If (c) <{branches}> y = Cast <to = 1> (r)", "float[n] x, bool c")
    outcome = applied(proto)
    assert outcome.matches == 4
    onnx.checker.check_model(ir.to_proto(outcome.model), full_check=True)
    for c in (True, False):
        assert same_answers(proto, outcome.model, X | {"c": np.array(c)}) == 0


@pytest.mark.parametrize(("factor", "matches"), [(1 << 17, 3), ((1 << 17) + 1, 0)])
def test_whole_numbers_up_to_the_last_that_float32_counts(factor, matches, same_answers):
    body = f"""k = Constant <value_int = {factor}> () p = Cast <to = 7> (a) m = Mul (p, k)
        d = Cast <to = 11> (m) h = Mul (d, half) y = Cast <to = 1> (h)"""
    proto = proto_of(body, "int8[n] a")
    outcome = applied(proto)
    assert outcome.matches == matches
    assert same_answers(proto, outcome.model, {"a": np.arange(-128, 128).astype(np.int8)}) == 0


STAYING = {
    "d = Cast <to = 11> (x) m = Mul (d, huge) y = Cast <to = 1> (m)": "computes with huge, which exceeds float32",
    "f = ConstantOfShape <value = double[1] {1e39}> (n) y = Mul (f, w)": "computes with f, which exceeds float32",
    "m = Sub (w, stamp) y = Cast <to = 1> (m)": "computes with stamp, whole numbers beyond 2^24",
    "d = Cast <to = 11> (n) y = Mul (d, half)": "computes with n, whole numbers that may exceed 2^24",
    "m = Mul (w, half) y = Cast <to = 7> (m)": "ends in y, whole numbers that a rounding would change",
}


UNBOUNDED = {
    "m = Mul (d, d) e = Sqrt (m)": "Mul",
    "m = Pow (d, two) e = Sqrt (m)": "Pow",
    "m = Exp (d) e = Log (m)": "Exp",
    "m = Mul (d, loud) e = Div (m, loud)": "Mul",
    "a = Abs (d) m = Add (a, dust) e = Div (one, m)": "Div",
    "t = Tanh (d) m = Mul (t, t) e = Sqrt (m)": "Sqrt",
    "s = Sigmoid (d) e = Log (s)": "Log",
    "s = Sub (d, tiny) e = Div (one, s)": "Div",
    "s = ReduceMean (d) e = Log (s)": "Log",
    "m = ReduceSumSquare (d) e = Sqrt (m)": "ReduceSumSquare",
}


@pytest.mark.parametrize("body", UNBOUNDED)
def test_numbers_that_may_leave_the_range_stay_double(body):
    outcome = applied(proto_of(f"d = Cast <to = 11> (x) {body} y = Cast <to = 1> (e)"))
    (declined,) = outcome.declined
    assert declined.reason.startswith("may leave float32's range: ")
    assert declined.reason.endswith(f" is a {UNBOUNDED[body]} of numbers of unknown size")
    assert {"Cast", UNBOUNDED[body]} <= set(doubles(outcome))


@pytest.mark.parametrize("size", [1e30, 1e-30])
@pytest.mark.parametrize("body", ["m = Mul (d, d) e = Sqrt (m)", "m = Div (one, d) e = Div (one, m)"])
def test_answers_are_the_same_for_great_and_small_numbers(body, size, same_answers):
    proto = proto_of(f"d = Cast <to = 11> (x) {body} y = Cast <to = 1> (e)")
    outcome = applied(proto)
    assert same_answers(proto, outcome.model, {"x": np.array([size], np.float32)}) <= 1e-6 * size


def test_what_another_graph_makes_is_of_unknown_size():
    branches = (
        "then_branch = t () => (double[n] p) { p = Mul (d, huge) }, else_branch = e () => (double[n] q) { q = Neg (d) }"
    )
    body = f"d = Cast <to = 11> (x) r = If (c) <{branches}> o = Mul (r, half) y = Cast <to = 1> (o)"
    reasons = {one.reason for one in applied(proto_of(body, "float[n] x, bool c")).declined}
    assert reasons == {
        "computes with huge, which exceeds float32",
        "may leave float32's range: o is a Mul of numbers of unknown size",
    }


@pytest.mark.parametrize("body", STAYING)
def test_what_stays(body):
    proto = proto_of(body, "float[k] x, double[k] w, int64[k] n")
    outcome = applied(proto)
    assert outcome.matches == 0
    assert [one.reason for one in outcome.declined] == [STAYING[body]]
    assert [node.op_type for node in outcome.model.graph] == [node.op_type for node in proto.graph.node]


def test_one_part_may_change_beside_another_that_may_not(same_answers):
    body = """d = Cast <to = 11> (x) m = Mul (d, half) y = Cast <to = 1> (m)
        e = Cast <to = 11> (x) o = Mul (e, huge) p = Div (o, huge) z = Cast <to = 1> (p)"""
    proto = proto_of(body, outputs="y, z")
    outcome = applied(proto)
    assert (outcome.matches, len(outcome.declined)) == (3, 1)
    assert same_answers(proto, outcome.model, X) == 0
