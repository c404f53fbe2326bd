"""The graph of BEiT: its size, what the runtime makes of it, and its own checks."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from inferry.checkpoints.beit_table import beit_table, indices_of
from inferry.core.errors import CheckpointError
from inferry.core.protocols import Checkpoint
from inferry.networks.beit import build

CONFIG = {
    "img_size": 64,
    "patch_size": 16,
    "embed_dim": 16,
    "depth": 12,
    "num_heads": 2,
    "mlp_dim": 24,
    "num_classes": 5,
    "qkv_bias": True,
    "layer_scale": True,
    "use_mean_pooling": True,
    "use_rel_pos_bias": True,
    "use_shared_rel_pos_bias": False,
    "use_abs_pos_emb": False,
    "layer_norm_eps": 1e-6,
}
EVERYTHING = {"use_abs_pos_emb": True, "use_shared_rel_pos_bias": True, "use_mean_pooling": False}
NOTHING = {"use_rel_pos_bias": False, "qkv_bias": False, "layer_scale": False, "use_mean_pooling": False}


def checkpoint_of(**changes):
    config = CONFIG | changes
    generator = np.random.default_rng(1)
    tensors = {
        name: (generator.standard_normal(shape) * 0.4 + ("norm" in name and name.endswith("weight"))).astype(np.float32)
        for name, shape in beit_table(config).items()
    }
    tensors |= indices_of(tensors, config["img_size"] // config["patch_size"])
    return Checkpoint("beit", Path("tiny.pth"), "0" * 64, tensors=tensors, config=config, processor={})


def pixels(count):
    return np.random.default_rng(2).standard_normal((count, 3, 64, 64)).astype(np.float32)


def session_of(checkpoint, folder, options=None):
    path = folder / "model.onnx"
    ir.save(build(checkpoint).model, path)
    onnx.checker.check_model(str(path), full_check=True)
    return onnxruntime.InferenceSession(path, options)


def test_twelve_blocks_take_less_than_400_nodes_and_no_shape_is_computed():
    network = build(checkpoint_of())
    kinds = Counter(node.op_type for node in network.model.graph)
    assert sum(kinds.values()) < 400
    assert not {"Shape", "Expand", "Gather", "ScatterND", "Resize", "Range"} & set(kinds)
    assert [(spec.name, spec.dims) for spec in network.inputs] == [("pixel_values", ("batch", 3, 64, 64))]
    assert [(spec.name, spec.dims) for spec in network.outputs] == [("logits", ("batch", 5))]


def test_the_runtime_fuses_activations_and_norms(tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session_of(checkpoint_of(), tmp_path, options)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["BiasGelu"] + kinds["Gelu"] == CONFIG["depth"]
    assert kinds["LayerNormalization"] + kinds["SkipLayerNormalization"] == 2 * CONFIG["depth"] + 1
    assert "Erf" not in kinds


def test_a_shared_table_is_one_constant():
    shapes = [
        tuple(value.shape)
        for value in build(
            checkpoint_of(use_rel_pos_bias=False, use_shared_rel_pos_bias=True)
        ).model.graph.initializers.values()
    ]
    assert shapes.count((1, 2, 17, 17)) == 1


@pytest.mark.parametrize("changes", [{}, EVERYTHING, NOTHING], ids=["usual", "everything", "nothing"])
def test_every_variant_is_the_reference_alone_and_in_a_batch(tmp_path, changes):
    pytest.importorskip("torch")
    from inferry.reference.beit import reference

    checkpoint = checkpoint_of(depth=3, **changes)
    session, network = session_of(checkpoint, tmp_path), reference(checkpoint)
    together = session.run(None, {"pixel_values": pixels(4)})[0]
    for row, picture in zip(together, pixels(4), strict=True):
        alone = session.run(None, {"pixel_values": picture[None]})[0][0]
        expected = network.infer({"pixel_values": picture})["logits"]
        np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-4)


def test_tensors_of_another_network_are_all_named():
    checkpoint = checkpoint_of(depth=1)
    tensors = dict(checkpoint.tensors)
    tensors["blocks.0.attn.extra"] = tensors.pop("blocks.0.attn.q_bias")
    tensors["cls_token"] = tensors["cls_token"][..., :3]
    with pytest.raises(CheckpointError) as caught:
        build(replace(checkpoint, tensors=tensors))
    assert caught.value.problems == (
        "cls_token has shape [1, 1, 3]; the configuration asks for [1, 1, 16]",
        "blocks.0.attn.q_bias is missing; the configuration asks for [16]",
        "blocks.0.attn.extra has no place in the network that the configuration describes",
    )
