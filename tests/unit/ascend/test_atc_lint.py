import re
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.ascend.atc_aipp import aipp_problems, parse_aipp
from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.ascend.atc_options import OPTIONS
from inferry.core.graph_facts import GraphFacts, InputFacts

BASE = {"model": "m.onnx", "framework": "5", "output": "out/m", "soc_version": "Ascend310P3"}
GRAPH = GraphFacts(
    inputs=(InputFacts("ids", ("batch", "length"), "INT64"), InputFacts("image", (1, 3, None, None), "FLOAT")),
    outputs=("logits",),
    nodes=frozenset({"/Conv", "/Add"}),
    opsets=frozenset({("", 17)}),
    operators=frozenset({("", "Conv"), ("", "Add")}),
)
SHAPED = "input_shape=ids:1,16;image:1,3,224,224"


def found(options, graph=None, soc=None, folder=None):
    """Codes for the base command with these options, `name=value` each, or `-name` to leave one out."""
    values = dict(BASE)
    for option in options:
        name, _, value = option.partition("=")
        if name.startswith("-"):
            values.pop(name[1:])
        else:
            values[name] = value
    command = parse_command([f"--{name}={value}" for name, value in values.items()])
    return [problem.code for problem in lint(command, graph, soc, folder=folder)]


def test_a_plain_command_is_clean():
    assert found([]) == []
    assert found([SHAPED], GRAPH) == []


ILLEGAL = [
    ("mode=2", "E10001"),
    ("framework=4", "E10007"),
    ("soc_version=310P3", "E10001"),
    ("model=my model.onnx", "E10001"),
    ("output=out/a b", "E10001"),
    ("input_format=NCWH", "E10001"),
    ("input_hint_shape=0:1,2", "E10014"),
    ("output_type=FLOAT", "E10001"),
    ("is_input_adjust_hw_layout=yes", "E10005"),
    ("is_output_adjust_hw_layout=true,1", "E10005"),
    ("precision_mode=fp16", "E10001"),
    ("precision_mode_v2=force_fp16", "E10001"),
    ("op_select_implmode=fast", "E10001"),
    ("optypelist_for_implmode=Gelu;Add", "E10001"),
    ("optimization_switch=PassA", "E10001"),
    ("buffer_optimize=l3", "E10001"),
    ("enable_small_channel=true", "E10006"),
    ("jit_compile=3", "E10001"),
    ("external_weight=3", "E10001"),
    ("deterministic=2", "E10006"),
    ("deterministic_level=4", "E10001"),
    ("sparsity=yes", "E10006"),
    ("core_type=Vector", "E10001"),
    ("aicore_num=all", "E10001"),
    ("virtual_type=2", "E10006"),
    ("op_debug_level=5", "E10001"),
    ("save_original_model=1", "E10005"),
    ("disable_reuse_memory=2", "E10006"),
    ("op_compiler_cache_mode=on", "E10001"),
    ("log=verbose", "E10010"),
    ("host_env_os=windows", "E10001"),
    ("host_env_cpu=riscv", "E10001"),
    ("ac_parallel_enable=2", "E10006"),
    ("oo_level=O2", "E10001"),
    ("topo_sorting_mode=4", "E10001"),
    ("static_model_ops_lower_limit=-2", "E10001"),
    ("enable_compress_weight=1", "E10005"),
    ("singleop=a b.json", "E10023"),
]


@pytest.mark.parametrize(("option", "code"), ILLEGAL)
def test_illegal_values_are_refused(option, code):
    assert code in found([option])


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.pattern != ".*" or option.values])
def test_every_option_refuses_nonsense_with_its_code(name):
    assert OPTIONS[name].code in found([f"{name}=;?"])
    assert f"use {OPTIONS[name].wanted}" in [
        problem.fix for problem in lint(parse_command([f"--{name}=;?"]), None, None)
    ]


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.values])
def test_every_listed_value_is_legal(name):
    option = OPTIONS[name]
    assert all(option.accepts(value) for value in option.values)
    assert not option.accepts("nothing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output_type", "node:0:FP16;node2:1:FP32"),
        ("output_type", "DOUBLE"),
        ("aicore_num", "24|48"),
        ("model", "模型/m-1_a.onnx"),
        ("soc_version", "Ascend910_9391"),
        ("input_hint_shape", "0:[1,3];1:[]"),
        ("optimization_switch", "PassA:on;PassB:off"),
        ("is_input_adjust_hw_layout", "true, false"),
        ("static_model_ops_lower_limit", "-1"),
        ("op_name_map", "a.json;b.json"),
    ],
)
def test_patterns_accept_the_documented_forms(name, value):
    assert OPTIONS[name].accepts(value)


