"""BEiT against what the original code computed: golden random weights of every variant, and a trained checkpoint."""

import json

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from inferry.checkpoints.unilm_beit import read_beit
from inferry.core.tolerances import LOGITS
from inferry.networks.beit import build

GOLDEN = LOGITS["fp32"]
VARIANTS = {
    "beit_model": "logits",
    "beit_training_ckpt": "logits",
    "beit_variant_shared_abs_cls": "variant_shared_abs_cls_logits",
}
"""File, and its logits among the expected arrays."""

BLOCKS = (0, 2)


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "beit" / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model_of(shared, tmp_path_factory):
    made = {}

    def model(name):
        if name not in made:
            checkpoint = read_beit(shared / "golden" / "beit" / f"{name}.pth")
            made[name] = checkpoint, opened(checkpoint, tmp_path_factory.mktemp(name))
        return made[name]

    return model


def opened(checkpoint, folder):
    ir.save(build(checkpoint).model, folder / "model.onnx")
    return onnxruntime.InferenceSession(folder / "model.onnx")


def logits_of(session, pixels):
    return session.run(["logits"], {"pixel_values": pixels})[0]


@pytest.mark.parametrize("order", [(0,), (1,), (2,), (3,), (0, 1, 2, 3), (3, 0), (2, 2, 1)], ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_the_graph_is_the_original_whatever_the_batch(model_of, golden, name, order):
    logits = logits_of(model_of(name)[1], golden["pixel_values"][list(order)])
    np.testing.assert_allclose(logits, golden[VARIANTS[name]][list(order)], rtol=0, atol=GOLDEN)


def test_the_best_classes_are_the_original_s(model_of, golden, shared):
    expected = json.loads((shared / "golden" / "beit" / "expected_top.json").read_text())
    logits = logits_of(model_of("beit_model")[1], golden["pixel_values"])
    best = np.argsort(-logits, axis=1)[:, :5]
    assert best.tolist() == expected["top5"]
    assert best[:, 0].tolist() == expected["argmax"]


def test_the_blocks_are_the_original_s(model_of, golden, tmp_path):
    """The sum that ends each block, made an output."""
    model = build(model_of("beit_model")[0]).model
    for block in BLOCKS:
        ends = [node for node in model.graph if node.op_type == "Add" and node.name.startswith(f"blocks.{block}/")]
        end = ends[-1].outputs[0]
        end.type = ir.TensorType(ir.DataType.FLOAT)
        model.graph.outputs.append(end)
    ir.save(model, tmp_path / "blocks.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "blocks.onnx")
    _, *found = session.run(None, {"pixel_values": golden["pixel_values"][:1]})
    for block, output in zip(BLOCKS, found, strict=True):
        np.testing.assert_allclose(output[0], golden[f"block_{block}_out_img0"], rtol=0, atol=GOLDEN)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_reference_is_the_original(model_of, golden, name):
    pytest.importorskip("torch")
    from inferry.reference.beit import reference

    network = reference(model_of(name)[0])
    for pixels, expected in zip(golden["pixel_values"], golden[VARIANTS[name]], strict=True):
        logits = network.infer({"pixel_values": pixels})["logits"]
        np.testing.assert_allclose(logits, expected, rtol=0, atol=GOLDEN)


def test_the_reference_s_blocks_are_the_original_s(model_of, golden):
    pytest.importorskip("torch")
    from inferry.reference.beit import reference

    states = reference(model_of("beit_model")[0]).hidden_states({"pixel_values": golden["pixel_values"][0]})
    for block in BLOCKS:
        np.testing.assert_allclose(states[block], golden[f"block_{block}_out_img0"], rtol=0, atol=GOLDEN)


def test_a_trained_checkpoint(shared, tmp_path):
    folder = shared / "checkpoints" / "beit-small"
    checkpoint = read_beit(folder / "beit_small_caltech25.pth")
    told = json.loads((folder / "architecture.json").read_text())
    assert {key: checkpoint.config[key] for key in told if key in checkpoint.config} == {
        key: value for key, value in told.items() if key not in {"mlp_ratio", "init_values"}
    }
    assert checkpoint.config["mlp_dim"] == told["mlp_ratio"] * told["embed_dim"]
    assert checkpoint.processor["input"]["resize"] == 128
    assert checkpoint.files["labels.txt"] == (folder / "classes.txt").read_text()
    assert checkpoint.notes == ()
    name = "Faces_easy__image_0002.jpg"
    with np.load(folder / "expected.npz") as expected:
        pixels, logits = expected[f"{name}.pixel_values"][None], expected[f"{name}.logits"]
    found = logits_of(opened(checkpoint, tmp_path), np.concatenate([pixels, -pixels]))[0]
    np.testing.assert_allclose(found, logits, rtol=0, atol=GOLDEN)
    rows = json.loads((folder / "expected.json").read_text())["test"]
    row = next(row for row in rows if row["file"].endswith(name.replace("__", "/")))
    assert np.argsort(-found)[:5].tolist() == row["top5"]


@pytest.mark.parametrize("variant", ["own", "shared"])
@pytest.mark.parametrize("keys", ["transformers 4", "transformers 5"])
def test_a_hugging_face_folder(tmp_path, variant, keys):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import save_file

    own = variant == "own"
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = transformers.BeitConfig(
        **sizes,
        image_size=48,
        layer_norm_eps=1e-6,
        layer_scale_init_value=0.1 if own else 0.0,
        use_relative_position_bias=own,
        use_shared_relative_position_bias=not own,
        use_absolute_position_embeddings=not own,
        use_mean_pooling=own,
        id2label={0: "cat", 1: "dog"},
    )
    torch.manual_seed(3)
    model = transformers.BeitForImageClassification(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    if keys == "transformers 5":
        save_file(model.state_dict(), tmp_path / "model.safetensors")
    checkpoint = read_beit(tmp_path)
    assert checkpoint.files["labels.txt"] == "cat\ndog\n"
    pixels = torch.randn(3, 3, 48, 48)
    with torch.inference_mode():
        expected = model(pixels).logits.numpy()
    found = logits_of(opened(checkpoint, tmp_path), pixels.numpy())
    np.testing.assert_allclose(found, expected, rtol=0, atol=GOLDEN)
