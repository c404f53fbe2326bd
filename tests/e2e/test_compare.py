"""`inferry compare` as a user calls it: what it prints, its JSON, its exit codes; once on a trained checkpoint."""

import json
import shutil

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import inferry
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


def with_changed_weight(bundle, folder, name, file="model.onnx"):
    """A copy in which one value of one weight is another; the manifest agrees with the files."""
    shutil.copytree(bundle.path, folder)
    model = ir.load(bundle.path / file)
    weight = model.graph.initializers[name]
    array = weight.const_value.numpy().copy()
    array.reshape(-1)[array.size // 2] += 0.5
    weight.const_value = ir.Tensor(array, name=name)
    ir.save(model, folder / file)
    (folder / "manifest.json").unlink()
    return write_manifest(folder, bundle.manifest)


@pytest.fixture(scope="module")
def damaged(bundle, tmp_path_factory):
    return with_changed_weight(bundle, tmp_path_factory.mktemp("damaged") / "bundle", WEIGHT)


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
    assert "4 of 4 samples of the family's probes" in done.stdout
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


@pytest.fixture(scope="module")
def classifier(pictures, tmp_path_factory):
    return pictures.write_beit(tmp_path_factory.mktemp("beit") / "checkpoint")


@pytest.fixture(scope="module")
def picture_bundle(classifier, tmp_path_factory):
    return export("beit", classifier, tmp_path_factory.mktemp("beit") / "bundle", reference=False)


@pytest.fixture(scope="module")
def photos(pictures, tmp_path_factory):
    return pictures.write_pictures(tmp_path_factory.mktemp("photos"), 9)


def test_a_picture_classifier_passes_every_hop(picture_bundle, classifier, photos, tmp_path):
    pytest.importorskip("torch")
    done = call(picture_bundle.path, "--checkpoint", classifier, "--data", photos, "--output", tmp_path)
    assert done.exit_code == 0, done.output
    assert "9 of 9 samples" in done.stdout
    for text in ("original alone", "batched", "answers changed", "same class as the truth", "top-1 to the references"):
        assert text in done.stdout
    assert "frames" not in done.stdout
    assert "padded" not in done.stdout
    hops = json.loads((tmp_path / "parity.json").read_text())["hops"]
    assert [hop["agreement"]["percent"] for hop in hops] == [100.0] * 3
    assert [hop["name"] for hop in hops] == ["ONNX as written", "optimised", "batched"]
    probed = call(picture_bundle.path, "--checkpoint", classifier)
    assert probed.exit_code == 0, probed.output
    assert "4 of 4 samples of the family's probes" in probed.stdout


@pytest.mark.parametrize("scope", ["blocks.0.attn.qkv", "blocks.1.mlp.fc1", "head"])
def test_one_changed_weight_of_a_picture_classifier_names_its_node(scope, picture_bundle, classifier, photos, tmp_path):
    weight, node = f"{scope}.weight.T", f"{scope.removesuffix('.qkv')}/MatMul"
    bad = with_changed_weight(picture_bundle, tmp_path / "damaged", weight)
    done = call(bad.path, "--checkpoint", classifier, "--no-reference", "--data", photos, "--json")
    assert done.exit_code == 1
    fault = json.loads(done.stdout)["fault"]
    assert (fault["hop"], fault["node"]) == ("ONNX as written", node)
    assert f"the weight {weight} differs in 1 of " in fault["sentence"]


def test_outputs_of_pictures_made_elsewhere(picture_bundle, photos, tmp_path):
    with inferry.load(picture_bundle.path) as model:
        for file in sorted(photos.rglob("*.png")):
            name = str(file.relative_to(photos).with_suffix("")).replace("/", "_")
            np.save(tmp_path / f"{name}.npy", model.infer([file])[0]["logits"])
    done = call(picture_bundle.path, "--outputs", tmp_path, "--data", photos)
    assert done.exit_code == 0, done.output
    values = np.load(tmp_path / "cat_picture000.npy")
    np.save(tmp_path / "cat_picture000.npy", values[::-1])
    done = call(picture_bundle.path, "--outputs", tmp_path, "--data", photos)
    assert done.exit_code == 1
    assert "1 of 9 answers changed" in done.stdout


def test_other_labels_fail_the_comparison(picture_bundle, photos, tmp_path):
    shutil.copytree(picture_bundle.path, tmp_path / "other")
    (tmp_path / "other" / "manifest.json").unlink()
    (tmp_path / "other" / "labels.txt").write_text("dog\ncat\nowl\n", encoding="utf-8")
    other = write_manifest(tmp_path / "other", picture_bundle.manifest)
    done = call(other.path, "--bundle", picture_bundle.path, "--data", photos)
    assert done.exit_code == 1
    assert "labels.txt: not those of bundle" in done.stdout


def test_the_layout_can_be_named(picture_bundle, photos):
    done = call(picture_bundle.path, "--no-reference", "--data", photos, "--layout", "image-folder")
    assert done.exit_code == 0, done.output
    assert "to the references" not in done.stdout, "this layout has none"
    assert call(picture_bundle.path, "--no-reference", "--data", photos, "--layout", "shelf").exit_code == 1
    assert "--layout is for --data" in call(picture_bundle.path, "--no-reference", "--layout", "image-folder").stderr


def test_pictures_of_other_classes_are_a_sentence(pictures, picture_bundle, tmp_path):
    for name in ("ant", "bee", "cow", "dog"):
        pictures.write_pictures(tmp_path / name, 1, labelled=False)
    done = call(picture_bundle.path, "--no-reference", "--data", tmp_path)
    assert done.exit_code == 1
    assert "class 3 is none of the network's 3" in done.stderr


def test_questions_about_pictures(question_bundle, asking, tmp_path):
    """The network's hops are fed by the bundle's own detector; another detector is named all the same."""
    archive = question_bundle.path.parent / "archive.tar.gz"
    asking.write_data(tmp_path / "data", pictures=2, questions=5)
    arguments = (question_bundle.path, "--checkpoint", archive, "--no-reference", "--data", tmp_path / "data")
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    for text in ("5 of 5 samples", "same answer as the truth", "VQA score to the references"):
        assert text in done.stdout
    other = asking.write_detector(tmp_path / "other.pth", seed=1)
    done = call(*arguments, "--detector", other, "--json")
    assert done.exit_code == 1
    row = json.loads(done.stdout)
    assert all(hop.get("passed", True) for hop in row["hops"])
    assert "'detector' is not the checkpoint's, the weight" in row["fault"]["sentence"]
    assert row["fault"]["tensor"] is not None


def test_a_damaged_detector_fails_the_comparison(question_bundle, tmp_path):
    archive = question_bundle.path.parent / "archive.tar.gz"
    name = "roi_heads.box_head.fc6.weight"
    weights = ir.load(question_bundle.path / "detector.onnx").graph.initializers
    (name,) = [weight for weight in weights if weight.startswith(name)]
    damaged = with_changed_weight(question_bundle, tmp_path / "damaged", name, "detector.onnx")
    done = call(damaged.path, "--checkpoint", archive, "--no-reference")
    assert done.exit_code == 1
    assert f"the weight {name} differs in 1 of " in " ".join(done.stdout.split())


def test_exit_codes(bundle, tmp_path):
    assert call(bundle.path).exit_code == 2
    assert call(bundle.path, "--no-reference", "--limit", 0).exit_code == 2
    assert call(tmp_path, "--no-reference").exit_code == 2
    (tmp_path / "data.jsonl").write_text('{"id": "a", "audio": "nowhere.wav"}\n')
    nothing = call(bundle.path, "--no-reference", "--data", tmp_path / "data.jsonl")
    assert nothing.exit_code == 1
    assert "nothing was compared" in nothing.output
    assert open_bundle(bundle.path).digest == bundle.digest
