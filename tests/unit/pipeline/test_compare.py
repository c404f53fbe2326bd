"""The ledger: every hop is measured, the first broken one is named, and nothing is compared in silence."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
import soundfile

import inferry
from inferry.core.bundle import open_bundle, write_manifest
from inferry.core.errors import CheckpointError, DatasetError, MissingDependencyError, ParityError, UsageError
from inferry.core.protocols import MAX_SECONDS, ExportOptions
from inferry.pipeline import compare as compare_module
from inferry.pipeline.compare import Against, compare
from inferry.pipeline.comparison import lineup

HOPS = ["ONNX as written", "optimised", "batched and padded"]


@pytest.fixture(scope="module")
def checkpoint(tiny, tmp_path_factory):
    return tiny.write_folder(tmp_path_factory.mktemp("compare") / "checkpoint")


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"), 9)


def changed(bundle, folder, change):
    """A copy of the bundle with another graph, whose manifest is right: verify finds nothing."""
    target = folder / "changed"
    shutil.copytree(bundle.path, target)
    (target / "manifest.json").unlink()
    model = ir.load(target / "model.onnx")
    change(model)
    ir.save(model, target / "new.onnx")
    (target / "new.onnx").replace(target / "model.onnx")
    return write_manifest(target, bundle.manifest)


def one_weight(name):
    def change(model):
        value = model.graph.initializers[name]
        array = value.const_value.numpy().copy()
        array.reshape(-1)[array.size // 2] += 0.5
        value.const_value = ir.Tensor(array, name=name)

    return change


def without_mask(model):
    softmax = next(node for node in model.graph if node.name == "wav2vec2.encoder.layers.1.attention/Softmax")
    softmax.replace_input_with(0, softmax.inputs[0].producer().inputs[0])


def test_a_good_bundle_passes_every_hop(tiny_bundle, checkpoint, data, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    found = compare(tiny_bundle.path, Against(checkpoint), data=data, limit=6, output=tmp_path / "out")
    assert found.passed
    assert found.truth == "original alone"
    assert [hop.name for hop in found.hops] == HOPS
    assert all(hop.samples == 6 and 0 < hop.max_abs <= 1e-4 and hop.answers_changed == 0 for hop in found.hops)
    assert [hop.added_max_abs is None for hop in found.hops] == [True, False, False]
    assert all(hop.agreement.percent == 0 and hop.accuracy.name == "WER to the references" for hop in found.hops)
    assert found.signature["torch"]
    row = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert row["fault"] is None
    assert (row["bundle"], row["data"]) == (tiny_bundle.digest, str(data))
    assert [hop["name"] for hop in row["hops"]] == HOPS


def test_one_changed_weight_is_named(tiny_bundle, checkpoint, data, tmp_path):
    weight = "wav2vec2.encoder.layers.0.attention.out_proj.weight.T"
    bad = changed(tiny_bundle, tmp_path, one_weight(weight))
    found = compare(bad.path, Against(checkpoint, reference=False), data=data)
    assert found.truth == "graph of the checkpoint"
    assert found.hops[0].to_json() == {"name": "original", "compared": False, "reason": "left out by --no-reference"}
    assert not found.passed
    fault = found.fault
    assert fault.hop == "ONNX as written"
    assert (fault.node, fault.operator) == ("wav2vec2.encoder.layers.0.attention.out_proj/MatMul", "MatMul")
    assert fault.sample.startswith("utt")
    assert f"the weight {weight} differs in 1 of 256 values" in fault.sentence
    assert fault.to_json()["tensor"] == fault.tensor


def test_a_fault_that_only_padding_shows(tiny_bundle, data, tmp_path):
    bad = changed(tiny_bundle, tmp_path, without_mask)
    found = compare(bad.path, Against(reference=False), data=data)
    assert [hop.passed for hop in found.hops] == [True, True, False]
    assert found.fault.hop == "batched and padded"
    assert found.fault.node == "wav2vec2.encoder.layers.1.attention/Softmax"
    assert "its inputs agree" in found.fault.sentence


def test_a_fault_of_the_writer_is_not_put_on_a_node(tiny, tiny_bundle, checkpoint, data, monkeypatch):
    """The bundle holds what `build` writes: then the graph has no node to name, and the sentence says so."""
    recipe = compare_module.get_recipe("wav2vec2")

    class Other:
        def infer(self, inputs):
            with inferry.load(tiny_bundle.path) as model:
                logits = model._session.run({name: array[None] for name, array in inputs.items()})["logits"][0]
            return {"logits": logits + 1}

        def signature(self):
            return {"network": "another"}

    monkeypatch.setattr(compare_module, "get_recipe", lambda _: replace(recipe, reference=lambda _: Other()))
    found = compare(tiny_bundle.path, Against(checkpoint), data=data, limit=2)
    assert found.fault.node is None
    assert "the difference lies in how the graph is written, or in the original" in found.fault.sentence
    assert "not narrowed down further" in found.fault.sentence


def test_without_torch_the_original_is_an_error(tiny_bundle, checkpoint, data, monkeypatch):
    def missing(_):
        raise MissingDependencyError("torch", "the comparison", "pip install torch")

    recipe = replace(compare_module.get_recipe("wav2vec2"), reference=missing)
    monkeypatch.setattr(compare_module, "get_recipe", lambda _: recipe)
    with pytest.raises(MissingDependencyError, match="pip install torch"):
        compare(tiny_bundle.path, Against(checkpoint), data=data)


def test_two_bundles(tiny_bundle, data, tmp_path):
    same = compare(tiny_bundle.path, Against(bundle=tiny_bundle.path), data=data)
    assert same.passed
    assert same.hops[0].max_abs == 0
    other = changed(tiny_bundle, tmp_path, one_weight("lm_head.bias"))
    found = compare(other.path, Against(bundle=tiny_bundle.path), data=data, limit=3)
    assert found.truth == "wav2vec2-bundle, alone"
    assert [hop.samples for hop in found.hops] == [3, 3]
    assert found.fault.node == "lm_head/Add"


def test_two_bundles_whose_graphs_share_no_names(tiny_bundle, data, tmp_path):
    def change(model):
        one_weight("lm_head.bias")(model)
        for node in model.graph:
            for value in node.outputs:
                if not value.is_graph_output():
                    value.name = f"renamed/{value.name}"

    other = changed(tiny_bundle, tmp_path, change)
    found = compare(other.path, Against(bundle=tiny_bundle.path), data=data, limit=2)
    assert "whose tensors have no counterpart of the same name" in found.fault.sentence
    assert (found.fault.node, found.fault.tensor) == (None, "logits")


def test_two_bundles_of_other_inputs(tiny_bundles):
    with pytest.raises(UsageError, match="other inputs"):
        compare(tiny_bundles["wav2vec2"].path, Against(bundle=tiny_bundles["deepspeech2"].path))


@pytest.fixture
def outputs(tiny_bundle, data, tmp_path):
    """What another runtime might have written."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    with inferry.load(tiny_bundle.path) as model:
        for index, row in enumerate(rows):
            logits = model.infer([data.parent / row["audio"]])[0]["logits"]
            if index % 2:
                np.save(folder / f"{row['id']}.npy", logits)
            else:
                np.savez(folder / f"{row['id']}.npz", logits=logits)
    return folder


