"""Every direction, length and state of LSTM, GRU and RNN as forward layers, against ONNX Runtime's own."""

from dataclasses import replace
from itertools import product

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes.common import ShapeInferencePass

from inferry.checkpoints.deepspeech_table import deepspeech_table
from inferry.networks.deepspeech2 import build
from inferry.passes.forward_recurrences import ForwardRecurrences, misread

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
INPUTS, HIDDEN = 3, 5
DIRECTIONS = ("forward", "reverse", "bidirectional")
EXACT = {"LSTM": 0.0, "GRU": 0.0, "RNN": 3e-6}
"""An RNN as a GRU differs by the rounding of gates that are nearly open and shut."""


def layer(
    kind, direction="forward", *, lengths=True, states=False, bias=True, outputs=("y", "h"), opset=17, **attributes
):
    """A model of one layer; its inputs are x, lengths and the initial states h0 and c0."""
    random = np.random.default_rng(0)
    sides, rows = 1 + (direction == "bidirectional"), GATES[kind] * HIDDEN
    shapes = {"W": (sides, rows, INPUTS), "R": (sides, rows, HIDDEN), "B": (sides, 2 * rows)}
    weights = {name: (random.standard_normal(shape) / 2).astype(np.float32) for name, shape in shapes.items()}
    dims = {"x": ["t", "b", INPUTS], "h0": [sides, "b", HIDDEN], "c0": [sides, "b", HIDDEN]}
    given = ["x", *(["h0"] if states else []), *(["c0"] if states and kind == "LSTM" else [])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims[name]) for name in given]
    inputs += [helper.make_tensor_value_info("lengths", TensorProto.INT32, ["b"])] if lengths else []
    operands = ["x", "W", "R", "B" if bias else "", "lengths" if lengths else "", *given[1:]]
    attributes |= {"direction": direction, "hidden_size": HIDDEN}
    attributes |= {"linear_before_reset": 1} if kind == "GRU" and "linear_before_reset" not in attributes else {}
    made = [name if name in outputs else "" for name in ("y", "h", "c")[: 3 if kind == "LSTM" else 2]]
    node = helper.make_node(kind, operands, made, "layer", **attributes)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph([node], "g", inputs, infos, [numpy_helper.from_array(a, n) for n, a in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def applied(proto):
    model = ir.from_proto(proto)
    ShapeInferencePass()(model)
    return ForwardRecurrences().apply(model)


def feeds_of(proto, lengths):
    random = np.random.default_rng(len(lengths))
    sizes = {"t": max(*lengths, 4), "b": len(lengths)}
    feeds = {"lengths": np.array(lengths, np.int32)}
    for value in proto.graph.input:
        if value.name != "lengths":
            shape = [dim.dim_value or sizes[dim.dim_param] for dim in value.type.tensor_type.shape.dim]
            feeds[value.name] = random.standard_normal(shape).astype(np.float32)
    return {value.name: feeds[value.name] for value in proto.graph.input}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", GATES)
def test_all_forms(kind, direction, same_answers):
    for lengths, states, outputs in product((True, False), (True, False), (("y",), ("h",), ("y", "h"))):
        others = {"bias": outputs != ("h",), "opset": 17 if states else 12}
        proto = layer(kind, direction, lengths=lengths, states=states, outputs=outputs, **others)
        outcome = applied(proto)
        if kind != "RNN" and direction == "forward" and not lengths:
            assert (outcome.matches, outcome.declined) == (0, ())
            continue
        assert (outcome.matches, outcome.declined) == (1, ())
        layers = [node for node in outcome.model.graph if node.op_type in GATES]
        assert {node.op_type for node in layers} == {"GRU" if kind == "RNN" else kind}
        assert all("direction" not in node.attributes for node in layers)
        assert all(len(node.inputs) < 5 or node.inputs[4] is None for node in layers)
        for rows in ((6, 1, 4), (5,), (3, 0)):
            assert same_answers(proto, outcome.model, feeds_of(proto, rows)) <= EXACT[kind]


def test_a_cell_state_without_lengths(same_answers):
    proto = layer("LSTM", "bidirectional", lengths=False, states=True, outputs=("y", "h", "c"))
    outcome = applied(proto)
    assert outcome.matches == 1
    assert same_answers(proto, outcome.model, feeds_of(proto, (6, 6))) == 0


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (layer("LSTM", outputs=("y", "c")), "hands out each row's cell state, which"),
        (layer("LSTM", clip=1.0), "has clip, which the target does not read"),
        (layer("GRU", "reverse", layout=1), "has layout, which the target does not read"),
        (layer("RNN", activations=["Relu"]), "has activations, which the target does not read"),
        (layer("GRU", linear_before_reset=0), "resets before the product"),
        (layer("LSTM", opset=10), "would need ReverseSequence and Range of opset 11, the model has 10"),
    ],
)
def test_what_stays(proto, reason):
    outcome = applied(proto)
    assert outcome.matches == 0
    assert [one.reason.startswith(reason) for one in outcome.declined] == [True]
    assert [node.op_type for node in outcome.model.graph] == [proto.graph.node[0].op_type]


