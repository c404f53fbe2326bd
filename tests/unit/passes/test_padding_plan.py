import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.pad_sequence import PadSequence

RANDOM = np.random.default_rng(6)


def test_a_bias_that_something_else_reads_too_stays_for_it(attention):
    proto = attention.model(attention.block(bias="bias") + "z = ReduceSum (bias)", outputs="y, z")
    attention.require_same(proto, attention.padded(proto))


def test_one_operand_of_unknown_length_keeps_the_others_from_being_padded(attention):
    proto = attention.model(
        "h = Add (x, z)" + attention.block("h", bias="bias"), f"float[b, {attention.LENGTH}, 8] x, float[b, t, 8] z"
    )
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(attention.PADDED, attention.PADDED)]
    attention.require_same(proto, outcome, z=lambda dims: RANDOM.standard_normal((dims[0], attention.LENGTH, 8)))


AFTER = {
    "mean": "y = ReduceMean <axes = [1], keepdims = 0> (h)",
    "sum with its axis": "y = ReduceSum (h, a1)",
    "greatest of all": "y = ReduceMax <keepdims = 0> (h)",
    "place from the end": "y = Gather <axis = 1> (h, minus)",
    "places of a row": "y = Slice (h, s2, s8, a1)",
    "to the end": "y = Slice (h, s2, far, a1)",
    "from the end": "y = Slice (h, end, far, a1)",
    "another axis": "y = Slice (h, s2, s8, a2)",
    "softmax over places": "y = Softmax <axis = 1> (h)",
    "mixing of places": "y = MatMul (mixing, h)",
    "joined": "y = Concat <axis = 1> (h, x)",
    "joined beside": "y = Concat <axis = 2> (h, x)",
    "flat": "y = Flatten (h)",
    "rows": "r = Reshape (h, rows) y = MatMul (r, wq)",
    "padded more": "y = Pad (h, pads)",
    "spelled-out norm": """m = ReduceMean <axes = [-1]> (h) d = Sub (h, m) q = Mul (d, d)
        v = ReduceMean <axes = [2]> (q) r = Sqrt (v) y = Div (d, r)""",
    "unit vectors": "l = ReduceL2 <axes = [2]> (h) y = Div (h, l)",
    "places": "r = Shape (h) g = Gather (r, i1) y = Cast <to = 1> (g)",
    "transposed": "t = Transpose <perm = [1, 0, 2]> (h) u = Unsqueeze (t, zero) y = Squeeze (u, zero)",
    "parts": "p0, p1 = Split <axis = 2> (h) y = Mul (p1, p0)",
    "parts of the sequence": "p0, p1 = Split <axis = 1> (h) y = Mul (p1, p0)",
    "unknown": "y = CumSum (h, i1)",
    "first place": "f = Gather <axis = 1> (h, i0) y = MatMul (f, wq)",
    "where": "t = Greater (h, half) y = Where (t, h, positions)",
}


@pytest.mark.parametrize("way", AFTER)
def test_what_comes_after(way, attention):
    more = {"minus": np.array([-2]), "i1": np.array(1), "rows": np.array([-1, 8]), "pads": np.array([0, 0, 0, 0, 2, 0])}
    proto = attention.model(attention.block(bias="bias", out="h") + AFTER[way], **more)
    outcome = attention.padded(proto)
    assert attention.scores(outcome)[0] == (attention.PADDED, attention.PADDED)
    attention.require_same(proto, outcome)


def test_a_norm_whose_mean_is_used(attention):
    more = "n, z = LayerNormalization <axis = -1> (h, scale) y = Relu (n)"
    proto = attention.model(attention.block(bias="bias", out="h") + more, outputs="y, z")
    attention.require_same(proto, attention.padded(proto))


@pytest.mark.parametrize("axis", [1, 2])
def test_softmax_that_flattens(axis, attention):
    more = f"t = Transpose <perm = [0, 2, 1]> (h) y = Softmax <axis = {axis}> (t)"
    proto = attention.model(attention.block(bias="bias", out="h") + more, opset=11)
    attention.require_same(proto, attention.padded(proto))


