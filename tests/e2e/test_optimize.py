"""Passes over an ONNX file, from the command line."""

import json

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

from inferry.backends.registry import get_backend
from inferry.cli.main import app
from inferry.core.protocols import SessionOptions


def optimize(*arguments):
    return CliRunner().invoke(app, ["optimize", *(str(one) for one in arguments)])


def test_a_bundle_s_graph_answers_the_same(tiny_bundle, tmp_path):
    output = tmp_path / "new" / "model.onnx"
    done = optimize(tiny_bundle.model, "--target", "ascend310p", "--output", output)
    assert done.exit_code == 0, done.output
    assert "clean-up" in done.stdout
    assert "greatest difference 0.0e+00 of an output's scale" in done.stdout
    feed = {
        "input_values": np.random.default_rng(0).standard_normal((2, 3000)).astype(np.float32),
        "input_lengths": np.array([3000, 1500], np.int64),
    }
    found = []
    for file in (tiny_bundle.model, output):
        session = get_backend("onnxruntime").open(file, SessionOptions(optimise=False))
        found.append(session.run(feed))
        session.close()
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_json_names_every_pass(tiny_bundle, tmp_path):
    output = tmp_path / "model.onnx"
    done = optimize(tiny_bundle.model, "--output", output, "--passes", "clean-up,merge-casts", "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [row["pass"] for row in said["passes"]] == ["clean-up", "merge-casts"]
    assert said["ok"]
    assert len(list(ir.load(output).graph)) == said["passes"][-1]["nodes_after"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.onnx", "--output", "out.onnx"], "there is no ONNX file missing.onnx"),
        (["BUNDLE", "--output", "out.onnx"], "a bundle's is model.onnx"),
        (["MODEL", "--output", "out.onnx", "--target", "toaster"], "toaster"),
        (["MODEL", "--output", "out.onnx", "--passes", "magic"], "magic"),
        (["MODEL", "--output", "MODEL"], "is the model itself"),
    ],
)
def test_what_cannot_be_meant(tiny_bundle, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    named = {"MODEL": tiny_bundle.model, "BUNDLE": tiny_bundle.path}
    done = optimize(*(named.get(one, one) for one in arguments))
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())
    assert not (tmp_path / "out.onnx").exists()
