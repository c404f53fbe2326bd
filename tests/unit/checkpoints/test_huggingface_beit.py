"""Hugging Face folders of BEiT: both spellings, and what is reported. Needs neither torch nor transformers."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from inferry.checkpoints.huggingface_beit import read_huggingface_beit
from inferry.core.errors import CheckpointError
from inferry.core.files import sha256_of

WIDTH, INNER, HEADS, BLOCKS, CLASSES = 8, 12, 2, 2, 3
CONFIG = {
    "architectures": ["BeitForImageClassification"],
    "model_type": "beit",
    "hidden_act": "gelu",
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "image_size": 48,
    "patch_size": 16,
    "layer_norm_eps": 1e-12,
    "id2label": {"0": "tabby,  cat", "1": "dog", "2": "bird"},
}
TOP = {
    "beit.embeddings.cls_token": (1, 1, WIDTH),
    "beit.embeddings.mask_token": (1, 1, WIDTH),
    "beit.embeddings.patch_embeddings.projection.weight": (WIDTH, 3, 16, 16),
    "beit.embeddings.patch_embeddings.projection.bias": (WIDTH,),
    "beit.pooler.layernorm.weight": (WIDTH,),
    "beit.pooler.layernorm.bias": (WIDTH,),
    "classifier.weight": (CLASSES, WIDTH),
    "classifier.bias": (CLASSES,),
}
BLOCK = {
    "lambda_1": (WIDTH,),
    "lambda_2": (WIDTH,),
    "layernorm_before.weight": (WIDTH,),
    "layernorm_before.bias": (WIDTH,),
    "layernorm_after.weight": (WIDTH,),
    "layernorm_after.bias": (WIDTH,),
    "attention.attention.query.weight": (WIDTH, WIDTH),
    "attention.attention.query.bias": (WIDTH,),
    "attention.attention.key.weight": (WIDTH, WIDTH),
    "attention.attention.value.weight": (WIDTH, WIDTH),
    "attention.attention.value.bias": (WIDTH,),
    "attention.attention.relative_position_bias.relative_position_bias_table": (28, HEADS),
    "attention.output.dense.weight": (WIDTH, WIDTH),
    "attention.output.dense.bias": (WIDTH,),
    "intermediate.dense.weight": (INNER, WIDTH),
    "intermediate.dense.bias": (INNER,),
    "output.dense.weight": (WIDTH, INNER),
    "output.dense.bias": (WIDTH,),
}
NEWER = {
    "encoder.layer": "layers",
    "attention.attention.relative_position_bias": "relative_position_bias",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
"""Names of transformers 4 and what version 5 calls them, in this order."""


class Folder:
    def __init__(self, path):
        self.path = path
        self.config = json.loads(json.dumps(CONFIG))
        self.preprocessor = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.5, 0.5, 0.5], "size": 224}
        shapes = TOP | {
            f"beit.encoder.layer.{block}.{name}": shape for block in range(BLOCKS) for name, shape in BLOCK.items()
        }
        generator = np.random.default_rng(9)
        self.tensors = {name: generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}

    def write(self):
        (self.path / "config.json").write_text(json.dumps(self.config))
        if self.preprocessor is not None:
            (self.path / "preprocessor_config.json").write_text(json.dumps(self.preprocessor))
        save_file(self.tensors, self.path / "model.safetensors")
        return self.path


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def newer(name):
    for old, new in NEWER.items():
        name = name.replace(old, new)
    return name


def problems_of(path):
    with pytest.raises(CheckpointError) as caught:
        read_huggingface_beit(path)
    return caught.value.problems


def test_a_folder(folder):
    checkpoint = read_huggingface_beit(folder.write())
    assert checkpoint.sha256 == sha256_of(folder.path / "model.safetensors")
    assert checkpoint.config["layer_norm_eps"] == 1e-6
    assert checkpoint.files == {"labels.txt": "tabby, cat\ndog\nbird\n"}
    assert checkpoint.processor["input"]["mean"] == [0.4, 0.5, 0.6]
    assert [note.partition(";")[0] for note in checkpoint.notes[:1]] == ["config.json has layer_norm_eps 1e-12"]
    assert "whatever preprocessor_config.json says" in checkpoint.notes[1]
    prefix = "beit.encoder.layer.1.attention.attention"
    parts = [folder.tensors[f"{prefix}.{part}.weight"] for part in ("query", "key", "value")]
    np.testing.assert_array_equal(checkpoint.tensors["blocks.1.attn.qkv.weight"], np.concatenate(parts))
    np.testing.assert_array_equal(checkpoint.tensors["blocks.1.attn.v_bias"], folder.tensors[f"{prefix}.value.bias"])
    np.testing.assert_array_equal(
        checkpoint.tensors["blocks.0.gamma_2"], folder.tensors["beit.encoder.layer.0.lambda_2"]
    )


def test_both_spellings_are_the_same_model(folder):
    old = read_huggingface_beit(folder.write())
    folder.tensors = {newer(name): tensor for name, tensor in folder.tensors.items()}
    new = read_huggingface_beit(folder.write())
    assert new.config == old.config
    assert new.tensors.keys() == old.tensors.keys()
    for name, tensor in old.tensors.items():
        np.testing.assert_array_equal(new.tensors[name], tensor)


def test_placeholders_are_no_names_and_a_preprocessor_may_be_missing(folder):
    folder.config["id2label"] = {str(index): f"LABEL_{index}" for index in range(CLASSES)}
    folder.config |= {"layer_norm_eps": 1e-6, "image_size": [48, 48]}
    folder.preprocessor = None
    checkpoint = read_huggingface_beit(folder.write())
    assert checkpoint.files["labels.txt"] == "class 0\nclass 1\nclass 2\n"
    assert checkpoint.notes == (
        "preprocessor_config.json is missing; the original's mean and deviation are used",
        "classes are named by their numbers: the checkpoint has none",
    )


def test_all_problems_are_reported_at_once(folder):
    folder.config |= {"hidden_act": "relu", "architectures": ["BeitForMaskedImageModeling"]}
    folder.preprocessor["image_std"] = [0.5, 0, 0.5]
    twice = "beit.layers.0.mlp.fc1.bias"
    folder.tensors[twice] = np.zeros(INNER, np.float32)
    del folder.tensors["beit.encoder.layer.1.attention.attention.key.weight"]
    assert problems_of(folder.write()) == (
        "config.json has hidden_act 'relu', supported is 'gelu': the network uses the exact GELU",
        "config.json names the architecture ['BeitForMaskedImageModeling'], expected ['BeitForImageClassification']",
        "preprocessor_config.json has image_std [0.5, 0, 0.5], expected three numbers above 0",
        f"tensor {twice} is there twice, under the names of transformers 4 and 5",
        "tensor blocks.1.attn.q_bias [8] is missing",
        "tensor blocks.1.attn.v_bias [8] is missing",
        "tensor blocks.1.attn.qkv.weight [24, 8] is missing",
        "tensor blocks.1.attn.query.bias [8] is not expected in this architecture",
        "tensor blocks.1.attn.query.weight [8, 8] is not expected in this architecture",
        "tensor blocks.1.attn.value.bias [8] is not expected in this architecture",
        "tensor blocks.1.attn.value.weight [8, 8] is not expected in this architecture",
    )


def test_a_configuration_of_another_model(folder):
    folder.config["num_attention_heads"] = 4
    assert problems_of(folder.write()) == ("config.json has num_attention_heads 4, but the tensors say 2",)


def test_no_weights(folder):
    (folder.write() / "model.safetensors").unlink()
    assert "no weight file" in problems_of(folder.path)[0]


def test_damaged_weights(folder):
    (folder.write() / "model.safetensors").write_bytes(b"\x00" * 40)
    assert problems_of(folder.path)[0].startswith("model.safetensors: it cannot be read")