def test_scores_that_something_else_reads_stay_copies(attention):
    proto = attention.model(attention.block(bias="bias") + "z = Softmax <axis = -1> (at_biased)", outputs="y, z")
    outcome = attention.padded(proto)
    assert attention.kinds(outcome, "Add") == (4,)
    attention.require_same(proto, outcome)


def test_a_constant_that_another_sequence_reads_does_not_pad_it(attention):
    body = "h = Add (x, positions)" + attention.block("h") + "z = Add (x2, positions)"
    proto = attention.model(body, f"float[b, {attention.LENGTH}, 8] x, float[b, {attention.LENGTH}, 8] x2", "y, z")
    outcome = attention.padded(proto)
    assert attention.kinds(outcome, "Gather", "Slice") == (1, 1)
    attention.require_same(proto, outcome)


def test_places_that_are_counted_from_the_start_need_no_cut(attention):
    proto = attention.model(
        attention.block(bias="bias", out="h") + AFTER["first place"] + " z = Slice (h, s2, s8, a1)", outputs="y, z"
    )
    assert attention.kinds(attention.padded(proto), "Slice") == (1,)


BEFORE = {
    "positions": "h = Add (x, positions)",
    "norm": "h = LayerNormalization <axis = -1> (x, scale)",
    "convolution": "t = Transpose <perm = [0, 2, 1]> (x) c = Conv (t, kernel) h = Transpose <perm = [0, 2, 1]> (c)",
    "class token": "s = Slice (x, first, nine, a1) c = Slice (x, first, a1, a1) h = Concat <axis = 1> (c, s)",
    "patches": """t = Transpose <perm = [0, 2, 1]> (x) r = Reshape (t, grid) f = Reshape (r, flat)
        h = Transpose <perm = [0, 2, 1]> (f)""",
    "a constant alone": "z = Mul (x, half) s = ReduceSum <keepdims = 1> (z, a1) h = Add (s, positions)",
}


@pytest.mark.parametrize("way", BEFORE)
def test_what_comes_before(way, attention):
    more = {"nine": np.array([9]), "kernel": RANDOM.random((8, 8, 1), np.float32)}
    more |= {"grid": np.array([0, 8, 2, 5]), "flat": np.array([0, 8, 10])}
    proto = attention.model(BEFORE[way] + attention.block("h", bias="bias"), **more)
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(attention.PADDED, attention.PADDED)]
    attention.require_same(proto, outcome)


USES = {
    "an output": ("", "y, at_weights"),
    "turned": ("t = Transpose <perm = [0, 1, 3, 2]> (at_weights) z = MatMul (t, at_vt)", "y, z"),
    "summed": ("z = Add (at_weights, bias)", "y, z"),
    "summed over the queries": ("z = ReduceSum (at_weights, a2)", "y, z"),
    "multiplied as values": ("z = MatMul (at_weights, at_weights)", "y, z"),
    "masked once more": ("r = Reciprocal (at_weights) z = Softmax <axis = -1> (r)", "y, z"),
    "logarithm": ("z = Log (at_weights)", "y, z"),
}


@pytest.mark.parametrize("use", USES)
def test_other_uses_of_the_weights(use, attention):
    more, outputs = USES[use]
    proto = attention.model(
        attention.block(out="h", p="first_") + attention.block("h", bias="bias") + more, outputs=outputs
    )
    outcome = attention.padded(proto)
    assert attention.scores(outcome)[:2] == [(attention.PADDED, attention.PADDED)] * 2
    attention.require_same(proto, outcome)


def test_weights_behind_a_cast_and_a_dropout(attention):
    body = attention.block(bias="bias").replace(
        "at_c = MatMul (at_weights", "cast = Cast <to = 1> (at_weights) dropped = Dropout (cast) at_c = MatMul (dropped"
    )
    proto = attention.model(body)
    outcome = attention.padded(proto)
    assert "dropped" in {value.name for node in outcome.model.graph for value in node.inputs}
    assert attention.kinds(outcome, "Gather", "Slice") == (1, 1)
    attention.require_same(proto, outcome)


