import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.core.graph_facts import GraphFacts, InputFacts
from inferry.passes.graph_facts import file_facts, graph_facts


def model(nodes, inputs, *, initializers=(), functions=(), value_info=()):
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=initializers, value_info=value_info)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opsets, functions=functions))


def value(name, dims, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, dims)


def test_a_small_graph():
    weight = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], name="add")]
    inputs = [value("x", ["n", 3]), value("w", [3]), value("i", None, TensorProto.INT64), value("s", [None, 2])]
    facts = graph_facts(model(nodes, inputs, initializers=[weight]))
    assert facts == GraphFacts(
        inputs=(
            InputFacts("x", ("n", 3), "FLOAT"),
            InputFacts("i", None, "INT64"),
            InputFacts("s", (None, 2), "FLOAT"),
        ),
        outputs=("y",),
        nodes=frozenset({"add"}),
        opsets=frozenset({("", 17), ("local", 1)}),
        operators=frozenset({("", "Add")}),
    )
    assert [one.is_static for one in facts.inputs] == [False, False, False]
    assert InputFacts("fixed", (1, 2), "FLOAT").is_static


def test_subgraphs_and_functions_are_seen():
    then = helper.make_graph([helper.make_node("Exp", ["x"], ["a"])], "then", [], [value("a", ["n"])])
    other = helper.make_graph([helper.make_node("Log", ["x"], ["b"])], "else", [], [value("b", ["n"])])
    nodes = [
        helper.make_node("If", ["c"], ["z"], then_branch=then, else_branch=other),
        helper.make_node("Twice", ["z"], ["y"], domain="local"),
    ]
    twice = helper.make_function(
        "local", "Twice", ["p"], ["q"], [helper.make_node("Add", ["p", "p"], ["q"])], [helper.make_opsetid("", 18)]
    )
    inputs = [value("x", ["n"]), value("c", [], TensorProto.BOOL)]
    facts = graph_facts(model(nodes, inputs, functions=[twice]))
    assert {("", "If"), ("", "Exp"), ("", "Log"), ("", "Add"), ("local", "Twice")} == facts.operators
    assert {("", 17), ("", 18), ("local", 1)} <= facts.opsets


def test_a_domain_that_a_file_imports_twice(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [value("x", [1])], [value("y", [1])])
    for domain in ("", "ai.onnx"):
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 18)]
        onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "twice.onnx")
        facts = file_facts(tmp_path / "twice.onnx")
        assert facts.opsets == {("", 17), ("", 18)}
        command = parse_command(["--model=m.onnx", "--framework=5", "--output=m", "--soc_version=Ascend310P3"])
        assert [problem.code for problem in lint(command, facts, None)] == ["E16005"]


def test_the_facts_of_a_file_need_no_weights(tmp_path):
    weight = onnx.numpy_helper.from_array(np.zeros(3000, np.float32), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"], name="add")
    graph = helper.make_graph([node], "g", [value("x", ["n", 3000])], [value("y", None)], initializer=[weight])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "m.data").unlink()
    assert file_facts(tmp_path / "m.onnx").inputs == (InputFacts("x", ("n", 3000), "FLOAT"),)


def test_empty_tensors_are_named_and_constants_are_not():
    nodes = [
        helper.make_node("Constant", [], ["none"], value=onnx.numpy_helper.from_array(np.zeros(0, np.float32))),
        helper.make_node("Identity", ["x"], ["cut"]),
        helper.make_node("Concat", ["cut", "none"], ["y"], axis=0),
    ]
    facts = graph_facts(model(nodes, [value("x", [0])], value_info=[value("cut", [0]), value("none", [0])]))
    assert facts.empty == ("x", "cut")


BASE = ["--model=model.onnx", "--framework=5", "--output=m", "--soc_version=Ascend310P3"]
REAL = {
    "wav2vec2": [
        "--input_format=ND",
        "--input_shape=input_values:-1,-1;input_lengths:-1",
        "--dynamic_dims=1,16000,1;4,32000,4",
    ],
    "data2vec-audio": ["--input_shape=input_values:1~4,-1;input_lengths:1~4"],
    "deepspeech2": ["--input_shape=spectrogram:1,1,161,300;input_lengths:1"],
    "beit": ["--input_format=NCHW", "--input_shape=pixel_values:-1,3,48,48", "--dynamic_batch_size=1,8"],
    "vilbert-vqa": [
        "--input_shape=box_features:1,9,24;box_coordinates:1,9,4;box_mask:1,9;token_ids:1,16;mask:1,16;type_ids:1,16"
    ],
}


@pytest.fixture(scope="module")
def bundles(tiny_bundles, picture_bundle, question_bundle):
    return {**tiny_bundles, "beit": picture_bundle, "vilbert-vqa": question_bundle}


@pytest.mark.parametrize("family", REAL)
def test_graphs_of_the_families_meet_their_command_lines(bundles, family):
    facts = graph_facts(ir.load(bundles[family].model))
    assert lint(parse_command([*BASE, *REAL[family]]), facts, "Ascend310P3") == ()
    assert [problem.code for problem in lint(parse_command(BASE), facts, None)] == ["E10004"]
    wrong = [option.replace("--input_shape=", "--input_shape=x") for option in REAL[family]]
    (unknown, missing) = lint(parse_command([*BASE, *wrong]), facts, None)
    assert (unknown.code, unknown.fix, missing.code) == ("E10016", f"the nearest is {facts.inputs[0].name}", "E10004")
