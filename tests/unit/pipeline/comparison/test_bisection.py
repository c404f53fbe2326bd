"""Faults planted into graphs: the search must name the very node, by looking at few tensors at a time."""

import numpy as np
import onnx_ir as ir
import pytest

from inferry.core.protocols import SessionOptions
from inferry.pipeline.comparison import probing
from inferry.pipeline.comparison.bisection import first_departure
from inferry.pipeline.comparison.probing import Side
from inferry.pipeline.execution import collate


@pytest.fixture
def batch(tiny):
    """Inputs of the sounds of a family, in one batch."""
    from inferry import Audio, load

    def make(bundle, lengths, pad_to=None):
        with load(bundle.path) as model:
            features = [model.processor.process(Audio(tiny.sound(n, n), tiny.RATE)) for n in lengths]
        return collate(features, bundle.manifest.inputs, pad_to)

    return make


def planted(bundle, folder, weight, value=0.5, *, external=False):
    """A copy of the graph with one value of one weight changed."""
    model = ir.load(bundle.model)
    initializer = model.graph.initializers[weight]
    array = initializer.const_value.numpy().copy()
    array.reshape(-1)[array.size // 2] += value
    initializer.const_value = ir.Tensor(array, name=weight)
    path = folder / "planted.onnx"
    ir.save(model, path, external_data="planted.onnx.data" if external else None)
    return path


WEIGHTS = [
    ("wav2vec2", "wav2vec2.feature_extractor.conv_layers.1.conv.weight", "Conv"),
    ("wav2vec2", "wav2vec2.encoder.pos_conv_embed.conv.bias", "Conv"),
    ("wav2vec2", "wav2vec2.encoder.layers.0.attention.k_proj.weight.T", "MatMul"),
    ("wav2vec2", "wav2vec2.encoder.layers.0.final_layer_norm.weight", "LayerNormalization"),
    ("wav2vec2", "lm_head.bias", "Add"),
    ("data2vec-audio", "data2vec_audio.encoder.layers.1.feed_forward.output_dense.weight.T", "MatMul"),
    ("deepspeech2", "conv.seq_module.3.weight", "Conv"),
    ("deepspeech2", "rnns.0.rnn.W", "LSTM"),
    ("deepspeech2", "rnns.1.rnn.R", "LSTM"),
    ("deepspeech2", "fc.0.module.1.weight", "MatMul"),
]


@pytest.mark.parametrize("case", WEIGHTS, ids=[row[1] for row in WEIGHTS])
def test_one_changed_weight_names_its_node(case, tiny_bundles, batch, tmp_path):
    family, weight, operator = case
    bundle = tiny_bundles[family]
    bad = planted(bundle, tmp_path, weight)
    inputs = batch(bundle, [5000])
    found = first_departure(Side(bundle.model, inputs), Side(bad, inputs), "logits")
    readers = [node for node in ir.load(bundle.model).graph if weight in [v.name for v in node.inputs if v is not None]]
    assert [found.node] == [node.name for node in readers]
    assert found.operator == operator
    assert found.sharp
    assert found.inputs_relative == 0.0
    assert found.difference > 0
    assert found.unseen == 0
    (change,) = found.changes
    assert change.startswith(f"the weight {weight} differs in 1 of ")


def test_weights_in_a_file_of_their_own(tiny_bundle, batch, tmp_path):
    weight = "wav2vec2.encoder.layers.0.feed_forward.output_dense.weight.T"
    good = tmp_path / "good.onnx"
    ir.save(ir.load(tiny_bundle.model), good, external_data="good.onnx.data")
    bad = planted(tiny_bundle, tmp_path, weight, external=True)
    inputs = batch(tiny_bundle, [5000])
    found = first_departure(Side(good, inputs), Side(bad, inputs), "logits")
    assert found.node == "wav2vec2.encoder.layers.0.feed_forward.output_dense/MatMul"
    assert found.changes
    names = {"good.onnx", "good.onnx.data", "planted.onnx", "planted.onnx.data"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert {path.stat().st_nlink for path in tmp_path.iterdir()} == {1}


def test_few_tensors_at_a_time(tiny_bundle, batch, tmp_path, monkeypatch):
    asked = []
    values = probing.Prober.values
    monkeypatch.setattr(probing.Prober, "values", lambda self, names: asked.append(len(names)) or values(self, names))
    bad = planted(tiny_bundle, tmp_path, "wav2vec2.encoder.layers.0.attention.v_proj.bias")
    inputs = batch(tiny_bundle, [5000])
    assert first_departure(Side(tiny_bundle.model, inputs), Side(bad, inputs), "logits") is not None
    assert max(asked) <= 8
    assert sum(asked) / 2 < len(list(ir.load(bad).graph)) / 4


def test_equal_graphs_have_no_departure(tiny_bundle, batch):
    inputs = batch(tiny_bundle, [5000])
    side = Side(tiny_bundle.model, inputs)
    assert first_departure(side, side, "logits") is None
    assert first_departure(side, side, "no such output") is None


def test_an_infinite_weight(tiny_bundle, batch, tmp_path):
    bad = planted(tiny_bundle, tmp_path, "wav2vec2.encoder.layers.1.layer_norm.bias", np.inf)
    inputs = batch(tiny_bundle, [5000])
    found = first_departure(Side(tiny_bundle.model, inputs), Side(bad, inputs), "logits")
    assert found.node == "wav2vec2.encoder.layers.1.layer_norm/LayerNormalization"
    assert found.difference == np.inf


def test_a_dropped_mask_shows_only_in_a_padded_batch(tiny_bundle, batch, tmp_path):
    model = ir.load(tiny_bundle.model)
    scores = next(node for node in model.graph if node.name == "wav2vec2.encoder.layers.1.attention/Softmax")
    added = scores.inputs[0].producer()
    scores.replace_input_with(0, added.inputs[0])
    bad = tmp_path / "unmasked.onnx"
    ir.save(model, bad)
    alone = Side(bad, batch(tiny_bundle, [5000]))
    assert first_departure(Side(tiny_bundle.model, alone.inputs), alone, "logits") is None
    padded = Side(bad, batch(tiny_bundle, [5000, 9000, 2000], 12_000))
    found = first_departure(alone, padded, "logits")
    assert found.node == scores.name
    assert found.sharp
    rounding = first_departure(Side(tiny_bundle.model, alone.inputs), Side(tiny_bundle.model, padded.inputs), "logits")
    assert rounding is None or not rounding.sharp


def test_a_node_of_another_kind_or_with_other_inputs(tiny_bundle, batch, tmp_path):
    model = ir.load(tiny_bundle.model)
    node = next(n for n in model.graph if n.name == "wav2vec2.encoder.layers.0/Add")
    made = ir.node("Sub", [node.inputs[1], node.inputs[0]], name=node.name)
    made.outputs[0].name = node.outputs[0].name
    model.graph.insert_before(node, made)
    ir.convenience.replace_all_uses_with(node.outputs[0], made.outputs[0])
    model.graph.remove(node, safe=True)
    ir.save(model, tmp_path / "other.onnx")
    inputs = batch(tiny_bundle, [5000])
    found = first_departure(Side(tiny_bundle.model, inputs), Side(tmp_path / "other.onnx", inputs), "logits")
    assert found.node == node.name
    assert found.changes[0] == "it is a Sub instead of a Add"
    assert "instead of" in found.changes[1]


def test_graphs_that_share_no_names(tiny_bundle, batch, tmp_path):
    model = ir.load(planted(tiny_bundle, tmp_path, "lm_head.bias"))
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.name = f"renamed/{value.name}"
    ir.save(model, tmp_path / "renamed.onnx")
    inputs = batch(tiny_bundle, [5000])
    found = first_departure(Side(tiny_bundle.model, inputs), Side(tmp_path / "renamed.onnx", inputs), "logits")
    assert found.tensor == "logits"
    assert found.unseen > 100


class Drifting:
    """A backend whose optimised sessions round every tensor a little, or break one of them."""

    def __init__(self, change):
        from inferry.backends.registry import get_backend

        self._real, self._change = get_backend("onnxruntime"), change

    def open(self, model, options):
        session, change = self._real.open(model, SessionOptions(optimise=False)), self._change

        class Session:
            def run(self, inputs):
                values = session.run(inputs)
                return {name: change(name, value) for name, value in values.items()} if options.optimise else values

            def close(self):
                session.close()

        return Session()


def sides(bundle, inputs):
    return Side(bundle.model, inputs), Side(bundle.model, inputs, optimise=True)


def test_a_fault_of_the_optimised_graph_only(tiny_bundle, batch, monkeypatch):
    order = [value.name for node in ir.load(tiny_bundle.model).graph for value in node.outputs]
    bad = order.index("wav2vec2.encoder.layers.1.feed_forward/Erf")

    def change(name, value):
        return value + np.float32(0.01) if value.dtype == np.float32 and order.index(name) >= bad else value

    monkeypatch.setattr(probing, "get_backend", lambda _: Drifting(change))
    found = first_departure(*sides(tiny_bundle, batch(tiny_bundle, [5000])), "logits")
    assert found.node == order[bad]
    assert found.sharp


def test_rounding_that_grows_has_no_culprit(tiny_bundle, batch, monkeypatch):
    order = [value.name for node in ir.load(tiny_bundle.model).graph for value in node.outputs]

    def change(name, value):
        # A mask is exact: it would be a node that departs while all of its inputs agree.
        grows = value.dtype == np.float32 and "frames/" not in name
        return value * np.float32(1 + 1e-7 * 1.08 ** order.index(name)) if grows else value

    monkeypatch.setattr(probing, "get_backend", lambda _: Drifting(change))
    found = first_departure(*sides(tiny_bundle, batch(tiny_bundle, [5000])), "logits")
    assert not found.sharp
    assert found.inputs_relative > 0
