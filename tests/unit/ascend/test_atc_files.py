import json
from dataclasses import replace

import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.core.graph_facts import GraphFacts, InputFacts

BASE = ["--model=m.onnx", "--framework=5", "--output=m"]


def linted(folder, option, text, *more, soc="Ascend310P3"):
    (folder / "file.cfg").write_text(text, encoding="utf-8")
    command = parse_command([*BASE, f"--soc_version={soc}", f"--{option}=file.cfg", *more])
    return [problem.code for problem in lint(command, None, None, folder=folder)]


MIXED = "--precision_mode=allow_mix_precision"
FILES = [
    ("op_precision_mode", "[ByOpType]\nGelu=fast", "[ByOpType]\nGelu=high_precision\n[ByNodeName]\n/a/Add=keep_fp16"),
    ("op_precision_mode", "[Types]\nGelu=high_precision", "[ByNodeName]\nGelu=high_performance"),
    ("op_precision_mode", "Gelu=high_precision", "[ByOpType]\nGelu=super_performance"),
    ("op_precision_mode", "[ByOpType]\nAdd=enable_float_32_execution", "[ByOpType]\nAdd=support_out_of_bound_index"),
    ("modify_mixlist", "black", '{"black-list": {"to-add": ["Softmax"], "to-remove": []}}'),
    ("modify_mixlist", '{"black": {"to-add": []}}', '{"white-list": {"to-add": ["MatMul"]}}'),
    ("modify_mixlist", '{"black-list": {"add": []}}', '{"black-list": {"to-add": []}}'),
    ("modify_mixlist", '{"black-list": {"to-add": "Softmax"}}', '{"black-list": {"to-remove": ["Softmax"]}}'),
    (
        "modify_mixlist",
        '{"black-list": {"to-add": ["Add", "Mul"]}, "white-list": {"to-add": ["Mul"]}}',
        '{"black-list": {"to-add": ["Add"]}, "white-list": {"to-add": ["Mul"], "to-remove": ["Add"]}}',
    ),
    ("op_precision_mode", "[ByOpType]\nAdd=enable_hi_float_32_execution", "[ByOpType]\nAdd=keep_fp16"),
    ("customize_dtypes", "a::InputDtype:half,OutputDtype:float", "a::InputDtype:bfloat16,OutputDtype:"),
    ("customize_dtypes", "OpType::Add:InputDtype:float,OutputDtype:fp16", "a::InputDtype:int8,OutputDtype:uint8"),
    ("modify_mixlist", "[]", '{"black-list": {}}'),
    ("keep_dtype", "a b", "/encoder/Add\nOpType::Softmax\n"),
    ("customize_dtypes", "a:float16", "a::InputDtype:float16,float,OutputDtype:float"),
    ("customize_dtypes", "a::InputDtype:float16", "OpType::Add:InputDtype:float16,OutputDtype:float16"),
    ("fusion_switch_file", "PassA:no", "PassA:off\nPassB:on"),
    ("fusion_switch_file", '{"Switch": {"Graph": {}}}', '{"Switch": {"GraphFusion": {"ALL": "off", "A": "on"}}}'),
    ("fusion_switch_file", '{"Switch": {"UBFusion": {"ALL": "no"}}}', '{"Switch": {"UBFusion": {"ALL": "off"}}}'),
    ("fusion_switch_file", '{"Switch": ', '{"Switch": {}}'),
    ("compression_optimize_conf", "enable_first_layer_quantization:yes", "enable_first_layer_quantization : true"),
    ("compression_optimize_conf", "enable_last_layer:true", ""),
    (
        "compression_optimize_conf",
        "calibration:{\n  input_dir: ./a.bin\n}",
        "calibration:\n{\n  input_data_dir: ./a.bin,b.bin\n  input_shape: in:16,16;in1:16,16\n  log: info\n}",
    ),
    ("compression_optimize_conf", "calibration:{ log: }", "calibration: { log: info }"),
]


