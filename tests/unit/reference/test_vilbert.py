import sys
from pathlib import Path

import numpy as np
import pytest

from inferry.checkpoints.vilbert_table import vilbert_table
from inferry.core.errors import MissingDependencyError
from inferry.core.protocols import Checkpoint
from inferry.reference.vilbert import reference

STREAM = {"hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2}
CONFIG = {
    "text": {**STREAM, "vocab_size": 5, "max_position_embeddings": 8, "type_vocab_size": 2},
    "image": {**STREAM, "feature_size": 3, "location_bias": False},
    "combined": {"hidden_size": 4, "num_attention_heads": 1},
    "text_biattention_id": [1],
    "image_biattention_id": [1],
    "num_exchanges": 1,
    "pooled_output_dim": 3,
    "num_answers": 2,
    "fusion_method": "sum",
}


def checkpoint():
    generator = np.random.default_rng(2)
    tensors = {name: generator.standard_normal(shape, np.float32) for name, shape in vilbert_table(CONFIG).items()}
    return Checkpoint("vilbert-vqa", Path("tiny"), "", tensors, CONFIG, {})


def sample(boxes, valid):
    generator = np.random.default_rng(1)
    return {
        "box_features": generator.random((boxes, 3), np.float32),
        "box_coordinates": generator.random((boxes, 4), np.float32),
        "box_mask": np.arange(boxes) < valid,
        "token_ids": np.array([1, 2, 3]),
        "mask": np.array([True, True, True]),
        "type_ids": np.array([0, 0, 1]),
    }


def test_it_computes_in_float64_and_probs_are_the_sigmoid():
    pytest.importorskip("torch")
    original = reference(checkpoint())
    outputs = original.infer(sample(4, 4))
    assert {name: (array.shape, str(array.dtype)) for name, array in outputs.items()} == {
        "logits": ((2,), "float64"),
        "probs": ((2,), "float64"),
    }
    np.testing.assert_allclose(outputs["probs"], 1 / (1 + np.exp(-outputs["logits"])), rtol=1e-12)
    assert original.signature().keys() == {"network", "torch"}


def test_boxes_that_are_not_valid_change_nothing_unless_all_are():
    pytest.importorskip("torch")
    original = reference(checkpoint())
    whole = sample(4, 2)
    part = {name: array[:2] if name.startswith("box") else array for name, array in whole.items()}
    np.testing.assert_allclose(original.infer(whole)["logits"], original.infer(part)["logits"], rtol=0, atol=1e-12)
    none = {**whole, "box_mask": np.zeros(4, bool)}
    assert np.isfinite(original.infer(none)["logits"]).all()


def test_without_torch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'inferry\[reference\]'"):
        reference(checkpoint())