def test_outputs_made_elsewhere(tiny_bundle, checkpoint, data, outputs):
    np.save(outputs / "nobody.npy", np.zeros((1, 2)))
    (outputs / "readme.txt").touch()
    found = compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    assert found.passed
    assert [hop.name for hop in found.hops] == ["outputs of outputs"]
    assert found.hops[0].samples == 9
    assert found.notes == (f"of {outputs}, these belong to no sample: nobody.npy, readme.txt",)
    longer = compare(tiny_bundle.path, Against(checkpoint, outputs=outputs, reference=False), data=data)
    assert [hop.name for hop in longer.hops] == ["original", *HOPS, "outputs of outputs"]
    assert longer.passed


def test_wrong_outputs(tiny_bundle, data, outputs):
    values = np.load(outputs / "utt001.npy")
    values[3, 2] += 0.25
    np.save(outputs / "utt001.npy", values)
    found = compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    assert (found.fault.sample, found.fault.node) == ("utt001", None)
    assert "made elsewhere" in found.fault.sentence
    np.save(outputs / "utt001.npy", np.where(np.arange(values.size).reshape(values.shape) == 7, np.nan, values))
    assert compare(tiny_bundle.path, Against(outputs=outputs), data=data).hops[0].max_abs == np.inf
    np.save(outputs / "utt001.npy", values[1:])
    with pytest.raises(ParityError, match="the logits of utt001 have shape"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    np.save(outputs / "utt001.npy", values.astype(int))
    with pytest.raises(DatasetError, match="int64; expected floating point"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    (outputs / "utt001.npy").write_text("no array")
    with pytest.raises(DatasetError, match=r"utt001\.npy cannot be read as an array of numbers; expected"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    np.savez(outputs / "utt001.npz", scores=values)
    with pytest.raises(DatasetError, match=r"has a \.npz besides utt001\.npy: which"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    (outputs / "utt001.npy").unlink()
    with pytest.raises(DatasetError, match=r"utt001\.npz holds scores; expected logits"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    (outputs / "utt001.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DatasetError, match=r"utt001\.npz cannot be read as"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=data)
    (outputs / "utt001.npz").unlink()
    with pytest.raises(DatasetError, match=r"lacks the outputs of 1 of 9 samples: utt001\.npy$"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=data)


def test_a_slash_in_an_id_is_an_underscore_in_the_file_name(tiny, tiny_bundle, data, outputs, tmp_path):
    rows = [json.loads(line) for line in data.read_text().splitlines()][:2]
    rows = [row | {"audio": str(data.parent / row["audio"]), "id": f"a/{row['id']}"} for row in rows]
    (outputs / "utt000.npz").rename(outputs / "a_utt000.npz")
    (outputs / "utt001.npy").rename(outputs / "a_utt001.npy")
    there = tiny.write_manifest(tmp_path, rows)
    assert compare(tiny_bundle.path, Against(outputs=outputs), data=there).passed
    clash = tiny.write_manifest(tmp_path, [rows[0], rows[1] | {"id": "a_utt000"}])
    with pytest.raises(UsageError, match="two ids"):
        compare(tiny_bundle.path, Against(outputs=outputs), data=clash)


def test_comparing_nothing_is_an_error(tiny, tiny_bundle, tmp_path):
    with pytest.raises(UsageError, match="nothing to compare with"):
        compare(tiny_bundle.path, Against())
    with pytest.raises(UsageError, match="at least 1, not 0"):
        compare(tiny_bundle.path, Against(reference=False), limit=0)
    bad = tiny.write_manifest(tmp_path, [{"id": "a", "audio": "nowhere.wav"}])
    with pytest.raises(ParityError, match=r"nothing was compared.*the file does not exist"):
        compare(tiny_bundle.path, Against(reference=False), data=bad)


def test_what_cannot_be_compared_is_listed(tiny, tiny_bundle, tmp_path):
    difficult = tiny.write_difficult_data(tmp_path)
    found = compare(tiny_bundle.path, Against(reference=False), data=difficult)
    reasons = {one.id: one.reason for one in found.left_out}
    assert {"nan", "silence", "short", "empty", "text", "nowhere"} <= reasons.keys()
    assert "the input alone decides its answer" in reasons["silence"]
    assert found.hops[-1].samples == 10
    only = tiny.write_manifest(tmp_path, [{"id": "silence", "audio": "silence.wav"}])
    with pytest.raises(ParityError, match="nothing was compared: silence: the input alone"):
        compare(tiny_bundle.path, Against(reference=False), data=only)


def test_what_runs_in_windows_is_left_out(tiny, tiny_bundle, tmp_path):
    soundfile.write(tmp_path / "long.wav", tiny.sound(int(MAX_SECONDS + 1) * tiny.RATE, 1), tiny.RATE)
    soundfile.write(tmp_path / "short.wav", tiny.sound(4000, 2), tiny.RATE)
    rows = [{"id": name, "audio": f"{name}.wav"} for name in ("long", "short")]
    found = compare(tiny_bundle.path, Against(reference=False), data=tiny.write_manifest(tmp_path, rows))
    assert [one.id for one in found.left_out] == ["long"]
    assert found.hops[-1].samples == 1
    with pytest.raises(ParityError, match=r"nothing was compared.*runs in windows"):
        compare(tiny_bundle.path, Against(reference=False), data=tiny.write_manifest(tmp_path, rows[:1]))


def test_samples_are_spread_over_the_lengths(tiny_bundle, data):
    from inferry.pipeline.comparison.cases import choose_cases

    with inferry.load(tiny_bundle.path) as model:
        recipe = compare_module.get_recipe("wav2vec2")
        every = choose_cases(model, recipe, data, None)
        lengths = sorted(model.processor.measure(sample.source) for sample in every.samples)
        three = choose_cases(model, recipe, data, 3)
        found = sorted(model.processor.measure(sample.source) for sample in three.samples)
        assert found == [lengths[0], lengths[4], lengths[8]]
        assert three.of == 9
        assert sorted(index for batch in three.batches for index in batch) == [0, 1, 2]
        probes = choose_cases(model, recipe, None, None)
    assert [sample.id for sample in probes.samples] == [f"probe {index}" for index in range(4)]


def test_options_that_contradict_each_other(tiny_bundle, checkpoint, tmp_path):
    for against in (Against(checkpoint, tiny_bundle.path), Against(bundle=tiny_bundle.path, outputs=tmp_path)):
        with pytest.raises(UsageError, match="--bundle stands alone"):
            compare(tiny_bundle.path, against)
    with pytest.raises(UsageError, match="--outputs needs --data"):
        compare(tiny_bundle.path, Against(outputs=tmp_path))
    with pytest.raises(UsageError, match="is no folder"):
        compare(tiny_bundle.path, Against(outputs=tmp_path / "nowhere"), data=tmp_path)
    with pytest.raises(UsageError, match="--image-size, --detector: this says how a checkpoint is read"):
        compare(tiny_bundle.path, Against(reference=False, options=ExportOptions(384, detector="x.pth")))
    (tmp_path / "run.json").write_text('{"config": {"bundle": "another"}}')
    with pytest.raises(UsageError, match="a run of another bundle"):
        compare(tiny_bundle.path, Against(reference=False), output=tmp_path)


def test_another_checkpoint_is_noted(tiny, tiny_bundle, checkpoint):
    bundle = replace(open_bundle(tiny_bundle.path), manifest=tiny_bundle.manifest)
    recipe = compare_module.get_recipe("wav2vec2")
    trained = replace(recipe.read(checkpoint, ExportOptions()), sha256="1" * 64)
    (note,) = lineup._other_checkpoint(bundle, trained)
    assert "written from other weights" in note
    assert lineup._other_checkpoint(bundle, recipe.read(checkpoint, ExportOptions())) == ()


def test_a_truth_that_is_not_finite_is_an_error(tiny_bundle, data, tmp_path):
    def change(model):
        value = model.graph.initializers["lm_head.bias"]
        value.const_value = ir.Tensor(np.full_like(value.const_value.numpy(), np.nan), name="lm_head.bias")

    broken = changed(tiny_bundle, tmp_path, change)
    with pytest.raises(ParityError, match="'ONNX as written', the truth of this comparison, gives logits that are not"):
        compare(broken.path, Against(reference=False), data=data, limit=2)
    against = compare(broken.path, Against(bundle=tiny_bundle.path), data=data, limit=2)
    assert against.fault.node == "lm_head/Add"


def test_another_vocabulary_or_processing_is_a_fault(tiny_bundle, checkpoint, data, tmp_path):
    shutil.copytree(tiny_bundle.path, tmp_path / "other")
    (tmp_path / "other" / "manifest.json").unlink()
    vocabulary = json.loads((tmp_path / "other" / "vocab.json").read_text())
    vocabulary[-2:] = reversed(vocabulary[-2:])
    (tmp_path / "other" / "vocab.json").write_text(json.dumps(vocabulary))
    write_manifest(tmp_path / "other", tiny_bundle.manifest)
    assert compare(tiny_bundle.path, Against(checkpoint, reference=False), data=data, limit=1).notes == ()
    truths = {
        "the checkpoint's": Against(checkpoint, reference=False),
        "those of wav2vec2-bundle": Against(bundle=tiny_bundle.path),
    }
    for whose, against in truths.items():
        found = compare(tmp_path / "other", against, data=data, limit=1)
        assert not found.passed
        assert f"does not feed or read its network as the truth does. vocab.json: not {whose}" in found.fault.sentence
        assert found.notes == ()
        assert all(hop.passed for hop in found.hops)


def test_a_checkpoint_that_cannot_be_read(tiny_bundle, tmp_path):
    with pytest.raises(CheckpointError):
        compare(tiny_bundle.path, Against(tmp_path))


def test_a_difference_that_vanishes_when_looked_at(tiny_bundle, data, monkeypatch):
    """A fusion that is wrong: no tensor departs on its own."""
    from inferry.pipeline.model import Model

    run_batch = Model.run_batch

    def fused(self, features, pad_to=None):
        outputs = run_batch(self, features, pad_to)
        return [row | {"logits": row["logits"] + np.float32(self.optimised)} for row in outputs]

    monkeypatch.setattr(Model, "run_batch", fused)
    opened = Model.__init__

    def init(self, bundle, backend, options, *rest, **more):
        opened(self, bundle, backend, options, *rest, **more)
        self.optimised = options.optimise

    monkeypatch.setattr(Model, "__init__", init)
    found = compare(tiny_bundle.path, Against(reference=False), data=data, limit=2)
    assert found.fault.hop == "optimised"
    assert found.fault.node is None
    assert "joins several nodes into one" in found.fault.sentence
