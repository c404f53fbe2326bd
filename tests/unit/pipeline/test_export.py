import json
from dataclasses import replace

import numpy as np
import pytest

import inferry
from inferry.core.bundle import open_bundle, verify
from inferry.core.errors import BundleError, MissingDependencyError, ParityError, UsageError
from inferry.models.registry import get_recipe
from inferry.pipeline import export as export_module
from inferry.pipeline import parity
from inferry.pipeline.export import export_with_report
from inferry.pipeline.parity import Hop, ParityReport


@pytest.fixture
def checkpoint(tiny, tmp_path):
    return tiny.write_folder(tmp_path / "checkpoint")


def with_recipe(monkeypatch, **changes):
    recipe = replace(get_recipe("wav2vec2"), **changes)
    monkeypatch.setattr(export_module, "get_recipe", lambda _: recipe)


def test_a_bundle_is_whole_and_says_what_it_is(checkpoint, tmp_path):
    made = export_with_report("wav2vec2", checkpoint, tmp_path / "bundle", reference=False)
    assert verify(made.bundle.path).problems == ()
    assert made.nodes > 20
    assert made.seconds > 0
    manifest = made.bundle.manifest
    assert (manifest.family, manifest.task) == ("wav2vec2", "speech-recognition")
    assert manifest.checkpoint["name"] == "checkpoint"
    assert [spec.name for spec in manifest.inputs] == ["input_values", "input_lengths"]
    assert {"inferry", "onnx", "numpy"} <= set(manifest.tools)
    assert {"model.onnx", "processor.json", "vocab.json", "parity.json"} == set(manifest.files)
    hops = made.bundle.read_json("parity.json")["hops"]
    assert hops[0] == {
        "name": "original → ONNX, alone",
        "compared": False,
        "reason": "left out by --no-reference",
    }
    assert all(hop["passed"] and hop["max_abs"] <= hop["tolerance"] == 1e-4 for hop in hops[1:])


def test_the_same_checkpoint_gives_the_same_bundle(checkpoint, tmp_path):
    first = inferry.export("wav2vec2", checkpoint, tmp_path / "a", reference=False)
    assert inferry.export("wav2vec2", checkpoint, tmp_path / "b", reference=False).digest == first.digest


def test_a_changed_weight_breaks_the_first_hop(checkpoint, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    recipe = get_recipe("wav2vec2")

    def perturbed(trained):
        tensors = dict(trained.tensors)
        tensors["lm_head.bias"] = tensors["lm_head.bias"] + np.float32(3e-4) * (np.arange(10) == 5)
        return recipe.build(replace(trained, tensors=tensors))

    with_recipe(monkeypatch, build=perturbed)
    with pytest.raises(ParityError, match=r"'original → ONNX, alone': logits differ by up to 0\.0003"):
        export_with_report("wav2vec2", checkpoint, tmp_path / "out" / "bundle")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_torch_the_bundle_says_what_was_not_compared(checkpoint, tmp_path, monkeypatch):
    def missing(_):
        raise MissingDependencyError("torch", "the comparison", "pip install torch")

    with_recipe(monkeypatch, reference=missing)
    made = export_with_report("wav2vec2", checkpoint, tmp_path / "bundle")
    assert not made.parity.original_compared
    assert "pip install torch" in made.bundle.read_json("parity.json")["hops"][0]["reason"]


def test_a_failed_export_leaves_the_old_bundle(checkpoint, tmp_path, monkeypatch):
    old = inferry.export("wav2vec2", checkpoint, tmp_path / "out" / "bundle", reference=False)
    monkeypatch.setattr(parity, "LOGITS", {"fp32": -1.0})
    with pytest.raises(ParityError):
        inferry.export("wav2vec2", checkpoint, tmp_path / "out" / "bundle", reference=False)
    assert verify(old.path).problems == ()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bundle"]


def test_only_bundles_and_empty_folders_are_replaced(checkpoint, tmp_path):
    (tmp_path / "mine").mkdir()
    assert inferry.export("wav2vec2", checkpoint, tmp_path / "mine", reference=False).path.name == "mine"
    (tmp_path / "mine" / "vocab.json").unlink()
    with pytest.raises(BundleError):
        open_bundle(tmp_path / "mine")
    inferry.export("wav2vec2", checkpoint, tmp_path / "mine", reference=False)
    with pytest.raises(UsageError, match="not a bundle"):
        inferry.export("wav2vec2", checkpoint, checkpoint, reference=False)
    assert (checkpoint / "config.json").is_file()


def test_large_weights_lie_in_a_file_of_their_own(checkpoint, tmp_path, monkeypatch):
    small = inferry.export("wav2vec2", checkpoint, tmp_path / "small", reference=False)
    monkeypatch.setattr(export_module, "_EXTERNAL_ABOVE", 1000)
    large = inferry.export("wav2vec2", checkpoint, tmp_path / "large", reference=False)
    assert large.model.stat().st_size < small.model.stat().st_size
    assert "model.onnx.data" in large.manifest.files
    sound = inferry.Audio(np.random.default_rng(0).standard_normal(5000).astype(np.float32) / 10, 16_000)
    with inferry.load(large.path) as a, inferry.load(small.path) as b:
        np.testing.assert_array_equal(a.infer([sound])[0]["logits"], b.infer([sound])[0]["logits"])


class Letters:
    def decode(self, outputs):
        return outputs["logits"].argmax(-1).tolist()

    def margin(self, outputs):
        best = np.sort(outputs["logits"], axis=-1)
        return float((best[:, -1] - best[:, -2]).min())


class OnlyDecoder:
    decoder = Letters()


def rows(*values):
    return [{"logits": np.array(value, np.float32)} for value in values]


def test_a_hop_counts_texts_and_ties():
    expected = rows([[0.0, 1.0]], [[0.0, 1e-4]], [[5.0, 0.0]])
    found = rows([[0.0, 1.0]], [[1e-4, 0.0]], [[0.0, 5.0]])
    hop = parity._compare("a → b", expected, found, OnlyDecoder())
    assert (hop.samples, hop.max_abs, hop.texts_changed, hop.near_ties) == (3, 5.0, 1, 1)
    assert not hop.passed
    with pytest.raises(ParityError, match=r"'a → b'.* 1 of 3 texts changed"):
        ParityReport((hop,)).require()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_never_passes(value):
    hop = parity._compare("a → b", rows([[0.0, 1.0]]), rows([[0.0, value]]), OnlyDecoder())
    assert hop.max_abs == np.inf
    assert not hop.passed


def test_another_shape_never_passes():
    with pytest.raises(ParityError, match=r"shape \(1, 3\) instead of \(1, 2\)"):
        parity._compare("a → b", rows([[0.0, 1.0]]), rows([[0.0, 1.0, 2.0]]), OnlyDecoder())


def test_a_skipped_hop_says_so():
    skipped = Hop("a → b", skipped="no torch")
    assert skipped.passed
    assert skipped.to_json() == {"name": "a → b", "compared": False, "reason": "no torch"}
    assert json.dumps(Hop("b → c", samples=1, max_abs=0.5, tolerance=1.0).to_json())
    report = ParityReport((skipped,))
    report.require()
    assert not report.original_compared
