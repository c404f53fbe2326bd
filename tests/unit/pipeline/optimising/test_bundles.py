import json
import shutil

import numpy as np
import onnx_ir as ir
import pytest

from inferry.core.bundle import open_bundle, verify
from inferry.core.errors import BundleError, ParityError, UsageError
from inferry.passes.registry import PASSES
from inferry.passes.rewriting import Outcome
from inferry.pipeline import export as export_module
from inferry.pipeline.model import load
from inferry.pipeline.optimising.prover import Proof, Prover
from inferry.pipeline.optimize import optimize

FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2", "beit", "vilbert-vqa")


@pytest.fixture(scope="module")
def bundles(tiny_bundles, picture_bundle, question_bundle):
    return {**tiny_bundles, "beit": picture_bundle, "vilbert-vqa": question_bundle}


class Planted:
    """Spoils the weight that makes the logits."""

    name = "planted"

    def apply(self, model):
        node = next(node for node in model.graph if "logits" in [value.name for value in node.outputs])
        weight = next(value for value in node.inputs if value.name in model.graph.initializers)
        array = weight.const_value.numpy().copy()
        array.flat[0] += 9
        weight.const_value = ir.Tensor(array, name=weight.name)
        return Outcome(model, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_becomes_a_bundle_with_the_same_answers(family, bundles, tmp_path):
    bundle = bundles[family]
    ledger = optimize(bundle.path, tmp_path / "new", target="ascend310p")
    new = open_bundle(tmp_path / "new")
    assert ledger.ok
    assert verify(new.path).problems == ()
    for name in bundle.manifest.files.keys() - {"model.onnx"}:
        assert (new.path / name).read_bytes() == (bundle.path / name).read_bytes()
    assert new.manifest.inputs == bundle.manifest.inputs
    assert new.manifest.outputs == bundle.manifest.outputs
    assert new.manifest.opset == ir.load(new.model).graph.opset_imports[""]
    assert new.manifest.notes[:-1] == bundle.manifest.notes
    assert new.manifest.notes[-1].startswith("the graph was rewritten for ascend310p: ")
    assert [hop.name.split(",")[0].split(" of ")[0] for hop in ledger.hops][:2] == ["alone", "mixed batch"]
    assert all(hop.passed and hop.samples for hop in ledger.hops)
    assert ledger.untouched == tuple(bundle.manifest.parts.values())


def test_it_is_proven_on_its_own_probes_alone_mixed_and_padded_far(tiny_bundle, tmp_path):
    ledger = optimize(tiny_bundle.path, tmp_path / "new", ["clean-up"])
    assert ledger.cases[:3] == (
        "probes (batch=1, samples=106)",
        "probes (batch=4, samples=32003)",
        "probes (batch=4, samples=64006)",
    )
    assert len(ledger.cases) == 6
    assert [hop.samples for hop in ledger.hops] == [4, 4, 4]


def test_the_ledger_lies_in_the_bundle_without_paths_of_this_machine(picture_bundle, tmp_path):
    optimize(picture_bundle.path, tmp_path / "new", ["clean-up", "merge-casts"])
    text = (tmp_path / "new" / "optimize.json").read_text()
    said = json.loads(text)
    assert said["source"] == picture_bundle.digest
    assert (said["model"], said["output"]) == (picture_bundle.path.name, "model.onnx")
    assert [row["pass"] for row in said["passes"]] == ["clean-up", "merge-casts"]
    assert [hop["passed"] for hop in said["hops"]] == [True, True]
    assert str(tmp_path) not in text
    assert str(picture_bundle.path.parent) not in text


def test_the_report_of_what_was_done_is_no_part_of_the_digest(picture_bundle, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        optimize(picture_bundle.path, tmp_path / name, ["pad-sequence"], seed=seed)
    a, b = (open_bundle(tmp_path / name) for name in ("a", "b"))
    assert (a.path / "optimize.json").read_bytes() != (b.path / "optimize.json").read_bytes()
    assert a.digest == b.digest != picture_bundle.digest
    assert "optimize.json" not in a.text_files()


def test_a_rewritten_bundle_may_be_rewritten_again_in_its_place(picture_bundle, tmp_path):
    optimize(picture_bundle.path, tmp_path / "new", ["pad-sequence"])
    first = open_bundle(tmp_path / "new")
    optimize(first.path, tmp_path / "again", ["merge-casts"])
    optimize(picture_bundle.path, tmp_path / "new", ["pad-sequence"])
    again = open_bundle(tmp_path / "again")
    assert [note.split(": ")[1] for note in again.manifest.notes[-2:]] == [
        "pad-sequence (see optimize.json)",
        "no pass had anything to change (see optimize.json)",
    ]
    assert json.loads((again.path / "optimize.json").read_text())["source"] == first.digest


def test_fixed_sizes(tiny_bundle, tmp_path):
    ledger = optimize(tiny_bundle.path, tmp_path / "new", ["clean-up"], sizes={"batch": 2, "samples": 12000})
    assert ledger.cases == ("probes (batch=2, samples=12000)", "batch=2, samples=12000")
    assert ledger.left_out == 2
    new = open_bundle(tmp_path / "new")
    assert [spec.dims for spec in new.manifest.inputs] == [(2, 12000), (2,)]
    # The rows of an output are cut to their length: the dimension that is cut keeps its name.
    assert [spec.dims for spec in new.manifest.outputs] == [(2, "frames", 10), (2,)]
    with load(new.path) as model:
        feed = {"input_values": np.zeros((2, 12000), np.float32), "input_lengths": np.array([12000, 9000])}
        assert model.run(feed)["logits"].shape[0] == 2


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"samples": 100}, "no probe of wav2vec2 fits --sizes: samples=100, the shortest needs 106"),
        ({"frames": 100}, "--sizes: frames is no dynamic dimension of an input; available: batch, samples"),
    ],
)
def test_sizes_that_cannot_be_meant(sizes, told, tiny_bundle, tmp_path):
    with pytest.raises(UsageError, match=told):
        optimize(tiny_bundle.path, tmp_path / "new", ["clean-up"], sizes=sizes)
    assert not list(tmp_path.iterdir())


