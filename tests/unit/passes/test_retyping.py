"""Which operands must change together, and what it costs."""

import numpy as np
import onnx_ir as ir
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.retyping import Dtypes, casts_needed, components, parts_of, retype

WHOLE = Dtypes(ir.DataType.INT64, ir.DataType.INT32)


def model_of(body, inputs="int64[k] n, float[b, t] x", outputs="y", weights="int64[1] one = {1}"):
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => ({outputs}) <{weights}> {{ {body} }}'
    model = ir.from_proto(parser.parse_model(text))
    ShapeInferencePass()(model)
    return model


def parts(model):
    return [(part.node.op_type, part.inputs, part.outputs) for part in parts_of(model, WHOLE)]


def test_signatures_decide():
    """A Slice has two variables; Reshape's sizes and Shape's are always int64; a Cast changes on either side."""
    body = """s = Shape (x) a = Slice (s, one, n) r = Reshape (x, a) f = Cast <to = 1> (a) i = Cast <to = 7> (f)
        y = Where (c, i, n)"""
    assert parts(model_of(body, "int64[k] n, float[b, t] x, bool[k] c")) == [
        ("Slice", (0,), (0,)),
        ("Slice", (1, 2), ()),
        ("Cast", (0,), ()),
        ("Cast", (), (0,)),
        ("Where", (1, 2), (0,)),
    ]


def test_graphs_sequences_and_other_domains_have_no_parts():
    branches = "then_branch = t () => (p) { p = Neg (n) }, else_branch = e () => (q) { q = Identity (n) }"
    body = f"l = SequenceConstruct (n, n) m = SequenceAt (l, n) y = If (c) <{branches}> z = other.Add (n, n)"
    text = f'<ir_version: 8, opset_import: ["": 17, "other": 1]> g (int64[k] n, bool c) => (y, l, z) {{ {body} }}'
    model = ir.from_proto(parser.parse_model(text))
    ShapeInferencePass()(model)
    assert [kind for kind, *_ in parts(model)] == ["Neg", "Identity"]


def test_components_and_their_cost():
    """Two chains that only read the same input are two components; a constant costs nothing, an output a Cast."""
    model = model_of("a = Add (n, one) y = Mul (a, n) b = Neg (n) z = Abs (b)", outputs="y, z")
    found = components(parts_of(model, WHOLE))
    assert [sorted(part.node.op_type for part in one) for one in found] == [["Add", "Mul"], ["Abs", "Neg"]]
    assert [casts_needed(one) for one in found] == [2, 2]


def test_one_cast_serves_all_readers(same_answers):
    model = model_of(
        "a = Add (n, n) b = Mul (a, n) y = Identity (b) r = Reshape (x, b)", outputs="int64[k] y, float[p, q] r"
    )
    before = ir.to_proto(model)
    chosen = [part for part in parts_of(model, WHOLE) if part.node.op_type in {"Add", "Mul"}]
    assert casts_needed(chosen) == 2
    retype(model, chosen, WHOLE)
    assert [node.op_type for node in model.graph] == ["Cast", "Add", "Mul", "Cast", "Identity", "Reshape"]
    feeds = {"n": np.array([1, 2]), "x": np.ones((4, 4), np.float32)}
    assert same_answers(before, model, feeds) == 0
