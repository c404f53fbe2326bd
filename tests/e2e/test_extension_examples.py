"""The files printed in docs/adding-a-model.md, adding-a-backend.md and adding-a-pass.md work as they stand."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import parser
from safetensors.numpy import save_file

PRINTED = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
POINTS = re.compile(r"```toml\n\[project\.entry-points\.\"(\S+)\"\]\n(.*?)```", re.DOTALL)
WINDOW = 400


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory) -> Path:
    """A folder of installed packages that holds the files and their entry points."""
    folder = tmp_path_factory.mktemp("site")
    points = ""
    for page in ("adding-a-model.md", "adding-a-backend.md", "adding-a-pass.md"):
        text = (repository / "docs" / page).read_text(encoding="utf-8")
        [(name, code)] = PRINTED.findall(text)
        [(group, line)] = POINTS.findall(text)
        (folder / name).write_text(code, encoding="utf-8")
        points += f"[{group}]\n{line}\n"
    info = folder / "extension_examples-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extension-examples\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points.replace('"', ""))
    return folder


@pytest.fixture(scope="module")
def run(site, repository):
    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=environment,
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Letters by the sign of a window's first sample: A for positive, B for negative."""
    folder = tmp_path_factory.mktemp("linear")
    weight = np.zeros((4, WINDOW), np.float32)
    weight[1:3, 0] = 1.0, -1.0
    save_file({"weight": weight, "bias": np.zeros(4, np.float32)}, folder / "model.safetensors")
    (folder / "letters.json").write_text(json.dumps(["<pad>", "A", "B", "|"]))
    return folder


def test_a_family_in_one_file(run, checkpoint, tmp_path):
    sound = np.repeat([0.5, -0.5, -0.5, 0.5], WINDOW)
    soundfile.write(tmp_path / "sound.wav", sound, 16_000)
    assert "linear-ctc" in run("inferry", "models")
    made = json.loads(
        run("inferry", "export", "linear-ctc", "--checkpoint", str(checkpoint), "--output", f"{tmp_path}/b", "--json")
    )
    assert all(hop.get("passed", True) for hop in made["parity"]["hops"])
    assert made["parity"]["hops"][-1]["samples"] > 0
    for backend in ("onnxruntime", "plain"):
        text = run("inferry", "predict", f"{tmp_path}/b", f"{tmp_path}/sound.wav", "--backend", backend)
        assert text == "ABA\n"


def test_a_backend_in_one_file(run):
    assert "backend plain" in run("inferry", "doctor")
    report = run(
        "pytest",
        "tests/conformance",
        "-k",
        "plain",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=-q --import-mode=importlib",
    )
    passed = re.search(r"(\d+) passed", report)
    assert passed is not None, report
    assert int(passed[1]) > 20
    assert "skipped" not in report


DROPOUTS = """<ir_version: 8, opset_import: ["": 17]> g (float[b, 4] x) => (y, m) <bool no = {0}, float half = {0.5}> {
    a = Relu (x)
    d = Dropout (a)
    e = Dropout (d, half, no)
    f, m = Dropout (e)
    y = Neg (f)
}"""


def test_a_pass_in_one_file(run, tmp_path):
    onnx.save(parser.parse_model(DROPOUTS), tmp_path / "in.onnx")
    passes = ("--passes", "clean-up,drop-dropout")
    told = run("inferry", "optimize", f"{tmp_path}/in.onnx", *passes, "--output", f"{tmp_path}/out.onnx", "--json")
    ledger = json.loads(told)["passes"][1]
    assert (ledger["pass"], ledger["result"], ledger["matches"]) == ("drop-dropout", "kept", 2)
    assert [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node] == ["Relu", "Dropout", "Neg"]
    assert "hands out its mask" in told