SINGLE = [
    *("singleop=op.json", "-model", "-framework", "precision_mode=force_fp16", "op_debug_level=1", "log=info"),
    *(
        "core_type=AiCore",
        "op_select_implmode=high_precision",
        "op_compiler_cache_mode=enable",
        "enable_small_channel=0",
    ),
]
OF_MODELS = {
    "weight": "w",
    "input_format": "ND",
    "input_shape": "a:1",
    "input_shape_range": "a:[1~2]",
    "input_hint_shape": "0:[1]",
    "dynamic_batch_size": "1,2",
    "dynamic_image_size": "1,1;2,2",
    "dynamic_dims": "1;2",
    "insert_op_conf": "aipp.cfg",
    "input_fp16_nodes": "a",
    "is_input_adjust_hw_layout": "true",
    "is_output_adjust_hw_layout": "true",
    "out_nodes": "a:0",
    "output_type": "FP16",
    "op_name_map": "a.json",
}
RULES = [  # options that break a rule, its code, and the same without the breach
    (["-model"], "E10054", []),
    (["-output"], "E10054", []),
    (["-soc_version"], "E10054", []),
    (["-framework"], "E10007", []),
    (["framework=0", "soc_version=Ascend310"], "E10008", ["framework=0", "weight=w", "soc_version=Ascend310"]),
    (
        ["mode=1", "json=a.json", "-soc_version"],
        "E10004",
        ["mode=1", "json=a.json", "om=a.om", "soc_version=Ascend310"],
    ),
    (["mode=5", "om=dump.txt"], "E10004", ["mode=5", "om=dump.txt", "json=a.json"]),
    (["mode=6", "om=a.om"], "E10057", ["mode=6", "om=a.om", "-model", "-output", "-framework"]),
    (["mode=6"], "E10004", ["mode=6", "om=a.om", "-model", "-output", "-framework"]),
    (["singleop=op.json"], "E10055", ["singleop=op.json", "-model", "-framework"]),
    *(
        (["singleop=op.json", "-model", "-framework", f"{name}={value}"], "E10055", SINGLE)
        for name, value in OF_MODELS.items()
    ),
    (["output=m.om"], "usage", ["output=m"]),
    (["output=out/"], "E10022", ["output=out/m"]),
    (["weight=w", "soc_version=Ascend310"], "usage", ["soc_version=Ascend310"]),
    (["input_format=NHWC"], "E10001", ["input_format=ND"]),
    (["framework=0", "weight=w", "input_format=NHWC"], "E10001", ["framework=3", "input_format=NHWC"]),
    (["is_input_adjust_hw_layout=true"], "E10001", ["is_input_adjust_hw_layout=true", "input_fp16_nodes=a"]),
    (["is_output_adjust_hw_layout=true"], "E10001", ["is_output_adjust_hw_layout=true", "out_nodes=a:0"]),
    (["output_type=a:0:FP16"], "E10001", ["output_type=a:0:FP16", "out_nodes=a:0"]),
    (["out_nodes=a:0;logits"], "E10001", ["out_nodes=a:0;b:1"]),
    (["output_type=a:1:FP16", "out_nodes=a:0;b:0"], "E10001", ["output_type=b:0:FP16", "out_nodes=a:0;b:0"]),
    (["output_type=b:0:FP16;c:0:FP32", "out_nodes=b:0"], "E10001", ["output_type=b:0:FP16", "out_nodes=logits"]),
    (
        ["is_input_adjust_hw_layout=true,true", "input_fp16_nodes=a"],
        "usage",
        ["is_input_adjust_hw_layout=true", "input_fp16_nodes=a;b"],
    ),
    (
        ["is_output_adjust_hw_layout=true,false", "out_nodes=a:0"],
        "usage",
        ["is_output_adjust_hw_layout=true,false", "out_nodes=a:0;b:0"],
    ),
    (
        ["optypelist_for_implmode=Gelu"],
        "E10001",
        ["optypelist_for_implmode=Gelu", "op_select_implmode=high_precision"],
    ),
    (
        ["optypelist_for_implmode=Gelu", "op_select_implmode=high_precision_for_all"],
        "E10001",
        ["optypelist_for_implmode=Gelu", "op_select_implmode=high_performance"],
    ),
    (["precision_mode=force_fp16", "precision_mode_v2=fp16"], "E10056", ["precision_mode=force_fp16"]),
    (
        ["shape_generalized_build_mode=shape_precise", "dynamic_batch_size=1,2", "input_shape=a:-1"],
        "E10001",
        ["shape_generalized_build_mode=shape_precise", "input_shape=a:-1"],
    ),
    (
        ["shape_generalized_build_mode=shape_generalized", "input_shape_range=a:[1~2]"],
        "E10001",
        ["input_shape_range=a:[1~2]"],
    ),
    (["dump_mode=1"], "E10001", ["dump_mode=0"]),
    (["mode=0", "dump_mode=1"], "E10001", ["mode=1", "dump_mode=1", "om=a.om", "json=a.json", "-model", "-output"]),
    (
        ["op_precision_mode=op.ini", "op_select_implmode=high_precision"],
        "usage",
        ["op_precision_mode=op.ini", "optimization_switch=PassA:on"],
    ),
    (["deterministic=1"], "E10001", ["deterministic=1", "deterministic_level=2"]),
    (["enable_compress_weight=true", "compress_weight_conf=c"], "E10047", ["compress_weight_conf=c"]),
    (
        ["compression_optimize_conf=c", "op_select_implmode=high_precision"],
        "E10001",
        ["compression_optimize_conf=c", "op_select_implmode=high_performance"],
    ),
    (
        ["compression_optimize_conf=c", "precision_mode=force_fp32"],
        "E10001",
        ["compression_optimize_conf=c", "precision_mode=force_fp16"],
    ),
    (
        ["compression_optimize_conf=c", "precision_mode_v2=origin"],
        "E10001",
        ["compression_optimize_conf=c", "precision_mode_v2=fp16"],
    ),
    (["input_shape_range=a:[1~8,3]", "input_shape=a:1,3"], "usage", ["input_shape_range=a:[1~8,3]"]),
]


