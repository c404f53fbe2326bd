"""Command lines of atc that users have, checked without CANN."""

import json

import pytest
from typer.testing import CliRunner

from inferry.cli.main import app

GEARS = ("--input_shape=input_values:1,-1;input_lengths:1", "--dynamic_dims=16000;32000", "--input_format=ND")


@pytest.fixture
def options(tiny_bundle):
    return (f"--model={tiny_bundle.model}", "--framework=5", "--output=om", "--soc_version=Ascend310P3")


def lint(*arguments):
    return CliRunner().invoke(app, ["lint-atc", *arguments])


def test_a_legal_command_line(options):
    done = lint("--", "atc", *options, *GEARS)
    assert done.exit_code == 0, done.output
    assert done.stdout == "nothing that atc would refuse was found\n"
    assert done.stderr == ""


def test_problems_have_their_code_and_a_fix(options):
    done = lint("--", *options, "--input_shape=sound:1,-1;input_lengths:1", *GEARS[1:])
    assert done.exit_code == 1
    first, *_ = done.stdout.splitlines()
    assert first.startswith("E10016: ")
    assert "sound" in first
    assert ". fix: " in first
    assert done.stdout.endswith("2 problems\n"), "it lacks the graph's own input, too"


def test_json_and_another_chip(options):
    done = lint("--soc", "Ascend910B3", "--json", "--", *options, *GEARS)
    said = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not said["ok"]
    assert "Ascend910B3" in said["problems"][0]["fix"]
    assert said["unread"] == ""


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ([], "the command names no model"),
        (["--model=missing.onnx", "--framework=5"], "there is no file missing.onnx here"),
        (["--model=net.prototxt", "--framework=0"], "is not said to be ONNX"),
    ],
)
def test_what_was_not_checked_is_said(model, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").touch()
    done = lint("--", *model, "--output=om", "--soc_version=Ascend310P3")
    assert told in done.stderr.replace("\n", " ")


BARE = ("--framework=5", "--output=om", "--soc_version=Ascend310P3")


def test_a_model_that_is_not_there_would_be_refused():
    done = lint("--", "--model=missing.onnx", *BARE)
    assert done.exit_code == 1
    assert done.stdout.startswith("E10001: there is no file missing.onnx here. fix: ")
    assert "nothing that atc would refuse" not in done.stdout
    said = json.loads(lint("--json", "--", "--model=missing.onnx", *BARE).stdout)
    assert (said["ok"], [row["code"] for row in said["problems"]]) == (False, ["E10001"])
    caffe = lint("--", "--model=missing.prototxt", "--framework=0", *BARE[1:])
    assert "E10001: there is no file missing.prototxt here" in caffe.stdout


def test_a_command_line_without_its_model():
    done = lint("--no-model", "--", "--model=missing.onnx", *BARE)
    assert done.exit_code == 0, done.output
    assert "the model's file was not looked for" in " ".join(done.stderr.split())
    assert lint("--no-model", "--", "--model=missing.onnx", *BARE, "--precision_mode=half").exit_code == 1


@pytest.mark.parametrize("content", [b"no graph at all", b""])
def test_a_file_that_is_no_model(tmp_path, content):
    broken = tmp_path / "model.onnx"
    broken.write_bytes(content)
    done = lint("--", f"--model={broken}", *BARE)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"E13005: {broken} cannot be read as ONNX (")
    assert "cannot be read as ONNX" in " ".join(done.stderr.split())


def test_no_command_line():
    done = lint("--")
    assert done.exit_code == 2
