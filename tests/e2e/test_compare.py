"""`inferry compare` as a user calls it: what it prints, its JSON, its exit codes; once on a trained checkpoint."""

import json
import shutil

import onnx_ir as ir
import pytest
from typer.testing import CliRunner

from inferry.cli.main import app
from inferry.core.bundle import open_bundle, write_manifest
from inferry.pipeline import compare as compare_module
from inferry.pipeline.export import export

WEIGHT = "wav2vec2.encoder.layers.1.feed_forward.intermediate_dense.weight.T"
NODE = "wav2vec2.encoder.layers.1.feed_forward.intermediate_dense/MatMul"


def call(*arguments):
    return CliRunner().invoke(app, ["compare", *(str(one) for one in arguments)], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def checkpoint(repository):
    return repository / "examples" / "speech" / "wav2vec2"


@pytest.fixture(scope="module")
def clips(repository):
    return repository / "examples" / "speech" / "clips"


@pytest.fixture(scope="module")
def bundle(checkpoint, tmp_path_factory):
    return export("wav2vec2", checkpoint, tmp_path_factory.mktemp("compare") / "bundle", reference=False)


@pytest.fixture(scope="module")
def damaged(bundle, tmp_path_factory):
    """One value of one weight in the middle of the graph is another; the manifest agrees with the files."""
    folder = tmp_path_factory.mktemp("damaged") / "bundle"
    shutil.copytree(bundle.path, folder)
    model = ir.load(bundle.model)
    weight = model.graph.initializers[WEIGHT]
    array = weight.const_value.numpy().copy()
    array[3, 5] += 0.5
    weight.const_value = ir.Tensor(array, name=WEIGHT)
    ir.save(model, folder / "model.onnx")
    (folder / "manifest.json").unlink()
    return write_manifest(folder, bundle.manifest)


def test_a_trained_checkpoint_passes_every_hop(bundle, checkpoint, clips, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    done = call(bundle.path, "--checkpoint", checkpoint, "--data", clips, "--limit", 4, "--output", tmp_path)
    assert done.exit_code == 0, done.output
    assert "4 of 24 samples" in done.stdout
    for text in ("original alone", "ONNX as written", "optimised", "batched and padded", "0 of 4", "WER"):
        assert text in done.stdout
    row = json.loads((tmp_path / "parity.json").read_text())
    assert row["fault"] is None
    assert all(hop["passed"] for hop in row["hops"])


def test_one_changed_weight_of_a_trained_checkpoint_names_its_node(damaged, checkpoint, clips):
    done = call(damaged.path, "--checkpoint", checkpoint, "--no-reference", "--data", clips, "--limit", 4, "--json")
    assert done.exit_code == 1
    row = json.loads(done.stdout)
    assert row["fault"]["node"] == NODE
    assert row["fault"]["hop"] == "ONNX as written"
    assert f"the weight {WEIGHT} differs in 1 of " in row["fault"]["sentence"]


def test_two_bundles(bundle, damaged, clips):
    assert call(bundle.path, "--bundle", bundle.path, "--data", clips, "--limit", 2).exit_code == 0
    done = call(damaged.path, "--bundle", bundle.path)
    assert done.exit_code == 1
    assert "4 of 4 samples of seeded noise" in done.stdout
    assert "broken: The first hop that changes the answer is 'bundle, alone'" in done.stdout
    assert NODE in done.stdout


def test_what_was_left_out_is_printed(tiny, tiny_bundle, tmp_path):
    done = call(tiny_bundle.path, "--no-reference", "--data", tiny.write_difficult_data(tmp_path))
    assert done.exit_code == 0
    assert "not compared: ONNX as written" in done.stdout
    assert "left out: empty:" in done.stdout
    assert "left out in all" in done.stdout


def test_an_interruption_says_that_nothing_was_written(bundle, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_module, "find_fault", interrupted)
    done = call(bundle.path, "--no-reference", "--output", tmp_path / "out")
    assert done.exit_code == 130
    assert "nothing was written" in done.stderr
    assert not (tmp_path / "out").exists()


def test_exit_codes(bundle, tmp_path):
    assert call(bundle.path).exit_code == 2
    assert call(bundle.path, "--no-reference", "--limit", 0).exit_code == 2
    assert call(tmp_path, "--no-reference").exit_code == 2
    (tmp_path / "data.jsonl").write_text('{"id": "a", "audio": "nowhere.wav"}\n')
    nothing = call(bundle.path, "--no-reference", "--data", tmp_path / "data.jsonl")
    assert nothing.exit_code == 1
    assert "nothing was compared" in nothing.output
    assert open_bundle(bundle.path).digest == bundle.digest