@pytest.mark.parametrize(("broken", "code", "whole"), RULES)
def test_options_that_need_or_exclude_each_other(tmp_path, broken, code, whole):
    (tmp_path / "op.json").write_text("[]", encoding="utf-8")
    (tmp_path / "op.ini").write_text("[ByOpType]\nGelu=high_precision\n", encoding="utf-8")
    (tmp_path / "c").write_text("enable_first_layer_quantization:true\n", encoding="utf-8")
    assert code in found(broken, folder=tmp_path)
    assert found(whole, folder=tmp_path) == []


def test_the_chip_asked_for_is_the_one_compiled_for():
    assert found([], soc="Ascend310P3") == []
    assert found([], soc="Ascend910B3") == ["usage"]
    assert found(["-soc_version"], soc="Ascend910B3") == ["E10054"]
    assert found([], soc="Hopper") == ["E10001"]


# Command lines of published recipes (Ascend ModelZoo), with a chip where they take it from the shell.
RECIPES = [
    """atc --framework=5 --model=beit_mg_bs8.onnx --output=beit_mg_bs8 --input_format=NCHW
    --input_shape="image:8,3,224,224" --log=error --soc_version=Ascend310P3 --optypelist_for_implmode="Gelu"
    --op_select_implmode=high_performance""",
    """atc --framework=5 --model=./deepspeech.onnx --input_format=NCHW --input_shape="spect:1,1,161,621;transcript:1"
    --output=deepspeech_bs1 --log=error --soc_version=Ascend310""",
    f"""atc --framework=5 --model=./models/wav2vec2-base-960h.onnx --output=./models/wav2vec2-base-960h
    --input_format=ND --input_shape="input:1,-1" --dynamic_dims="{";".join(map(str, range(10_000, 570_000, 10_000)))}"
    --log=error --soc_version=Ascend310P3 --precision_mode=allow_fp32_to_fp16""",
    """atc --model=data2vec_bs4_new.onnx --framework=5 --input_shape="modelInput:4,559280" --output=data2vec_bs4
    --soc_version=Ascend310P3 --op_precision_mode=op_precision.ini""",
    """atc --model=no_flash_encoder_revise.onnx --framework=5 --output=encoder_fendang_262_1478_static --input_format=ND
    --input_shape="xs_input:1,-1,80;xs_input_lens:1" --log=error --dynamic_dims="262;326;390"
    --soc_version=Ascend310P3""",
    """atc --model=offline_encoder.onnx --framework=5 --output=offline_encoder --input_format=ND
    --input_shape_range="speech:[1~64,1~1500,80];speech_lengths:[1~64]" --log=error --soc_version=Ascend310P3""",
]