def test_a_pass_that_breaks_a_bundle_is_rolled_back_and_kept_beside_it(picture_bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(PASSES, "planted", Planted())
    ledger = optimize(picture_bundle.path, tmp_path / "new", ["planted", "pad-sequence"])
    assert [entry.result for entry in ledger.entries] == ["rolled back", "kept"]
    assert ledger.entries[0].problem.startswith("output logits differs by ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "new.failed"]
    assert (tmp_path / "new.failed" / "planted" / "before.onnx").is_file()
    assert verify(tmp_path / "new").problems == ()
    said = json.loads((tmp_path / "new" / "optimize.json").read_text())
    assert said["passes"][0]["failure"]["folder"] == "new.failed/planted"


def test_other_answers_mean_no_bundle(picture_bundle, tmp_path, monkeypatch):
    """Were the proof of each pass blind, the answers of the whole would still be compared."""
    optimize(picture_bundle.path, tmp_path / "new", ["pad-sequence"])
    old = open_bundle(tmp_path / "new").digest
    monkeypatch.setitem(PASSES, "planted", Planted())
    monkeypatch.setattr(Prover, "compare", lambda *_: Proof(0.0))
    with pytest.raises(ParityError, match="was not written, for its answers are others: alone: logits differ by up to"):
        optimize(picture_bundle.path, tmp_path / "new", ["planted"])
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert open_bundle(tmp_path / "new").digest == old


def test_weights_beside_the_graph_stay_beside_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_EXTERNAL_ABOVE", 0)
    monkeypatch.setitem(PASSES, "planted", Planted())
    bundle = tiny.write_bundle("wav2vec2", tmp_path)
    assert "model.onnx.data" in bundle.manifest.files
    ledger = optimize(bundle.path, tmp_path / "new", ["planted", "clean-up"])
    new = open_bundle(tmp_path / "new")
    assert new.manifest.files.keys() == bundle.manifest.files.keys() | {"optimize.json"}
    assert verify(new.path).problems == ()
    assert ledger.entries[0].failure.nodes == 1
    assert sorted(file.name for file in (tmp_path / "new.failed" / "planted").iterdir()) == [
        *("README.txt", "after.onnx", "before.onnx", "inputs.npz"),
    ]


def test_a_damaged_bundle_is_not_signed_anew(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle.path, tmp_path / "old")
    (tmp_path / "old" / "vocab.json").write_text("{}")
    with pytest.raises(BundleError, match=r"is not as it was written: vocab\.json"):
        optimize(tmp_path / "old", tmp_path / "new", ["clean-up"])
    assert not (tmp_path / "new").exists()


def test_outputs_that_cannot_be_meant(picture_bundle, tmp_path):
    shutil.copytree(picture_bundle.path, tmp_path / "old")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    for output, told in (
        ("old", "lies in the bundle itself"),
        ("old/compiled", "lies in the bundle itself"),
        ("new.onnx", "--output names a folder"),
        ("mine", "exists and is not a bundle"),
    ):
        with pytest.raises(UsageError, match=told):
            optimize(tmp_path / "old", tmp_path / output, ["clean-up"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "old"]
    assert verify(tmp_path / "old").problems == ()
