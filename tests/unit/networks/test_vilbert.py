from pathlib import Path

import numpy as np
import pytest

from inferry.checkpoints.vilbert_table import vilbert_table
from inferry.core.errors import CheckpointError
from inferry.core.protocols import Checkpoint
from inferry.networks.vilbert import build

CONFIG = {
    "text": {
        "hidden_size": 16,
        "intermediate_size": 20,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "vocab_size": 30,
        "max_position_embeddings": 12,
        "type_vocab_size": 2,
    },
    "image": {
        "hidden_size": 12,
        "intermediate_size": 18,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "feature_size": 8,
        "location_bias": False,
    },
    "combined": {"hidden_size": 8, "num_attention_heads": 4},
    "text_biattention_id": [1, 3],
    "image_biattention_id": [1, 2],
    "num_exchanges": 2,
    "pooled_output_dim": 10,
    "num_answers": 7,
    "fusion_method": "mul",
}


def checkpoint_of(**changes):
    config = {**CONFIG, **changes}
    generator = np.random.default_rng(3)
    tensors = {name: generator.standard_normal(shape, np.float32) / 2 for name, shape in vilbert_table(config).items()}
    return Checkpoint("vilbert-vqa", Path("tiny"), "", tensors, config, {})


def batch_of(sizes, boxes, tokens):
    """Rows with so many boxes and tokens each, zero padded."""
    generator = np.random.default_rng(4)
    rows = len(sizes)
    batch = {
        "box_features": np.zeros((rows, boxes, 8), np.float32),
        "box_coordinates": np.zeros((rows, boxes, 4), np.float32),
        "box_mask": np.zeros((rows, boxes), bool),
        "token_ids": np.zeros((rows, tokens), np.int64),
        "mask": np.zeros((rows, tokens), bool),
        "type_ids": np.zeros((rows, tokens), np.int64),
    }
    for row, (count, length) in enumerate(sizes):
        batch["box_features"][row, :count] = generator.random((count, 8))
        batch["box_coordinates"][row, :count] = generator.random((count, 4)) * 3
        batch["box_mask"][row, :count] = True
        batch["token_ids"][row, :length] = generator.integers(1, 30, length)
        batch["mask"][row, :length] = True
        batch["type_ids"][row, :length] = generator.integers(0, 2, length)
    return batch


SIZES = [(5, 9), (1, 3), (0, 4), (3, 12)]


@pytest.mark.parametrize("fusion", ["mul", "sum"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_graph_is_the_original_alone_whatever_the_padding(open_network, fusion, bias):
    pytest.importorskip("torch")
    from inferry.reference.vilbert import reference

    checkpoint = checkpoint_of(fusion_method=fusion, image={**CONFIG["image"], "location_bias": bias})
    session, original = open_network(build(checkpoint)), reference(checkpoint)
    batch = batch_of(SIZES, 9, 12)
    logits, probs = session.run(["logits", "probs"], batch)
    for row, (boxes, tokens) in enumerate(SIZES):
        alone = {
            name: array[row, : max(1, boxes) if name.startswith("box") else tokens] for name, array in batch.items()
        }
        expected = original.infer(alone)
        np.testing.assert_allclose(logits[row], expected["logits"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(probs[row], expected["probs"], rtol=0, atol=1e-4)


def test_a_row_without_boxes_is_the_same_in_any_batch(open_network):
    session = open_network(build(checkpoint_of()))
    alone = batch_of([(0, 4)], 1, 4)
    wide = {
        name: np.pad(array, [(0, 0), (0, 40 if name.startswith("box") else 8)] + [(0, 0)] * (array.ndim - 2))
        for name, array in alone.items()
    }
    small, large = (session.run(["logits"], batch)[0] for batch in (alone, wide))
    assert np.isfinite(small).all()
    np.testing.assert_allclose(large, small, rtol=0, atol=1e-5)


def test_no_constant_leaves_float16():
    values = [value.const_value.numpy() for value in build(checkpoint_of()).model.graph.initializers.values()]
    assert max(abs(array).max() for array in values if array.dtype == np.float32) < np.finfo(np.float16).max


def test_every_gelu_is_fused(open_network, tmp_path):
    import onnx_ir as ir

    path = tmp_path / "optimised.onnx"
    open_network(build(checkpoint_of()), optimised=path)
    operators = [node.op_type for node in ir.load(path).graph]
    assert "Erf" not in operators
    assert sum(name.endswith("Gelu") for name in operators) == 3 + 2 + 2 * 2


def test_tensors_without_a_place_are_told():
    checkpoint = checkpoint_of()
    tensors = {**checkpoint.tensors, "backbone.extra": np.zeros(1, np.float32)}
    del tensors["classifier.bias"]
    with pytest.raises(CheckpointError) as caught:
        build(Checkpoint("vilbert-vqa", Path("tiny"), "", tensors, checkpoint.config, {}))
    told = "\n".join(caught.value.problems)
    assert "classifier.bias is missing" in told
    assert "backbone.extra has no place" in told
