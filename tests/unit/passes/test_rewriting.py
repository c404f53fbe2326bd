import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser

from inferry.passes.rewriting import Context, DeclinedError, constant, dim, rewrite, same_axis, used_once

GRAPH = """<ir_version: 8, opset_import: ["": 17]> g (float[b, 4] x, float[4] w) => (float[b, 4] y, float[b, 4] z)
    <float[4] w = {1, 2, 3, 4}, float[4] v = {1, 2, 3, 4}> {
    c = Constant <value_ints = [1, 2]> ()
    z = Add (x, w)
    y = Add (z, v)
}"""


@pytest.fixture
def model():
    return ir.from_proto(parser.parse_model(GRAPH))


def test_only_what_always_holds_an_array_is_constant(model):
    first, middle, last = model.graph
    assert constant(first.outputs[0]).tolist() == [1, 2]
    assert constant(last.inputs[1]).tolist() == [1, 2, 3, 4]
    assert constant(middle.inputs[1]) is None  # an input with a default
    assert constant(middle.inputs[0]) is None
    assert constant(None) is None


def test_fresh_names_are_new_and_differ(model):
    context = Context(model)
    model.graph.inputs[0].name = "x"
    assert context.opset == 17
    assert [context.fresh("x"), context.fresh("x"), context.fresh(None)] == ["x_1", "x_2", "value_1"]


def test_sizes_and_axes(model):
    x = model.graph.inputs[0]
    assert (dim(x, 0), dim(x, 1), dim(x, -1), dim(x, 2)) == (None, 4, 4, None)
    assert same_axis(x, -1, 1)
    assert not same_axis(x, -1, 0)
    assert not same_axis(ir.Value(name="unknown"), 0, 1)
    with pytest.raises(DeclinedError, match="its rank is unknown"):
        same_axis(ir.Value(name="unknown"), 0, -1)


def test_an_output_is_not_used_once(model):
    assert not used_once(list(model.graph)[1].outputs[0])
    assert used_once(list(model.graph)[2].inputs[1])


def test_a_rule_that_declines_leaves_the_model_alone(model):
    def rule(node, _):
        if node.outputs[0].name == "y":
            raise DeclinedError("is the last one")
        return False

    outcome = rewrite(model, {"Add"}, rule)
    assert outcome.matches == 0
    assert [(one.node, one.reason) for one in outcome.declined] == [("y", "is the last one")]
    assert len(model.graph) == 3  # the unused Constant is clean-up's business


def test_what_a_rule_leaves_unused_goes(model):
    outcome = rewrite(model, {"Add"}, lambda *_: True)
    assert outcome.matches == 2
    assert [node.op_type for node in outcome.model.graph] == ["Add", "Add"]
    assert np.array_equal(outcome.model.graph.initializers["v"].const_value.numpy(), [1, 2, 3, 4])
