import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint

BASE = {"model": "m.onnx", "framework": "5", "output": "m", "soc_version": "Ascend310P3"}


def found(*options):
    """Codes for the base command with these options, `name=value` each."""
    values = BASE | dict(option.split("=", 1) for option in options)
    command = parse_command([f"--{name}={value}" for name, value in values.items()])
    return [problem.code for problem in lint(command, None, None)]


SHAPES = [
    ("input_shape=1,3", "E10002", "input_shape=a:1,3"),
    ("input_shape=:1,3", "E10002", "input_shape=b:c:1,3"),
    ("input_shape=a:1,x", "E10014", "input_shape=a:1,4"),
    ("input_shape=a:-1,x", "E10002", "input_shape=a:-1,4"),
    ("input_shape=a:1,3.0", "E10002", "input_shape=a: 1,3"),
    ("input_shape=a:1,3;", "E10002", "input_shape=a:1,3"),
    ("input_shape=a:1,,3", "E10014", "input_shape=a:1,3"),
    ("input_shape=a:-1,,3", "E10002", "input_shape=a:-1,3"),
    ("input_shape=a:1,3x", "E10002", "input_shape=a:1,3;b:"),
    ("input_shape=a:1,0", "E10011", "input_shape=a:1,1"),
    ("input_shape=a:1,-2", "E10011", "input_shape=a:1,-1"),
    (f"input_shape=a:{2**63}", "E10013", f"input_shape=a:{2**40}"),
    (f"input_shape=a:{'1' * 5000}", "E10013", "input_shape=a:1"),
    ("input_shape=a:1;a:2", "E10002", "input_shape=a:1;b:2"),
    ("input_shape=a:1~2~3", "E10048", "input_shape=a:1~3"),
    ("input_shape=a:8~1", "E10048", "input_shape=-1,1~8;3"),
    ("input_shape_range=a:1~8,3", "E10048", "input_shape_range=a:[1~8,3];b:[-1]"),
    ("input_shape_range=a:[1~8,x]", "E10048", "input_shape_range=[1~8,3],[2]"),
    ("input_shape_range=a:[1];a:[2]", "E10048", "input_shape_range=a:[1];b:[2]"),
]


@pytest.mark.parametrize(("broken", "code", "whole"), SHAPES)
def test_the_grammar_of_shapes(broken, code, whole):
    assert found(broken) == [code]
    assert found(whole) == []
