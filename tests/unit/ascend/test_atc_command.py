import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_options import OPTIONS
from inferry.ascend.atc_problem import Problem, nearest

SAME = {"model": "m.onnx", "framework": "5", "dynamic_batch_size": "1,2"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model=m.onnx", "--framework=5", "--dynamic_batch_size=1,2"],
        ["--model", "m.onnx", "--framework", "5", "--dynamic_batch_size", "1,2"],
        ["-model=m.onnx", "-framework", "5", "--dynamic-batch-size=1,2"],
        ["atc", '--model="m.onnx"', "--framework=5", "--dynamic-batch_size='1,2'"],
        ["/usr/local/bin/atc", "--model=old.onnx", "--model=m.onnx", "--framework=5", "-dynamic-batch-size", "1,2"],
        ["python3", "-m", "ge.pyatc", "--model=m.onnx", "--framework=5", "--dynamic_batch_size", '"1,2"'],
        ["pyatc", "--model=m.onnx", "--framework=5", "--dynamic_batch_size= 1,2 "],
    ],
)
def test_all_spellings_are_the_same(arguments):
    command = parse_command(arguments)
    assert command.options == SAME
    assert command.problems == ()


def test_values_may_hold_equal_signs_colons_and_leading_minus():
    command = parse_command(["--build_config=make -s CXX=g++", "--input_shape", "-1,3;2"])
    assert command.options == {"build_config": "make -s CXX=g++", "input_shape": "-1,3;2"}
    assert command.problems == ()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--dynamic_batchsize=1"],
            "usage: unknown option --dynamic_batchsize. fix: the nearest is dynamic_batch_size",
        ),
        (["--model", "--framework=5"], "usage: --model has no value. fix: write --model=VALUE, or leave it out"),
        (["--model"], "usage: --model has no value. fix: write --model=VALUE, or leave it out"),
        (["--log=info", "b:1,2"], "E10054: 'b:1,2' belongs to no option"),
        (['--input_shape="a:1'], 'E10054: --input_shape has a quotation mark on one side only: "a:1'),
    ],
)
def test_what_cannot_be_read_is_said(arguments, text):
    (problem,) = parse_command(arguments).problems
    assert str(problem).startswith(text)


def test_an_empty_value_is_absent():
    command = parse_command(["--input_format="])
    assert command.options == {"input_format": ""}
    assert command.get("input_format", "NCHW") == "NCHW"


def test_a_problem_reads_as_a_sentence():
    assert str(Problem("E10018", "found this", "do that")) == "E10018: found this. fix: do that"


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (["input_ids", "mask"], "the nearest is input_ids"),
        (["a", "b"], "there are a, b"),
        ([f"x{i}" for i in range(10)], "there are x0, x1, x2, x3, x4, x5, x6, x7 and 2 more"),
        ([], "there is none"),
    ],
)
def test_the_nearest_name(known, text):
    assert nearest("input_id", known) == text


def test_every_option_says_what_it_wants():
    assert all(option.wanted for option in OPTIONS.values())
