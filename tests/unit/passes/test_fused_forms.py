"""The fused forms over the graphs of all families: counted, proven, and found again where they were spelled out."""

from collections import Counter

import numpy as np
import onnx_ir as ir
import pytest

from inferry.passes.registry import TARGETS
from inferry.pipeline.optimize import optimize

PASSES = ("fuse-layer-norm", "fuse-gelu", "fold-scale", "fuse-qkv", "fuse-attention")
FAMILIES = {
    "wav2vec2": (2, 2, 2),
    "data2vec-audio": (2, 2, 2),
    "deepspeech2": (0, 0, 0),
    "beit": (0, 0, 2),
    "vilbert-vqa": (8, 8, 0),
    "detector": (0, 1, 0),
}
"""Matches of fold-scale, fuse-qkv and fuse-attention; norms and GELUs have their operators' forms from the start.

BEiT's graph has one projection for all three, and its scale in the weights. The detector's two heads share an input.
"""


@pytest.fixture(scope="module")
def files(tiny_bundles, picture_bundle, question_bundle):
    found = {family: bundle.model for family, bundle in tiny_bundles.items()}
    (detector,) = question_bundle.manifest.parts.values()
    return found | {
        "beit": picture_bundle.model,
        "vilbert-vqa": question_bundle.model,
        "detector": question_bundle.path / detector,
    }


def kinds(file):
    return Counter(node.op_type for node in ir.load(file).graph)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_fused(family, files, tmp_path):
    ledger = optimize(files[family], tmp_path / "done.onnx", PASSES)
    assert ledger.ok
    assert ledger.difference < 1e-5
    found = {entry.name: entry for entry in ledger.entries}
    assert tuple(found[name].matches for name in PASSES[2:]) == FAMILIES[family]
    assert [found[name].matches for name in PASSES[:2]] == [0, 0]
    assert [len(entry.declined) for entry in ledger.entries] == [0, 0, 0, 0, 8 if family == "vilbert-vqa" else 0]
    assert kinds(tmp_path / "done.onnx")["MultiHeadAttention"] == FAMILIES[family][2]


def test_what_was_not_measured_to_gain_runs_by_name_only():
    assert all(not {"fuse-attention", "fuse-qkv"} & {*target.passes} for target in TARGETS.values())


class Speller:
    """Writes the operators of a graph out, as exporters of older opsets do."""

    def __init__(self, model):
        self._graph = model.graph
        self._count = 0

    def _constant(self, value):
        self._count += 1
        array = np.asarray(value)
        tensor = ir.Tensor(array, name=f"spelled_constant_{self._count}")
        kind = ir.TensorType(tensor.dtype)
        made = ir.Value(name=tensor.name, type=kind, shape=ir.Shape(array.shape), const_value=tensor)
        self._graph.register_initializer(made)
        return made

    def _op(self, chain, kind, *inputs, **attributes):
        self._count += 1
        node = ir.node(kind, list(inputs), attributes, outputs=[ir.Value(name=f"spelled_{self._count}")])
        chain.append(node)
        return node.outputs[0]

    def norm(self, node):
        x, *affine = node.inputs
        chain = []
        mean = self._op(chain, "ReduceMean", x, axes=[-1])
        difference = self._op(chain, "Sub", x, mean)
        square = self._op(chain, "Pow", difference, self._constant(np.float32(2)))
        variance = self._op(chain, "ReduceMean", square, axes=[-1])
        epsilon = self._constant(np.float32(node.attributes.get_float("epsilon", 1e-5)))
        root = self._op(chain, "Sqrt", self._op(chain, "Add", variance, epsilon))
        value = self._op(chain, "Div", difference, root)
        for kind, parameter in zip(("Mul", "Add"), affine, strict=False):
            value = self._op(chain, kind, value, parameter)
        self._replace(node, chain)

    def gelu(self, erf):
        """x / sqrt 2 becomes a product; the rest of the form stays."""
        division = erf.inputs[0].producer()
        chain = []
        self._op(chain, "Mul", division.inputs[0], self._constant(np.float32(1 / np.sqrt(2))))
        self._replace(division, chain)

    def _replace(self, node, chain):
        ir.convenience.replace_nodes_and_values(self._graph, node, [node], chain, node.outputs, chain[-1].outputs)


@pytest.mark.parametrize(
    ("family", "norms", "gelus"),
    [("wav2vec2", 6, 6), ("data2vec-audio", 12, 8), ("beit", 5, 2), ("vilbert-vqa", 18, 8)],
)
def test_what_was_spelled_out_is_found(family, norms, gelus, files, tmp_path):
    model = ir.load(files[family])
    speller = Speller(model)
    erfs = [node for node in model.graph if node.op_type == "Erf"]
    for node in [node for node in model.graph if node.op_type == "LayerNormalization"]:
        speller.norm(node)
    for node in erfs:
        speller.gelu(node)
    ir.save(model, tmp_path / "spelled.onnx")
    assert kinds(tmp_path / "spelled.onnx")["LayerNormalization"] == 0
    ledger = optimize(tmp_path / "spelled.onnx", tmp_path / "done.onnx", ["fuse-layer-norm", "fuse-gelu"])
    assert ledger.ok, ledger
    assert [(entry.matches, len(entry.declined)) for entry in ledger.entries] == [(norms, 0), (gelus, 0)]
    assert kinds(tmp_path / "done.onnx") == kinds(files[family])
