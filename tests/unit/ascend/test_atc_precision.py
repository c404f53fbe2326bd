import json

import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.ascend.atc_precision import (
    IR_TYPES,
    SPLIT,
    Dtypes,
    MixList,
    PrecisionFile,
    customize_dtypes,
    ir_type,
    keep_dtype,
    modify_mixlist,
    op_precision_mode,
    precision_settings,
)
from inferry.core.errors import UsageError
from inferry.core.graph_facts import GraphFacts, InputFacts

SOC = "Ascend310P3"
GRAPH = GraphFacts(
    inputs=(InputFacts("x", (1, 8), "FLOAT"),),
    nodes=frozenset({"a/MatMul", "a/Add", "a.0/Softmax-1", "no name"}),
    operators=frozenset({("", "MatMul"), ("", "Add"), ("", "Softmax"), ("", "Relu")}),
    arity={"a/MatMul": (2, 1), "a/Add": (2, 1), "a.0/Softmax-1": (1, 1)},
)
HALF = Dtypes(("float16", "float16"), ("float16",))
FULL = Dtypes(("float32", "float32"), ("float32",))


def linted(folder, settings, soc=SOC):
    """What the linter finds in a command line that names the files, run in their folder."""
    for name, text in settings.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    words = {"model": "m.onnx", "framework": "5", "output": "m", "soc_version": soc, **settings.options}
    command = parse_command([f"--{name}={value}" for name, value in words.items()])
    return [str(problem) for problem in lint(command, GRAPH, None, folder=folder)]


WRITTEN = [
    (keep_dtype(GRAPH, ["a/Add", "a.0/Softmax-1"]), "a/Add\na.0/Softmax-1\n"),
    (keep_dtype(GRAPH, ["a/Add"], ["Softmax"]), "a/Add\nOpType::SoftmaxV2\n"),
    (
        customize_dtypes(GRAPH, {"a/MatMul": HALF}, soc=SOC),
        "a/MatMul::InputDtype:float16,float16,OutputDtype:float16\n",
    ),
    (
        customize_dtypes(GRAPH, {}, {"Add": FULL}, soc=SOC),
        "OpType::Add:InputDtype:float32,float32,OutputDtype:float32\n",
    ),
    (
        op_precision_mode(GRAPH, {"a/Add": "keep_fp16"}, {"Softmax": "high_precision"}, soc=SOC),
        "[ByOpType]\nSoftmaxV2=high_precision\n[ByNodeName]\na/Add=keep_fp16\n",
    ),
    (op_precision_mode(GRAPH, {"a/Add": "high_performance"}, soc=SOC), "[ByNodeName]\na/Add=high_performance\n"),
]


@pytest.mark.parametrize(("file", "text"), WRITTEN)
def test_what_is_written_lints_clean(tmp_path, file, text):
    assert file.text == text
    assert linted(tmp_path, precision_settings({"precision_mode_v2": "fp16"}, [file], soc=SOC)) == []


def test_a_mix_list(tmp_path):
    file = modify_mixlist(black=MixList(add=["Softmax"], remove=["MatMul"]), white=MixList(add=["Add"]))
    assert json.loads(file.text) == {
        "black-list": {"to-add": ["SoftmaxV2"], "to-remove": ["BatchMatMulV2"]},
        "white-list": {"to-add": ["Add"], "to-remove": []},
    }
    for mode in ({"precision_mode_v2": "mixed_float16"}, {"precision_mode": "allow_mix_precision"}):
        assert linted(tmp_path, precision_settings(mode, [file], soc=SOC)) == []


