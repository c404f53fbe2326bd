from dataclasses import replace

import numpy as np
import pytest

import inferry
from inferry.core.bundle import open_bundle, verify
from inferry.core.errors import BundleError, MissingDependencyError, ParityError, UsageError
from inferry.metrics.differences import Difference
from inferry.models.registry import get_recipe
from inferry.pipeline import export as export_module
from inferry.pipeline import parity
from inferry.pipeline.comparison.hops import Hop
from inferry.pipeline.export import export_with_report
from inferry.pipeline.parity import ParityReport


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


def test_a_report_raises_for_the_first_broken_hop():
    skipped = Hop("a → b", skipped="no torch")
    assert skipped.passed
    report = ParityReport((skipped,))
    report.require()
    assert not report.original_compared
    broken = Hop("b → c", samples=3, difference=Difference(max_abs=5.0), tolerance=1e-4, answers_changed=1)
    with pytest.raises(ParityError, match=r"'b → c'.* up to 5 .* 1 of 3 answers changed"):
        ParityReport((skipped, broken)).require()