RESHAPES = {
    "sizes in full": {"heads": [-1, 10, 2, 4], "merged": [-1, 10, 8]},
    "the length left open": {"heads": [0, -1, 2, 4], "merged": [0, -1, 8]},
}


@pytest.mark.parametrize("form", RESHAPES)
def test_reshapes(form, attention):
    proto = attention.model(
        attention.block(bias="bias"), **{name: np.array(shape) for name, shape in RESHAPES[form].items()}
    )
    outcome = attention.padded(proto)
    assert attention.kinds(outcome, "Gather", "Slice") == (1, 1)
    attention.require_same(proto, outcome)


def test_heads_as_part_of_the_batch(attention):
    body = """q = Reshape (x, split) qt = Transpose <perm = [0, 2, 1, 3]> (q) f = Reshape (qt, joined)
        k = Transpose <perm = [0, 2, 1]> (f) s = MatMul (f, k) weights = Softmax <axis = 2> (s) c = MatMul (weights, f)
        c4 = Reshape (c, parted) ct = Transpose <perm = [0, 2, 1, 3]> (c4) y = Reshape (ct, merged)"""
    proto = attention.model(
        body, split=np.array([0, 10, 2, 4]), joined=np.array([-1, 10, 4]), parted=np.array([-1, 2, 10, 4])
    )
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(attention.PADDED, attention.PADDED)]
    attention.require_same(proto, outcome)


def test_a_batch_as_long_as_the_sequence(attention):
    proto = attention.model(attention.block(bias="bias"), f"float[{attention.LENGTH}, {attention.LENGTH}, 8] x")
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(attention.PADDED, attention.PADDED)]
    attention.require_same(proto, outcome)


def test_padding_begins_where_the_fewest_tensors_are_copied(attention):
    body = "e = Mul (x, mask) f = Relu (e) g = Mul (f, mask) h = Add (g, x)" + attention.block("h", bias="bias")
    proto = attention.model(body, f"float[b, {attention.LENGTH}, 8] x, float[b, {attention.LENGTH}, 1] mask")
    outcome = attention.padded(proto)
    (copied,) = (node for node in outcome.model.graph if node.op_type == "Gather")
    assert copied.inputs[0].name == "h"
    attention.require_same(proto, outcome)


def test_where_too_many_cuts_would_be_needed_the_graph_stays(attention):
    mixed = "".join(f"m{i} = MatMul (mixing, h{i}) h{i + 1} = Add (h{i}, m{i}) " for i in range(5))
    proto = attention.model(attention.block(out="h0") + mixed + "y = Relu (h5)")
    loaded = ir.from_proto(proto)
    ShapeInferencePass()(loaded)
    before = ir.to_proto(loaded).SerializeToString()
    outcome = PadSequence().apply(loaded)
    assert outcome.matches == 0
    assert [(one.node, one.reason) for one in outcome.declined] == [
        ("the model", "would need 7 copies and cuts of its sequences for 1 attentions")
    ]
    assert ir.to_proto(outcome.model).SerializeToString() == before


def test_a_subgraph_reads_the_sequence_as_it_was(attention):
    value = helper.make_empty_tensor_value_info
    then = helper.make_graph([helper.make_node("ReduceMean", ["h"], ["inner"], axes=[1])], "then", [], [value("inner")])
    other = helper.make_graph([helper.make_node("ReduceMax", ["h"], ["outer"], axes=[1])], "else", [], [value("outer")])
    proto = attention.model(
        attention.block(bias="bias", out="h") + "s = ReduceSum <keepdims = 0> (h) p = Greater (s, half) y = Relu (h)"
    )
    proto.graph.node.append(helper.make_node("If", ["p"], ["z"], "if", then_branch=then, else_branch=other))
    proto.graph.output.append(value("z"))
    outcome = attention.padded(proto)
    assert outcome.matches == 1
    attention.require_same(proto, outcome)