REFUSED = [
    (lambda: keep_dtype(GRAPH, ["a/Sub"]), "the graph has no node 'a/Sub'; there are"),
    (lambda: keep_dtype(GRAPH, ["no name"]), "cannot be named in atc's files"),
    (lambda: keep_dtype(GRAPH, []), "neither nodes nor operators are named"),
    (lambda: keep_dtype(GRAPH, [], ["Sub"]), "the graph has no operator Sub"),
    (lambda: op_precision_mode(GRAPH, {}, {"Sub": "keep_fp16"}, soc=SOC), "the graph has no operator Sub"),
    (lambda: customize_dtypes(GRAPH, {}, {"Sub": FULL}, soc=SOC), "the graph has no operator Sub"),
    (lambda: keep_dtype(GRAPH, [], ["Gemm"]), "Gemm becomes several of Ascend's operators"),
    (lambda: keep_dtype(GRAPH, [], ["Erf"]), "Erf has no Ascend name that we know for certain"),
    (lambda: customize_dtypes(GRAPH, {"a/Add": Dtypes(("float16",), ("float16",))}, soc=SOC), "has 2 inputs and 1 out"),
    (lambda: customize_dtypes(GRAPH, {"a/Add": Dtypes(("half",) * 2, ("half",))}, soc=SOC), "type 'half' is not known"),
    (lambda: customize_dtypes(GRAPH, {}, {"Add": Dtypes(("bfloat16",) * 2, ("bfloat16",))}, soc=SOC), "no bfloat16"),
    (lambda: customize_dtypes(GRAPH, {}, soc=SOC), "neither nodes nor operators"),
    (lambda: op_precision_mode(GRAPH, {"a/Add": "fast"}, soc=SOC), "a/Add=fast: the values are high_precision"),
    (
        lambda: op_precision_mode(GRAPH, {"a/Add": "enable_float_32_execution"}, soc=SOC),
        "not supported on Ascend310P3: use high_precision",
    ),
    (
        lambda: op_precision_mode(GRAPH, {"a/Add": "enable_hi_float_32_execution"}, soc="Ascend910B3"),
        "enable_hi_float_32_execution is reserved",
    ),
    (lambda: modify_mixlist(black=MixList()), "changes nothing"),
    (lambda: modify_mixlist(white=MixList(["Add"], ["Sub", "Add"])), "Add cannot come into the white-list and leave"),
    (lambda: modify_mixlist(black=MixList(add=["Add"]), white=MixList(add=["Add"])), "Add cannot be added to"),
]


@pytest.mark.parametrize(("write", "message"), REFUSED)
def test_what_atc_would_not_take_is_refused(write, message):
    with pytest.raises(UsageError, match=message):
        write()


KEPT = keep_dtype(GRAPH, ["a/Add"])
CUSTOM = customize_dtypes(GRAPH, {"a/Add": HALF}, soc=SOC)
MIXED = modify_mixlist(black=MixList(add=["Softmax"]))
CONFLICTS = [
    ({"precision_mode_v2": "origin"}, [KEPT], "--keep_dtype has no effect beside --precision_mode_v2=origin"),
    ({"precision_mode": "must_keep_origin_dtype"}, [KEPT], "--keep_dtype has no effect"),
    ({"precision_mode_v2": "origin"}, [CUSTOM], "--customize_dtypes has no effect beside --precision_mode_v2=origin"),
    ({"precision_mode": "must_keep_origin_dtype"}, [CUSTOM], "--customize_dtypes has no effect"),
    ({"precision_mode_v2": "fp16"}, [MIXED], "E10001: --modify_mixlist needs --precision_mode"),
    ({"precision_mode_v2": "fp16", "precision_mode": "force_fp16"}, [], "E10056"),
    ({"precision_mode_v2": "mixed_bfloat16"}, [], "E10055: Ascend310P3 does not support"),
    ({"precision_mode_v2": "fp16"}, [KEPT, CUSTOM], "--customize_dtypes beats --keep_dtype, and both name a/Add"),
    ({"precision_mode_v2": "fp16"}, [KEPT, KEPT], "two files are for one option"),
]


@pytest.mark.parametrize(("options", "files", "message"), CONFLICTS)
def test_options_that_do_not_go_together_are_refused(options, files, message):
    with pytest.raises(UsageError, match=message):
        precision_settings(options, files, soc=SOC)


def test_all_conflicts_are_listed():
    with pytest.raises(UsageError, match=r"(?s)E10056.*keep_dtype has no effect"):
        precision_settings({"precision_mode_v2": "origin", "precision_mode": "force_fp16"}, [KEPT], soc=SOC)


def test_no_operator_is_both_certain_and_split():
    assert not set(IR_TYPES) & SPLIT
    assert all(ir_type(name) == found for name, found in IR_TYPES.items())


def test_files_have_different_names():
    names = {PrecisionFile(option, "").name for option in ("keep_dtype", "op_precision_mode", "modify_mixlist")}
    assert names == {"keep_dtype.cfg", "op_precision_mode.ini", "modify_mixlist.json"}