@pytest.mark.parametrize("line", RECIPES)
def test_published_command_lines_are_clean(tmp_path, line):
    (tmp_path / "op_precision.ini").write_text("[ByOpType]\nGelu=high_performance\n", encoding="utf-8")
    chip = "Ascend310P3" if "310P3" in line else None
    assert lint(parse_command(shlex.split(line)), None, chip, folder=tmp_path) == ()


@pytest.mark.parametrize(
    ("more", "found_first"),
    [
        ('--auto_tune_mode="RL"', "usage: unknown option --auto_tune_mode"),
        ("--soc_version=${chip_name}", "E10001: --soc_version=${chip_name} is not legal"),
        ("--soc_version=Ascend710", "E10001: --soc_version=Ascend710 is not legal"),
    ],
)
def test_published_command_lines_that_have_aged_are_not(more, found_first):
    (problem,) = lint(parse_command(shlex.split(f"{RECIPES[0]} {more}")), None, None)
    assert str(problem).startswith(found_first)


VALUES = st.text("0123456789-+~,;:[](){}. axN\"'=#_\n", max_size=24)
NAMES = st.sampled_from(["input_shape", "input_shape_range", "input_hint_shape", "out_nodes", "input_format"])
GEAR_NAMES = st.sampled_from(["dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "insert_op_conf", "log"])


@settings(deadline=None, max_examples=300)
@given(first=NAMES, value=VALUES, second=GEAR_NAMES, gears=VALUES)
def test_no_value_breaks_the_linter(first, value, second, gears):
    command = parse_command([f"--{first}={value}", f"--{second}", gears, "--soc_version=Ascend310P3"])
    problems = lint(command, GRAPH, None)
    assert {"E10007", "E10054"} <= {problem.code for problem in problems}
    assert all(problem.found and problem.fix for problem in problems)


@settings(deadline=None, max_examples=300)
@given(body=VALUES)
def test_no_file_breaks_the_reader_of_aipp(body):
    aipp = parse_aipp("aipp_op {" + body)
    assert aipp.problems or aipp_problems(aipp.blocks)


def test_every_option_of_the_documentation_is_known(shared):
    """The rows of the table of options; the values behind the second column may name others."""
    text = (shared / "reference" / "ascend.md").read_text(encoding="utf-8")
    table = text.partition("### 4.1 Options")[2].partition("### 4.2")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `--")]
    short = {"_image_size": "dynamic_image_size", "_dims": "dynamic_dims"}
    named = {name for row in rows for name in re.findall(r"(?:--|(?<=/))([a-z]\w+|_image_size|_dims)", row)}
    assert len(named) > 50
    assert {short.get(name, name) for name in named} <= set(OPTIONS)
