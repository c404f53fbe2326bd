"""``inferry compile`` on a machine without CANN, and on one with a simulated atc."""

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

from inferry.cli.main import app
from inferry.planning.histogram import LengthSummary
from inferry.planning.make import write_plan
from inferry.planning.plan import Bucket, ShapePlan

SOC = ("--soc", "Ascend310P3")
SHAPES = ("--sizes", "samples=16000,32000", "--batch-sizes", "1,4")


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle.path, tmp_path / "bundle")


@pytest.fixture
def no_atc(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


@pytest.fixture
def atc(monkeypatch, cann, tmp_path):
    monkeypatch.setenv("PATH", f"{cann.install(tmp_path)}:{os.environ['PATH']}")


def run(*arguments):
    return CliRunner().invoke(app, ["compile", *map(str, arguments)])


def test_without_cann_it_says_that_nothing_was_compiled(bundle, no_atc):
    done = run(bundle, *SOC, *SHAPES)
    assert done.exit_code == 0, done.output
    assert "nothing was compiled" in done.stdout
    assert "4 gears: not compiled" in done.stdout
    script = next((bundle / "compiled" / "ascend").iterdir()) / "atc.sh"
    assert str(script) in done.stdout.replace("\n", "")
    assert "--dynamic_dims=1,16000,1;4,16000,4;1,32000,1;4,32000,4" in script.read_text(encoding="utf-8")


def test_with_cann_it_compiles_and_a_second_time_it_does_not(bundle, atc):
    done = run(bundle, *SOC, *SHAPES, "--precision", "fp16")
    assert done.exit_code == 0, done.output
    assert "4 gears: model.om" in done.stdout
    assert "compiled: " in done.stdout
    assert "half precision (emulated on this CPU, not measured on an NPU): logits differ by up to" in done.stdout
    again = run(bundle, *SOC, *SHAPES, "--precision", "fp16", "--no-emulate")
    assert again.exit_code == 0
    assert "nothing ran" in again.stdout
    assert "half precision" not in again.stdout
    verified = CliRunner().invoke(app, ["verify", str(bundle)])
    assert verified.exit_code == 0, verified.output


def test_json_is_one_document(bundle, atc):
    done = run(bundle, *SOC, *SHAPES, "--split", "--json")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert (row["ok"], row["compiled"], row["ran"], row["cached"]) == (True, True, True, False)
    assert len(row["artifact"]["units"]) == 4


def test_a_plan_gives_the_shapes(bundle, no_atc, tmp_path):
    histogram = LengthSummary(
        count=2, total=30_000, shortest=9_000, median=9_000, p90=21_000, p99=21_000, longest=21_000
    )
    buckets = (Bucket(9_000, 1, 4), Bucket(21_000, 1, 1))
    write_plan(ShapePlan("samples", buckets, 4, None, histogram, 1.0), tmp_path / "plan.json")
    done = run(bundle, *SOC, "--plan", tmp_path / "plan.json", "--json")
    assert done.exit_code == 0, done.output
    (unit,) = json.loads(done.stdout)["artifact"]["units"]
    assert "--dynamic_dims=1,9000,1;4,9000,4;1,21000,1" in unit["command"]


def put_atc(folder, body, monkeypatch):
    """An atc on the PATH, before all others, whose body is shell."""
    folder.mkdir()
    (folder / "atc").write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    (folder / "atc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_failure_leaves_what_was_compiled_before(bundle, atc, monkeypatch, tmp_path):
    assert run(bundle, *SOC, *SHAPES).exit_code == 0
    put_atc(tmp_path / "other", "echo 'E40000: no kernel'; exit 9", monkeypatch)
    done = run(bundle, *SOC, *SHAPES, "--force")
    assert done.exit_code == 9
    assert "atc failed; what was compiled before stays in" in done.stdout
    (folder,) = (bundle / "compiled" / "ascend").iterdir()
    assert f"all that atc printed now: {folder}/atc.failed.log" in done.stdout
    assert (folder / "model.om").is_file()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    done = run(bundle, *SOC, *SHAPES, "--force")
    assert done.exit_code == 0
    assert "atc is not on the PATH: nothing was compiled again" in done.stdout


def test_an_atc_that_claims_a_success_is_not_believed(bundle, monkeypatch, tmp_path):
    put_atc(tmp_path / "bin", "echo 'ATC run success'", monkeypatch)
    done = run(bundle, *SOC, *SHAPES)
    assert done.exit_code == 1
    assert "4 gears: no om, although atc's exit code is 0" in done.stdout
    assert "compiled: " not in done.stdout


def test_what_atc_refuses_is_told_with_its_exit_code(bundle, monkeypatch, tmp_path):
    put_atc(tmp_path / "bin", "echo 'E40000: [a] no kernel'; exit 9", monkeypatch)
    done = run(bundle, *SOC, *SHAPES)
    assert done.exit_code == 9
    assert "E40000: [a] no kernel. fix: " in done.stdout
    assert "atc failed" in done.stdout
    assert "compiled: " not in done.stdout


def test_what_the_linter_refuses_is_not_run(bundle, atc):
    import onnx

    model = onnx.load(bundle / "model.onnx")
    model.opset_import[0].version = 21
    onnx.save(model, bundle / "model.onnx")
    done = run(bundle, *SOC, *SHAPES)
    assert done.exit_code == 1
    assert "E16002" in done.stdout
    assert "atc would refuse this: 1 problem; nothing was written" in done.stdout
    assert not (bundle / "compiled").exists()


WRONG = [
    (SHAPES, "no chip is given"),
    ((*SOC, "--backend", "onnxruntime"), "needs no compiling"),
    (SOC, "no size is given for samples"),
    ((*SOC, "--sizes", "samples"), "is not NAME=NUMBER"),
    ((*SOC, "--sizes", "samples=0"), "no whole number"),
    ((*SOC, "--sizes", "samples=1", "--sizes", "samples=2"), "gives samples twice"),
    ((*SOC, *SHAPES[:2], "--batch-sizes", "1;4"), "no whole number"),
    ((*SOC, *SHAPES, "--plan", "missing.json"), "missing.json is no readable plan"),
    ((*SOC, *SHAPES, "--aipp"), "AIPP"),
    ((*SOC, *SHAPES, "--limit", "3"), "nothing is measured here"),
    ((*SOC, *SHAPES, "--layout", "audio-folder"), "nothing is measured here"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_be_meant_is_a_usage_error(bundle, no_atc, arguments, message):
    done = run(bundle, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr.replace("\n", " ")
    assert not (bundle / "compiled").exists()