def test_default_activations_are_known_in_both_directions():
    activations = ["Sigmoid", "Tanh", "Tanh"]
    assert applied(layer("LSTM", "bidirectional", activations=activations * 2)).matches == 1
    assert applied(layer("LSTM", activations=activations)).matches == 1
    assert applied(layer("LSTM", activations=["Tanh", "Tanh", "Tanh"])).matches == 0


def test_computed_weights_stay():
    proto = layer("LSTM")
    proto.graph.input.append(helper.make_tensor_value_info("R", TensorProto.FLOAT, [1, 4 * HIDDEN, HIDDEN]))
    assert [one.reason for one in applied(proto).declined] == ["has a R that is not constant"]


def test_peepholes_are_misread():
    proto = layer("LSTM", states=True)
    proto.graph.node[0].input.append("p")
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3 * HIDDEN), np.float32), "p"))
    outcome = applied(proto)
    assert [one.reason for one in outcome.declined] == ["has peepholes, which the target does not read"]
    assert list(misread(outcome.model.graph[0])) == ["has peepholes, which the target does not read"]


def test_lengths_are_read_before_their_cast():
    proto = layer("LSTM", "reverse")
    proto.graph.input[1].CopyFrom(helper.make_tensor_value_info("long", TensorProto.INT64, ["b"]))
    proto.graph.node.insert(0, helper.make_node("Cast", ["long"], ["lengths"], to=TensorProto.INT32))
    made = applied(proto).model.graph
    assert [node.op_type for node in made].count("Cast") == 0
    assert {node.inputs[1].name for node in made if node.op_type == "ReverseSequence"} == {"long"}


def test_layers_in_half_precision_keep_it():
    proto = layer("LSTM")
    model = ir.from_proto(proto)
    for value in (*model.graph.initializers.values(), model.graph.inputs[0], *model.graph.outputs):
        value.dtype = ir.DataType.FLOAT16
        if value.const_value is not None:
            value.const_value = ir.Tensor(value.const_value.numpy().astype(np.float16), name=value.name)
    ShapeInferencePass()(model)
    made = ForwardRecurrences().apply(model).model
    ShapeInferencePass()(made)
    assert {value.dtype for node in made.graph if node.op_type in {"LSTM", "Where"} for value in node.outputs} == {
        ir.DataType.FLOAT16
    }


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_the_networks_of_deepspeech2(kind, bidirectional, tiny, tmp_path, same_answers):
    config = tiny.DEEPSPEECH | {"rnn_type": kind, "bidirectional": bidirectional, "hidden_layers": 3}
    config |= {} if bidirectional else {"lookahead_context": 4}
    tensors = tiny.tensors_of(deepspeech_table(config))
    model = build(replace(tiny.deepspeech_checkpoint(tmp_path / "x"), config=config, tensors=tensors)).model
    proto = ir.to_proto(model)
    ShapeInferencePass()(model)
    outcome = ForwardRecurrences().apply(model)
    assert (outcome.matches, outcome.declined) == (3, ())
    lengths = np.array([19, 7, 30, 1])
    random = np.random.default_rng(3)
    feeds = {"spectrogram": random.standard_normal((4, 1, 161, 34)).astype(np.float32), "input_lengths": lengths}
    assert same_answers(proto, outcome.model, feeds) <= 1e-5
