import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from inferry.pipeline.export import export
from inferry.pipeline.optimize import optimize

RANDOM = np.random.default_rng(6)


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
def test_one_copy_one_cut_and_the_bias_takes_the_mask(opset, attention):
    proto = attention.model(attention.block(bias="bias"), opset=opset)
    outcome = attention.padded(proto)
    assert (outcome.matches, outcome.declined) == (1, ())
    assert attention.scores(outcome) == [(attention.PADDED, attention.PADDED)]
    assert attention.kinds(outcome, "Gather", "Slice") == (1, 1)
    assert len(outcome.model.graph) == len(proto.graph.node) + 2
    attention.require_same(proto, outcome)


def test_without_a_bias_the_mask_is_added(attention):
    proto = attention.model(attention.block())
    outcome = attention.padded(proto)
    assert len(outcome.model.graph) == len(proto.graph.node) + 3
    attention.require_same(proto, outcome)


def test_weights_of_padded_keys_are_zero_and_padded_queries_repeat_the_last(attention):
    outcome = attention.padded(attention.model(attention.block(bias="bias")))
    proto = ir.to_proto(outcome.model)
    proto.graph.output.append(helper.make_empty_tensor_value_info("at_weights"))
    x = 100 * RANDOM.standard_normal((2, attention.LENGTH, attention.WIDTH)).astype(np.float32)
    _, found = attention.run(proto, {"x": x})
    assert found.shape == (2, attention.HEADS, attention.PADDED, attention.PADDED)
    assert not found[..., attention.LENGTH :].any()
    np.testing.assert_array_equal(
        found[:, :, attention.LENGTH :],
        np.repeat(found[:, :, [attention.LENGTH - 1]], attention.PADDED - attention.LENGTH, axis=2),
    )


def test_several_blocks_are_padded_once(attention):
    proto = attention.model(attention.block(bias="bias", out="h", p="a") + attention.block("h", bias="bias", p="b"))
    outcome = attention.padded(proto)
    assert (outcome.matches, attention.scores(outcome)) == (2, [(attention.PADDED, attention.PADDED)] * 2)
    assert attention.kinds(outcome, "Gather", "Slice") == (1, 1)
    # The bias that both share is padded once, for both.
    assert (
        len([one for one in outcome.model.graph.initializers.values() if one.shape == [1, attention.HEADS, 16, 16]])
        == 1
    )
    attention.require_same(proto, outcome)


def test_sequences_of_two_lengths(attention):
    body = attention.block(bias="bias", out="y", p="a") + attention.block("z", "u", p="b")
    proto = attention.model(body, "float[b, 10, 8] x, float[b, 21, 8] z", "y, u")
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(16, 16), (32, 32)]
    attention.require_same(proto, outcome)


@pytest.mark.parametrize(("queries", "keys", "expected"), [(10, 21, (16, 32)), (1, 21, (1, 32)), (16, 3, (16, 16))])
def test_attention_to_something_else(queries, keys, expected, attention):
    body = attention.block(memory="z", out="y")
    proto = attention.model(body, f"float[b, {queries}, 8] x, float[b, {keys}, 8] z")
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [expected]
    attention.require_same(proto, outcome)


@pytest.mark.parametrize("length", [16, 32, 208])
def test_a_multiple_needs_nothing(length, attention):
    proto = attention.model(attention.block(), f"float[b, {length}, 8] x")
    outcome = attention.padded(proto)
    assert (outcome.matches, outcome.declined, len(outcome.model.graph)) == (0, (), len(proto.graph.node))


@pytest.mark.parametrize("length", [2, 15, 17, 47, 197])
def test_other_lengths(length, attention):
    proto = attention.model(attention.block(bias="bias"), f"float[b, {length}, 8] x", **attention.weights(length))
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(-(-length // 16) * 16,) * 2]
    attention.require_same(proto, outcome)


def test_a_dynamic_length_is_declined(attention):
    outcome = attention.padded(attention.model(attention.block(p="attn_"), "float[b, t, 8] x"))
    assert outcome.matches == 0
    ((node, reason),) = [(one.node, one.reason) for one in outcome.declined]
    assert node == "attn_weights"
    assert reason == "has scores [b,2,t,t]: places without a fixed number (see fix-shapes)"


def test_made_up_names_of_dimensions_are_not_repeated(attention):
    outcome = attention.padded(attention.model(attention.block(p="attn_"), "float[unk__7, t, 8] x"))
    (declined,) = outcome.declined
    assert declined.reason.startswith("has scores [?,2,t,t]: places")


def test_a_classifier_is_no_attention(attention):
    outcome = attention.padded(attention.model("a = MatMul (x, wq) b = Add (a, scale) y = Softmax <axis = -1> (b)"))
    assert (outcome.matches, outcome.declined) == (0, ())


MASKS = {
    "computed": "column = Unsqueeze (mask, a12) at_masked = Where (column, at_biased, low)",
    "added": """f = Cast <to = 1> (mask) g = Sub (one, f) l = Mul (g, low) u = Unsqueeze (l, a12)
        at_masked = Add (at_biased, u)""",
    "infinite": "column = Unsqueeze (mask, a12) at_masked = Where (column, at_biased, infinite)",
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_that_are_computed(kind, attention):
    proto = attention.model(
        attention.block(bias="bias", masked=MASKS[kind]),
        f"float[b, {attention.LENGTH}, 8] x, bool[b, {attention.LENGTH}] mask",
        a12=np.array([1, 2]),
        low=np.float32(-30000),
        infinite=np.float32(-np.inf),
        one=np.float32(1),
    )
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(attention.PADDED, attention.PADDED)]
    for last in (True, False):

        def mask(dims, last=last):
            drawn = RANDOM.random(dims) < 0.5
            drawn[:, 0], drawn[:, -1] = True, last
            return drawn

        attention.require_same(proto, outcome, mask=mask)


def test_a_row_that_is_masked_as_a_whole(attention):
    proto = attention.model(
        attention.block(masked=MASKS["computed"]),
        f"float[b, {attention.LENGTH}, 8] x, bool[b, {attention.LENGTH}] mask",
        a12=np.array([1, 2]),
        low=np.float32(-30000),
    )
    attention.require_same(proto, attention.padded(proto), mask=np.zeros)


@pytest.mark.parametrize("low", [-np.inf, np.finfo(np.float32).min, -1e9, -65504])
def test_a_constant_mask_in_the_bias(low, attention):
    bias = np.triu(np.full((attention.LENGTH, attention.LENGTH), low, np.float32), 1)
    proto = attention.model(attention.block(bias="bias"), bias=bias)
    outcome = attention.padded(proto)
    assert attention.kinds(outcome, "Add") == (3,)  # the mask has its own, for here it could be lost in rounding
    attention.require_same(proto, outcome)


def test_half_precision(attention):
    text = attention.block(bias="bias")
    proto = attention.model(text, f"float16[b, {attention.LENGTH}, 8] x")
    for one in proto.graph.initializer:
        if one.data_type == onnx.TensorProto.FLOAT:
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one).astype(np.float16), one.name))
    outcome = attention.padded(proto)
    assert attention.scores(outcome) == [(attention.PADDED, attention.PADDED)]
    attention.require_same(proto, outcome, part=2e-3)


