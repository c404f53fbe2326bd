import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser

from inferry.passes.chain import Chain, operand
from inferry.passes.rewriting import Context


def model_of(opset=17):
    graph = "g (float[b, t] x) => (float[b, t] y) { y = Relu (x) y_Neg_1 = Abs (x) }"
    text = f'<ir_version: 7, opset_import: ["": {opset}]> {graph}'
    return ir.from_proto(parser.parse_model(text))


@pytest.mark.parametrize("opset", [12, 17])
def test_a_chain_stands_in_for_a_node(opset, same_answers):
    model = model_of(opset)
    before = ir.to_proto(model)
    node = model.graph[0]
    chain = Chain(node, Context(model))
    wide = chain.unsqueeze(chain.op("Relu", node.inputs[0]), 0, 3)
    zero = chain.constant(0, np.float32)
    first, _ = chain.outputs("Split", (chain.op("Concat", wide, wide, axis=0),), {"axis": 0}, 2)
    chain.replace({node.outputs[0]: chain.squeeze(chain.op("Add", first, zero), 0, 3)})
    kinds = ["Relu", "Unsqueeze", "Concat", "Split", "Add", "Squeeze", "Abs"]
    assert [one.op_type for one in model.graph] == kinds
    assert model.graph.outputs[0].name == "y"
    assert same_answers(before, model, {"x": np.array([[-1, 2, 3]], np.float32)}) == 0


def test_names_are_new():
    model = model_of()
    chain = Chain(model.graph[0], Context(model))
    made = chain.op("Neg", model.graph.inputs[0])
    assert made.name == "y_Neg_2"
    assert len({chain.constant(1).name, chain.constant(1).name, made.name}) == 3


def test_operands_that_are_left_out():
    node = ir.node("Clip", [ir.Value(name="x"), None])
    assert operand(node, 0) is node.inputs[0]
    assert operand(node, 1) is None
    assert operand(node, 2) is None
