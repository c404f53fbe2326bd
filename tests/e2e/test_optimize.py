"""Passes over ONNX files and bundles, from the command line."""

import json

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

from inferry.backends.registry import get_backend
from inferry.cli.main import app
from inferry.core.protocols import SessionOptions
from inferry.passes.registry import PASSES
from inferry.passes.rewriting import Declined, Outcome


def optimize(*arguments):
    return CliRunner().invoke(app, ["optimize", *(str(one) for one in arguments)])


def test_a_bundle_s_graph_answers_the_same(tiny_bundle, tmp_path):
    output = tmp_path / "new" / "model.onnx"
    done = optimize(tiny_bundle.model, "--target", "ascend310p", "--output", output)
    assert done.exit_code == 0, done.output
    assert "clean-up" in done.stdout
    assert "greatest difference " in done.stdout
    feed = {
        "input_values": np.random.default_rng(0).standard_normal((2, 3000)).astype(np.float32),
        "input_lengths": np.array([3000, 1500], np.int64),
    }
    found = []
    for file in (tiny_bundle.model, output):
        session = get_backend("onnxruntime").open(file, SessionOptions(optimise=False))
        found.append(session.run(feed))
        session.close()
    for name, expected in found[0].items():
        assert np.abs(expected - found[1][name]).max() <= 1e-5 * np.abs(expected).max()


def test_json_names_every_pass(tiny_bundle, tmp_path):
    output = tmp_path / "model.onnx"
    done = optimize(tiny_bundle.model, "--output", output, "--passes", "clean-up,merge-casts", "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [row["pass"] for row in said["passes"]] == ["clean-up", "merge-casts"]
    assert said["ok"]
    assert len(list(ir.load(output).graph)) == said["passes"][-1]["nodes_after"]


def test_a_bundle_becomes_a_bundle(question_bundle, tmp_path):
    new = tmp_path / "new"
    done = optimize(question_bundle.path, "--target", "ascend310p", "--output", new)
    assert done.exit_code == 0, done.output
    assert "not rewritten: detector.onnx is as it was" in done.stdout
    assert "answers of the new bundle, alone: the old bundle's for 5 probes, greatest difference " in done.stdout
    for arguments in (["verify", new], ["compare", new, "--bundle", question_bundle.path]):
        said = CliRunner().invoke(app, [str(one) for one in arguments])
        assert said.exit_code == 0, said.output


def test_sizes(tiny_bundle, tmp_path):
    new = tmp_path / "new"
    done = optimize(tiny_bundle.path, "--output", new, "--sizes", "batch=1, samples=12000", "--passes", "clean-up")
    assert done.exit_code == 0, done.output
    assert "proven on inputs of these sizes: probes (batch=1, samples=12000); batch=1, samples=12000" in done.stdout
    assert "not used: 2 of the family's probes, too large for these sizes" in done.stdout


class Planted:
    """Doubles the logits."""

    name = "planted"

    def apply(self, model):
        node = next(node for node in model.graph if "logits" in [value.name for value in node.outputs])
        weight = next(value for value in node.inputs if value.name in model.graph.initializers)
        weight.const_value = ir.Tensor(weight.const_value.numpy() * np.float32(2), name=weight.name)
        return Outcome(model, 1)


def test_a_pass_that_breaks_is_named_with_what_is_kept_of_it(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(PASSES, "planted", Planted())
    monkeypatch.chdir(tmp_path)
    done = optimize(tiny_bundle.model, "--output", "out.onnx", "--passes", "planted,clean-up")
    assert done.exit_code == 1
    assert "rolled back: planted at the node " in done.stdout
    assert "kept in out.onnx.failed/planted: a part of 1 node that shows it" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines()[:3])
    said = json.loads(optimize(tiny_bundle.model, "--output", "out.onnx", "--passes", "planted", "--json").stdout)
    assert said["passes"][0]["failure"]["folder"] == "out.onnx.failed/planted"
    assert said["passes"][0]["failure"]["nodes"] == 1


class Choosy:
    """Leaves five places for four reasons."""

    name = "choosy"

    def apply(self, model):
        reasons = ("is one", "is two", "is one", "is three", "is four")
        return Outcome(model, 0, tuple(Declined("a", reason) for reason in reasons))


def test_reasons_that_are_not_shown_are_counted(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(PASSES, "choosy", Choosy())
    done = optimize(tiny_bundle.model, "--output", tmp_path / "out.onnx", "--passes", "choosy")
    said = [line for line in done.stdout.splitlines() if line.startswith("choosy declined")]
    assert said[0] == "choosy declined 2: is one"
    assert said[-1] == "choosy declined for 1 more reason (--json has it)"
    assert len(said) == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.onnx", "--output", "out.onnx"], "there is no ONNX file missing.onnx"),
        (["BUNDLE", "--output", "out.onnx"], "a bundle becomes a bundle: --output names a folder"),
        (["MODEL", "--output", "out.onnx", "--target", "toaster"], "toaster"),
        (["MODEL", "--output", "out.onnx", "--passes", "magic"], "magic"),
        (["MODEL", "--output", "MODEL"], "is the model itself"),
        (["MODEL", "--output", "out"], "is an ONNX file, and so is what becomes of it: --output names one, not out"),
        (["MODEL", "--output", "out.onnx", "--sizes", "samples"], "found 'samples'"),
        (["MODEL", "--output", "out.onnx", "--sizes", "samples=1,samples=2"], "found 'samples=2'"),
        (["MODEL", "--output", "out.onnx", "--sizes", "length=5"], "available: batch, samples"),
    ],
)
def test_what_cannot_be_meant(tiny_bundle, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    named = {"MODEL": tiny_bundle.model, "BUNDLE": tiny_bundle.path}
    done = optimize(*(named.get(one, one) for one in arguments))
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []
