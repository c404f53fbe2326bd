"""From a bundle to answers of an NPU, for all families, through every verb: on simulated CANN, in fp32 and in fp16."""

import json
import os
import subprocess

import pytest
from typer.testing import CliRunner

from inferry.cli.main import app

FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2", "beit", "vilbert-vqa")
HALF_DRIFT = 0.05
"""Half precision moves the tiny models' logits by less."""


@pytest.fixture(scope="module")
def programs(cann, tmp_path_factory):
    return cann.install(tmp_path_factory.mktemp("cann"))


@pytest.fixture
def cann_on_path(programs, monkeypatch):
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("AIS_BENCH", "ais_bench")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tiny, pictures, asking, tmp_path_factory):
    """A bundle, a data set, and what ONNX Runtime answers."""
    folder, name = tmp_path_factory.mktemp("family"), request.param
    if name in tiny.FAMILIES:
        bundle, data = request.getfixturevalue("tiny_bundles")[name], tiny.write_data(folder / "data", 6)
    elif name == "beit":
        bundle, data = request.getfixturevalue("picture_bundle"), pictures.write_pictures(folder / "data", 6)
    else:
        bundle, data = request.getfixturevalue("question_bundle"), asking.write_data(folder / "data")
    done("infer", bundle.path, "--data", data, "--output", folder / "cpu")
    return bundle, data, folder / "cpu"


def done(*arguments):
    """The JSON that a verb prints, once it has ended well."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def answers(run):
    return (run / "predictions.jsonl").read_bytes()


def run_script(pack):
    return subprocess.run(["sh", "run.sh"], cwd=pack, capture_output=True, text=True, check=False, timeout=300)


def packed(family, tmp_path, precision):
    """Pack, run there, and read what comes back; gives the job and the run."""
    bundle, data, _ = family
    pack = tmp_path / f"pack-{precision}"
    arguments = ("--batch-sizes", "1,3", "--precision", precision, "--output", pack)
    assert done("pack", bundle.path, "--data", data, *arguments)["counts"]["quarantined"] == 0
    script = run_script(pack)
    assert script.returncode == 0, script.stdout + script.stderr
    back = tmp_path / f"back-{precision}"
    done("postprocess", bundle.path, "--job", pack / "inputs", "--outputs", pack / "results", "--output", back)
    return json.loads((pack / "inputs" / "job.json").read_text()), back


def compiled(family, folder, gears, precision):
    """Optimise and compile for the shapes of a job; gives the new bundle and what compile says."""
    bundle = family[0]
    if not folder.exists():
        assert done("optimize", bundle.path, "--target", "ascend310p", "--output", folder)["ok"]
        assert done("verify", folder)["ok"]
    sizes = {}
    for gear in gears:
        for name, size in gear["sizes"].items():
            sizes.setdefault(name, set()).add(size)
    words = [
        word for name, found in sizes.items() for word in ("--sizes", f"{name}={','.join(map(str, sorted(found)))}")
    ]
    made = done("compile", folder, "--soc", "Ascend310P3", "--precision", precision, "--batch-sizes", "1,3", *words)
    assert made["compiled"]
    assert made["problems"] == []
    return made


@pytest.mark.slow
def test_the_answers_of_an_npu_are_those_of_the_processor(family, cann_on_path, installed_acl, tmp_path):
    _, data, cpu = family
    job, back = packed(family, tmp_path, "fp32")
    assert answers(back) == answers(cpu)
    compiled(family, tmp_path / "optimised", job["gears"], "fp32")
    done("infer", tmp_path / "optimised", "--data", data, "--backend", "ascend", "--output", tmp_path / "npu")
    assert answers(tmp_path / "npu") == answers(cpu)
    timings = json.loads((back / "timings.json").read_text())
    assert {row["batch"] for row in timings["npu"]} == {1, 3}
    assert timings["signature"]["measured"] == "elsewhere"


@pytest.mark.slow
def test_half_precision_drifts_a_little_and_says_how_much(family, cann_on_path, installed_acl, tmp_path):
    _, data, cpu = family
    job, back = packed(family, tmp_path, "fp16")
    made = compiled(family, tmp_path / "optimised", job["gears"], "fp16")
    assert made["drift"]["hop"]["samples"] > 0
    assert 0 < made["drift"]["hop"]["max_abs"] < HALF_DRIFT
    done(
        *("infer", tmp_path / "optimised", "--data", data, "--backend", "ascend", "--precision", "fp16"),
        *("--output", tmp_path / "npu"),
    )
    # Two ways to the same simulated device.
    assert answers(tmp_path / "npu") == answers(back)
    rows = [json.loads(line) for line in (cpu / "predictions.jsonl").read_text().splitlines()]
    assert len(answers(back).splitlines()) == len(rows)