@pytest.mark.parametrize(("option", "broken", "whole"), FILES)
def test_contents(tmp_path, option, broken, whole):
    assert linted(tmp_path, option, broken, MIXED) == ["E10001"]
    assert linted(tmp_path, option, whole, MIXED) == []


GRAPH = GraphFacts((), nodes=frozenset({"/a/Add"}), arity={"/a/Add": (2, 1)})


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("/a/Add::InputDtype:float16,float,OutputDtype:float", []),
        ("/a/Add::InputDtype:float16,OutputDtype:float", ["E10001"]),
        ("/a/Add::InputDtype:float16,float,OutputDtype:float,float", ["E10001"]),
        ("/b/Fused::InputDtype:float16,OutputDtype:float", ["usage"]),
        ("OpType::Add:InputDtype:float16,OutputDtype:float", []),
    ],
)
def test_customised_types_are_as_many_as_inputs_and_outputs(tmp_path, line, codes):
    (tmp_path / "file.cfg").write_text(f"{line}\n", encoding="utf-8")
    command = parse_command([*BASE, "--soc_version=Ascend310P3", "--customize_dtypes=file.cfg"])
    assert [problem.code for problem in lint(command, GRAPH, None, folder=tmp_path)] == codes
    assert lint(command, None, None, folder=tmp_path) == ()


UNKNOWN = [
    ("keep_dtype", "/a/Ad\n", "usage: --keep_dtype names the node '/a/Ad'", "/a/Add\nOpType::Add\n"),
    (
        "customize_dtypes",
        "/a/Ad::InputDtype:float,float,OutputDtype:float",
        "usage: --customize_dtypes names the node '/a/Ad'",
        "/a/Add::InputDtype:float,float,OutputDtype:float",
    ),
    (
        "op_precision_mode",
        "[ByNodeName]\n/a/Ad=keep_fp16",
        "usage: --op_precision_mode names the node '/a/Ad'",
        "[ByNodeName]\n/a/Add=keep_fp16\n[ByOpType]\nAd=keep_fp16",
    ),
    (
        "compression_optimize_conf",
        "calibration:\n{\n  input_shape: x:1,8;y:1,8\n}",
        "E10016: --compression_optimize_conf names the input 'y'",
        "calibration:\n{\n  input_shape: x:1,8\n}",
    ),
]


@pytest.mark.parametrize(("option", "broken", "message", "whole"), UNKNOWN)
def test_names_are_looked_up_in_the_graph(tmp_path, option, broken, message, whole):
    command = parse_command([*BASE, "--soc_version=Ascend310P3", f"--{option}=file.cfg"])
    graph = replace(GRAPH, inputs=(InputFacts("x", (1, 8), "FLOAT"),))

    def said(text, facts):
        (tmp_path / "file.cfg").write_text(text, encoding="utf-8")
        return [str(problem) for problem in lint(command, facts, None, folder=tmp_path)]

    (problem,) = said(broken, graph)
    assert problem.startswith(message)
    assert "the nearest is /a/Add; keep it only where" in problem or "there are x" in problem
    assert said(whole, graph) == []
    assert said(broken, None) == []


@pytest.mark.parametrize(("kept", "codes"), [("/a/Add\n/b/Mul", ["usage"]), ("/b/Mul", []), ("OpType::Add", [])])
def test_customised_types_beat_kept_ones(tmp_path, kept, codes):
    (tmp_path / "keep.cfg").write_text(kept, encoding="utf-8")
    text = "/a/Add::InputDtype:float16,float,OutputDtype:float\n"
    assert linted(tmp_path, "customize_dtypes", text, "--keep_dtype=keep.cfg") == codes