def test_attention_in_a_subgraph_is_declined(attention):
    body = attention.model(attention.block(out="inner")).graph
    then = helper.make_graph(body.node, "then", [], [helper.make_empty_tensor_value_info("inner")])
    other = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["n"])], "else", [], [helper.make_empty_tensor_value_info("n")]
    )
    proto = attention.model("s = ReduceSum <keepdims = 0> (x) p = Greater (s, half)")
    known = {one.name for one in proto.graph.initializer}
    proto.graph.initializer.extend(one for one in body.initializer if one.name not in known)
    proto.graph.node.append(helper.make_node("If", ["p"], ["y"], "if", then_branch=then, else_branch=other))
    outcome = attention.padded(proto)
    assert [one.reason for one in outcome.declined] == ["lies in a subgraph"]


def test_names_that_are_taken_and_outputs_that_are_read(attention):
    body = attention.block(bias="bias", out="y") + "y_1 = Relu (y) y_Slice_1 = Neg (y) x_Gather_1 = Abs (y)"
    proto = attention.model(body, outputs="y, y_1, y_Slice_1, x_Gather_1, y")
    outcome = attention.padded(proto)
    assert [one.name for one in outcome.model.graph.outputs] == ["y", "y_1", "y_Slice_1", "x_Gather_1", "y"]
    attention.require_same(proto, outcome)


def test_a_second_time_there_is_nothing_to_do(attention):
    outcome = attention.padded(attention.model(attention.block(bias="bias")))
    again = attention.padded(ir.to_proto(outcome.model))
    assert (again.matches, again.declined) == (0, ())


def attention_sizes(file):
    """Numbers of queries and keys of each attention, as they are inferred anew."""
    loaded = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load(file), strict_mode=True))
    softmaxes = [node for node in loaded.graph if node.op_type == "Softmax" and len(node.outputs[0].shape) == 4]
    return [tuple(node.outputs[0].shape[-2:]) for node in softmaxes]


def test_pictures(picture_bundle, tmp_path, attention):
    ledger = optimize(picture_bundle.model, tmp_path / "done.onnx", ["pad-sequence"])
    (entry,) = ledger.entries
    assert (entry.result, entry.matches, entry.declined) == ("kept", 2, ())
    assert entry.nodes_after == entry.nodes_before + 1  # the copy; the mean of the patches counts from the start
    assert attention_sizes(tmp_path / "done.onnx") == [(16, 16)] * 2


def test_questions(question_bundle, tmp_path, attention):
    given = {"batch": 2, "boxes": 21, "tokens": 10}
    ledger = optimize(question_bundle.model, tmp_path / "done.onnx", ["fold-constants", "pad-sequence"], sizes=given)
    entry = ledger.entries[-1]
    assert (entry.result, entry.matches, entry.declined) == ("kept", 8, ())
    found = set(attention_sizes(tmp_path / "done.onnx"))
    assert found == {(1, 16), (1, 32), (16, 16), (16, 32), (32, 16), (32, 32)}


def test_speech(tiny_bundles, tmp_path, attention):
    for family in ("wav2vec2", "data2vec-audio"):
        passes = ["fold-constants", "conv1d-to-conv2d", "pad-sequence"]
        given = {"batch": 2, "samples": 1600}
        ledger = optimize(tiny_bundles[family].model, tmp_path / "done.onnx", passes, sizes=given)
        assert (ledger.entries[-1].result, ledger.entries[-1].matches) == ("kept", 2)
        assert attention_sizes(tmp_path / "done.onnx") == [(32, 32)] * 2


def test_the_original_beit_has_208_places(shared, tmp_path, attention):
    bundle = export("beit", shared / "golden" / "beit" / "beit_model.pth", tmp_path / "bundle", reference=False)
    ledger = optimize(bundle.model, tmp_path / "done.onnx", ["pad-sequence"])
    assert [one.result for one in ledger.entries] == ["kept"]
    assert attention_sizes(bundle.model) == [(197, 197)] * 3
    assert attention_sizes(tmp_path / "done.onnx") == [(208, 208)] * 3
