"""What no hop sees, files and further graphs, is held against the truth's all the same."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from inferry.core.bundle import write_manifest
from inferry.core.errors import ParityError
from inferry.core.protocols import Checkpoint, ExportOptions, Network, Part
from inferry.models.registry import read_checkpoint
from inferry.networks.graph import Graph
from inferry.pipeline import compare as compare_module
from inferry.pipeline.compare import Against, compare
from inferry.pipeline.comparison.contents import content_faults, contents_of_bundle, contents_of_checkpoint

WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def build(checkpoint: Checkpoint) -> Network:
    """``boxes = relu(pixels @ weight)``."""
    graph = Graph("detector")
    pixels = graph.input("pixels", "float32", (1, 3))
    product = graph.op("MatMul", pixels, graph.weight("head.weight", checkpoint.tensors["weight"]))
    graph.output(graph.op("Relu", product), "boxes", "float32", (1, 4))
    return graph.network()


def part_of(weight=WEIGHT):
    return Checkpoint("detector", "detector.pth", "2" * 64, {"weight": weight}, {}, {})


@pytest.fixture
def recipe():
    plain = compare_module.get_recipe("wav2vec2")
    part = Part(build, lambda _: None, lambda _: ())
    return replace(plain, parts={"detector": part}, read=lambda *given: with_part(plain.read(*given)))


def with_part(checkpoint, weight=WEIGHT):
    return replace(checkpoint, parts={"detector": part_of(weight)})


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    """A bundle with a further graph, as its checkpoint gives it."""
    return bundle_with(tiny_bundle, tmp_path / "bundle", build(part_of()).model)


def bundle_with(tiny_bundle, folder, graph):
    shutil.copytree(tiny_bundle.path, folder)
    (folder / "manifest.json").unlink()
    ir.save(graph, folder / "detector.onnx")
    return write_manifest(folder, replace(tiny_bundle.manifest, parts={"detector": "detector.onnx"}))


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    return tiny.write_folder(tmp_path_factory.mktemp("checkpoint"))


def sentences(bundle, truth):
    return [fault.sentence for fault in content_faults(bundle, truth)]


def test_the_graph_that_the_checkpoint_gives_is_no_fault(bundle, recipe, folder):
    checkpoint = with_part(read_checkpoint(compare_module.get_recipe("wav2vec2"), folder, ExportOptions()))
    assert sentences(bundle, contents_of_checkpoint(checkpoint, recipe)) == []
    assert sentences(bundle, contents_of_bundle(bundle)) == []


def test_a_changed_weight_of_a_further_graph_fails_the_comparison(tiny_bundle, recipe, folder, tmp_path, monkeypatch):
    weight = WEIGHT.copy()
    weight[1, 2] += 0.5
    damaged = bundle_with(tiny_bundle, tmp_path / "damaged", build(part_of(weight)).model)
    monkeypatch.setattr(compare_module, "get_recipe", lambda _: recipe)
    found = compare(damaged.path, Against(folder, reference=False), limit=1)
    assert all(hop.passed for hop in found.hops)
    assert not found.passed
    assert (found.fault.node, found.fault.operator, found.fault.tensor) == ("MatMul", "MatMul", "head.weight")
    assert "the further graph 'detector' is not the checkpoint's" in found.fault.sentence
    assert "the weight head.weight differs in 1 of 12 values (of the node MatMul, MatMul)" in found.fault.sentence
    assert found.to_json()["fault"]["tensor"] == "head.weight"


def test_it_is_named_even_where_it_spoils_every_sample(tiny, tiny_bundle, bundle, tmp_path):
    other = bundle_with(tiny_bundle, tmp_path / "other", build(part_of(WEIGHT * 2)).model)
    data = tiny.write_manifest(tmp_path, [{"id": "a", "audio": "nowhere.wav"}, {"id": "b", "audio": "silence.wav"}])
    tiny.soundfile.write(tmp_path / "silence.wav", np.zeros(5000, np.float32), tiny.RATE)
    with pytest.raises(ParityError, match=r"nothing was compared: a: .* the weight head.weight differs in 11 of 12"):
        compare(other.path, Against(bundle=bundle.path), data=data)


def test_two_bundles_with_other_further_graphs(tiny_bundle, bundle, tmp_path, monkeypatch):
    other = bundle_with(tiny_bundle, tmp_path / "other", build(part_of(WEIGHT[:, ::-1].copy())).model)
    found = compare(other.path, Against(bundle=bundle.path), limit=1)
    assert "'detector' is not those of bundle" in found.fault.sentence
    assert compare(bundle.path, Against(bundle=bundle.path), limit=1).passed


def test_that_a_further_graph_was_not_compared_is_said(bundle):
    (note,) = compare(bundle.path, Against(reference=False), limit=1).notes
    assert note.startswith("detector.onnx was not compared")


def edited(change):
    model = build(part_of()).model
    change(model.graph)
    return model


def as_sigmoid(graph):
    next(node for node in graph if node.op_type == "Relu").op_type = "Sigmoid"


def renamed(graph):
    graph.outputs[0].name = "regions"


def as_double(graph):
    value = graph.initializers["head.weight"]
    value.const_value = ir.Tensor(WEIGHT.astype(np.float64), name=value.name)


def with_another_weight(graph):
    graph.register_initializer(ir.Value(name="spare", const_value=ir.Tensor(WEIGHT, name="spare")))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (as_sigmoid, "its node Relu (Sigmoid) is another one"),
        (renamed, "its node Relu (Relu) is another one"),
        (as_double, "the weight head.weight is float64 instead of float32"),
        (with_another_weight, "its weight spare is one too many"),
    ],
)
def test_what_differs_is_named(tiny_bundle, bundle, tmp_path, change, says):
    other = bundle_with(tiny_bundle, tmp_path / "other", edited(change))
    (sentence,) = sentences(other, contents_of_bundle(bundle))
    assert says in sentence


def test_a_graph_that_only_one_side_has(tiny_bundle, bundle):
    (sentence,) = sentences(bundle, contents_of_bundle(tiny_bundle))
    assert "which has none" in sentence
    (sentence,) = sentences(tiny_bundle, contents_of_bundle(bundle))
    assert "the bundle has none" in sentence


def test_files_that_are_not_the_truths_are_listed(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle.path, tmp_path / "other")
    (tmp_path / "other" / "manifest.json").unlink()
    (tmp_path / "other" / "vocab.json").write_text(json.dumps(["a"]), encoding="utf-8")
    (tmp_path / "other" / "answers.txt").write_text("yes\n", encoding="utf-8")
    other = write_manifest(tmp_path / "other", tiny_bundle.manifest)
    (sentence,) = sentences(other, contents_of_bundle(tiny_bundle))
    assert "answers.txt, vocab.json: not those of wav2vec2-bundle" in sentence