OPERATOR = {
    "op": "Add",
    "name": "add",
    "input_desc": [{"format": "ND", "shape": [3, 3], "type": "int32"}] * 2,
    "output_desc": [{"format": "ND", "shape": [3, 3], "type": "int32"}],
    "attr": [{"name": "alpha", "type": "float", "value": 1.0}],
}
SINGLE = [
    ("[", "E10025"),
    ("{}", "E10025"),
    ("[1]", "E10025"),
    (json.dumps([{**OPERATOR, "op": ""}]), "E10026"),
    (json.dumps([{**OPERATOR, "output_desc": None}]), "E10027"),
    (json.dumps([{**OPERATOR, "input_desc": [{"format": "ND", "shape": [3]}]}]), "E10027"),
    (json.dumps([{**OPERATOR, "input_desc": [{"format": "ND", "shape": "3", "type": "int32"}]}]), "E10027"),
    (json.dumps([{**OPERATOR, "attr": [{"type": "float", "value": 1.0}]}]), "E10029"),
    (json.dumps([{**OPERATOR, "attr": [{"name": "alpha", "type": "float"}]}]), "E10030"),
    (json.dumps([{**OPERATOR, "attr": [{"name": "alpha", "value": 1.0}]}]), "E10030"),
]


def single(folder, text):
    (folder / "op.json").write_text(text, encoding="utf-8")
    command = parse_command(["--singleop=op.json", "--output=m", "--soc_version=Ascend310P3"])
    return [problem.code for problem in lint(command, None, None, folder=folder)]


@pytest.mark.parametrize(("broken", "code"), SINGLE)
def test_descriptions_of_single_operators(tmp_path, broken, code):
    assert single(tmp_path, broken) == [code]


def test_the_documented_description_is_clean(tmp_path):
    assert single(tmp_path, json.dumps([OPERATOR, {key: OPERATOR[key] for key in list(OPERATOR)[:4]}])) == []


def test_a_missing_description_has_its_own_code(tmp_path):
    command = parse_command(["--singleop=none.json", "--output=m", "--soc_version=Ascend310P3"])
    assert [problem.code for problem in lint(command, None, None, folder=tmp_path)] == ["E10024"]


@pytest.mark.parametrize("option", ["op_precision_mode", "modify_mixlist", "keep_dtype", "customize_dtypes"])
def test_a_missing_file_is_named(tmp_path, option):
    command = parse_command([*BASE, "--soc_version=Ascend310P3", f"--{option}=none.cfg", MIXED])
    (problem,) = lint(command, None, None, folder=tmp_path)
    assert problem.code == "E10001"
    assert "none.cfg" in problem.found


@pytest.mark.parametrize(
    ("mode", "codes"),
    [
        ("precision_mode=force_fp16", ["E10001"]),
        ("precision_mode=allow_mix_precision_fp16", []),
        ("precision_mode_v2=fp16", ["E10001"]),
        ("precision_mode_v2=mixed_float16", []),
        ("log=error", ["E10001"]),
    ],
)
def test_a_mix_list_needs_a_mixed_precision(tmp_path, mode, codes):
    assert linted(tmp_path, "modify_mixlist", "{" + '"black-list": {}}', f"--{mode}") == codes


@pytest.mark.parametrize(
    ("mode", "codes"),
    [
        ("precision_mode=must_keep_origin_dtype", ["usage"]),
        ("precision_mode_v2=origin", ["usage"]),
        ("precision_mode=force_fp16", []),
    ],
)
def test_kept_and_customised_dtypes_need_a_precision_that_changes_them(tmp_path, mode, codes):
    assert linted(tmp_path, "keep_dtype", "a", f"--{mode}") == codes
    assert linted(tmp_path, "customize_dtypes", "a::InputDtype:float,OutputDtype:float", f"--{mode}") == codes


def test_the_newest_chip_has_no_fusion_of_buffers(tmp_path):
    text = '{"Switch": {"UBFusion": {"ALL": "off"}}}'
    assert linted(tmp_path, "fusion_switch_file", text, soc="Ascend950_1") == ["E10001"]
    assert linted(tmp_path, "fusion_switch_file", text, soc="Ascend910B3") == []


def test_execution_in_float_32_depends_on_the_chip(tmp_path):
    text = "[ByOpType]\nConv2D=enable_float_32_execution"
    assert linted(tmp_path, "op_precision_mode", text, soc="Ascend310B4") == ["E10001"]
    assert linted(tmp_path, "op_precision_mode", text, soc="Ascend910B3") == []
