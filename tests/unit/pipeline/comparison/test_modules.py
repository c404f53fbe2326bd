"""Faults of a graph writer: the bundle is what `build` writes, so only the original's modules can tell where it is."""

from dataclasses import replace

import onnx_ir as ir
import pytest

import inferry
from inferry.core.protocols import ExportOptions
from inferry.core.tolerances import ROUNDING
from inferry.pipeline import compare as compare_module
from inferry.pipeline import export as export_module
from inferry.pipeline.compare import Against, compare
from inferry.pipeline.comparison.modules import Traced, _Modules, tensors_of_modules
from inferry.pipeline.comparison.probing import Prober, Probes, Side
from inferry.pipeline.execution import collate


@pytest.mark.parametrize("family", ["wav2vec2", "data2vec-audio"])
def test_every_module_agrees_where_the_graph_is_right(family, tiny, tiny_bundles, tmp_path):
    """What the search rests on: the pairs mean the same."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    recipe, checkpoint = tiny.recipe_of(family, tmp_path)
    network, bundle = recipe.reference(recipe.read(checkpoint, ExportOptions())), tiny_bundles[family]
    assert isinstance(network, Traced)
    with inferry.load(bundle.path) as model:
        features = model.processor.process(inferry.Audio(tiny.sound(5000, 1), tiny.RATE))
    side = Side(bundle.model, collate([features], bundle.manifest.inputs))
    graph = Prober(side, tmp_path / "probe", "onnxruntime")
    modules = tensors_of_modules(network.modules(), graph.nodes)
    original = _Modules(network, features.inputs, modules, graph.nodes)
    found = Probes(original, graph, exact=False, kinds="f", same_shapes=True).relative(modules)
    assert len(found) > 15
    assert max(found.values()) < 10 * ROUNDING
    assert modules["logits"] == "lm_head"


def test_a_fault_of_the_writer_names_the_module(tiny, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    recipe, checkpoint = tiny.recipe_of("wav2vec2", tmp_path)

    def build(trained):
        network = recipe.build(trained)
        name = "wav2vec2.encoder.layers.0.final_layer_norm/LayerNormalization"
        node = next(node for node in network.model.graph if node.name == name)
        node.attributes["epsilon"] = ir.AttrFloat32("epsilon", 0.1)
        return network

    wrong = replace(recipe, build=build)
    for module in (export_module, compare_module):
        monkeypatch.setattr(module, "get_recipe", lambda _: wrong)
    bundle = inferry.export("wav2vec2", checkpoint, tmp_path / "bundle", reference=False)
    found = compare(bundle.path, Against(checkpoint))
    assert found.fault.hop == "ONNX as written"
    assert found.fault.node is None
    assert "it comes in at wav2vec2.encoder.layers.0.final_layer_norm, which gives" in found.fault.sentence


def test_a_fault_of_the_picture_networks_writer_names_the_block(pictures, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    recipe, checkpoint = export_module.get_recipe("beit"), pictures.write_beit(tmp_path / "beit")

    def build(trained):
        network = recipe.build(trained)
        node = next(node for node in network.model.graph if node.name == "blocks.1.norm2/LayerNormalization")
        node.attributes["epsilon"] = ir.AttrFloat32("epsilon", 0.1)
        return network

    for module in (export_module, compare_module):
        monkeypatch.setattr(module, "get_recipe", lambda _: replace(recipe, build=build))
    bundle = inferry.export("beit", checkpoint, tmp_path / "bundle", reference=False)
    found = compare(bundle.path, Against(checkpoint))
    assert (found.fault.hop, found.fault.node) == ("ONNX as written", None)
    assert "it comes in at blocks.1, which gives blocks.1/Add" in found.fault.sentence


def test_scopes_are_paired_with_modules():
    def node(name):
        return ir.node("Identity", [ir.Value(name="x")], name=name)

    names = {"a": "m.0.attention.q/MatMul", "b": "m.0.attention.q/Add", "c": "m.0/Add", "d": "Add"}
    nodes = {tensor: node(name) for tensor, name in names.items()}
    modules = ["m", "m.0", "m.0.attention", "m.0.attention.q", "m.1"]
    assert tensors_of_modules(modules, nodes) == {"b": "m.0.attention.q", "c": "m.0"}
