import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_gears import gears_of, profile_problems
from inferry.ascend.atc_lint import lint

BASE = {"model": "m.onnx", "framework": "5", "output": "m", "soc_version": "Ascend310P3"}


def found(*options):
    """Codes for the base command with these options, `name=value` each."""
    values = BASE | dict(option.split("=", 1) for option in options)
    command = parse_command([f"--{name}={value}" for name, value in values.items()])
    return [problem.code for problem in lint(command, None, None)]


BATCH = "dynamic_batch_size=1,2,4"
IMAGE = "dynamic_image_size=224,224;448,448"
DIMS = "dynamic_dims=1,128;4,128"
GEARS = [
    ([BATCH, "input_shape=a:1~4,3"], "E10040", [BATCH, "input_shape=a:-1,3"]),
    ([BATCH, DIMS, "input_shape=a:-1,-1"], "E10009", [DIMS, "input_shape=a:-1,-1", "input_format=ND"]),
    ([BATCH, "input_shape_range=a:[-1,3]"], "E10009", ["input_shape_range=a:[-1,3]"]),
    ([BATCH], "E10004", [BATCH, "input_shape=a:-1,3;b:1,2"]),
    ([BATCH, "input_shape=a"], "E10002", [BATCH, "input_shape=a:-1"]),
    ([BATCH, "input_shape=-1"], "E10002", [BATCH, "input_shape=a:-1"]),
    ([BATCH, "input_shape=a:-1,x"], "E10014", [BATCH, "input_shape=a:-1,4"]),
    ([BATCH, "input_shape=a:-1,3", "input_hint_shape=0:[1,3]"], "E10001", [BATCH, "input_shape=a:-1,3"]),
    ([BATCH, "input_shape=a:-1,3;b:"], "E10012", [BATCH, "input_shape=a:-1,3;b:1"]),
    ([BATCH, "input_shape=a:-1,-1"], "E10018", [BATCH, "input_shape=a:-1,1"]),
    ([BATCH, "input_shape=a:3,-1"], "E10031", [BATCH, "input_shape=a:-1,1"]),
    ([BATCH, "input_shape=a:-1,3;ids:1,-1"], "usage", [BATCH, "input_shape=a:-1,3;ids:1,8"]),
    ([BATCH, "input_shape=a:1,3"], "E10031", [BATCH, "input_shape=a:-1,3"]),
    (["dynamic_batch_size=1;2", "input_shape=a:-1"], "E10003", ["dynamic_batch_size=1,2,", "input_shape=a:-1"]),
    (["dynamic_batch_size=1", "input_shape=a:-1"], "E10035", ["dynamic_batch_size=1,2", "input_shape=a:-1"]),
    (["dynamic_batch_size=0,2", "input_shape=a:-1"], "E10038", ["dynamic_batch_size=1,2", "input_shape=a:-1"]),
    (["dynamic_batch_size=2,2", "input_shape=a:-1"], "E10039", ["dynamic_batch_size=1,2", "input_shape=a:-1"]),
    (
        [IMAGE, "input_shape=a:1,3,-1,-1"],
        "E10003",
        [IMAGE, "input_shape=a:1,3,-1,-1;b:", "input_format=NCHW"],
    ),
    (
        [IMAGE, "input_shape=a:1,-1,-1,3", "input_format=NCHW"],
        "E10019",
        [IMAGE, "input_shape=a:1,-1,-1,3", "input_format=NHWC", "framework=3"],
    ),
    (
        [IMAGE, "input_shape=a:-1,3,-1,-1", "input_format=NCHW"],
        "E10019",
        [IMAGE, "input_shape=a:1,3,-1,-1", "input_format=NCHW"],
    ),
    (
        [IMAGE, "input_shape=a:1,3,-1,-1;b:-1,2", "input_format=NCHW"],
        "E10019",
        [IMAGE, "input_shape=a:1,3,-1,-1;b:1,2", "input_format=NCHW"],
    ),
    (
        [IMAGE, "input_shape=a:1,3,2,2", "input_format=NCHW"],
        "E10019",
        [IMAGE, "input_shape=a:1,3,-1,-1", "input_format=NCHW"],
    ),
    (
        ["dynamic_image_size=2x2;4,4", "input_shape=a:1,3,-1,-1", "input_format=NCHW"],
        "E10003",
        ["dynamic_image_size=2, 2; 4,4;", "input_shape=a:1,3,-1,-1", "input_format=NCHW"],
    ),
    (
        ["dynamic_image_size=2,2;4", "input_shape=a:1,3,-1,-1", "input_format=NCHW"],
        "E10020",
        ["dynamic_image_size=2,2;4,4", "input_shape=a:1,3,-1,-1", "input_format=NCHW"],
    ),
    (
        [DIMS, "input_shape=a:1,3", "input_format=ND"],
        "E10001",
        [DIMS, "input_shape=a:-1,3;b:-1", "input_format=ND"],
    ),
    (["dynamic_batch_size=", "input_shape=a:-1"], "usage", ["input_shape=a:-1"]),
    (["dynamic_image_size=''", "input_shape=a:1,3,-1,-1"], "usage", ["input_shape=a:1,3,-1,-1"]),
    (
        ["dynamic_dims=", "input_shape=a:-1", "input_format=ND"],
        "E10058",
        ["input_shape=a:-1", "input_format=ND"],
    ),
    (
        ["dynamic_dims=;", "input_shape=a:-1", "input_format=ND"],
        "E10058",
        ["dynamic_dims=1;2;", "input_shape=a:-1;b:", "input_format=ND"],
    ),
    (
        [DIMS, "input_shape=a:-1,-1;b:-1,-1", "input_format=ND"],
        "E10003",
        ["dynamic_dims=1,128,1,128;4,128,4,128", "input_shape=a:-1,-1;b:-1,-1", "input_format=ND"],
    ),
    (
        ["dynamic_dims=1,128;4", "input_shape=a:-1,-1", "input_format=ND"],
        "E10003",
        ["dynamic_dims=1,128;4,1", "input_shape=a:-1,-1", "input_format=ND"],
    ),
    (
        ["dynamic_dims=1, 2;3,4", "input_shape=a:-1,-1", "input_format=ND"],
        "E10001",
        ["dynamic_dims=1,2;3,4", "input_shape=a:-1,-1", "input_format=ND"],
    ),
    (
        [DIMS, "input_shape=a:-1,-1", "input_format=NCHW"],
        "E10003",
        [DIMS, "input_shape=a:-1,-1", "input_format=ND"],
    ),
]


@pytest.mark.parametrize(("broken", "code", "whole"), GEARS)
def test_gears(broken, code, whole):
    assert found(*broken) == [code]
    assert found(*whole) == []


def test_the_number_of_gears_is_limited_by_the_chip():
    gears = "dynamic_batch_size=" + ",".join(map(str, range(1, 102)))
    assert found(gears, "input_shape=a:-1") == ["E10036"]
    assert found(gears, "input_shape=a:-1", "soc_version=Ascend950_1") == []


def test_gears_of_unequal_arity():
    assert [problem.code for problem in profile_problems([(1, 2), (3,)], "dynamic_dims")] == ["E10037"]
    assert profile_problems(gears_of("dynamic_dims", "1,2;3,4;"), "dynamic_dims") == []


def test_gears_are_read_as_numbers():
    assert gears_of("dynamic_batch_size", "1,8,") == ((1,), (8,))
    assert gears_of("dynamic_image_size", "2, 3;4,5;") == ((2, 3), (4, 5))
