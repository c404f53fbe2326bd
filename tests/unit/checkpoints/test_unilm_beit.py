"""Files of unilm/beit forged byte by byte: what is read, and what is reported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferry.checkpoints.beit_assembly import with_image_size
from inferry.checkpoints.beit_positions import relative_position_index
from inferry.checkpoints.beit_table import beit_table
from inferry.checkpoints.unilm_beit import read_beit
from inferry.core.errors import CheckpointError, UsageError
from inferry.core.files import sha256_of

CONFIG = {
    "img_size": 48,
    "patch_size": 16,
    "embed_dim": 8,
    "depth": 2,
    "num_heads": 2,
    "mlp_dim": 12,
    "num_classes": 3,
    "qkv_bias": True,
    "layer_scale": True,
    "use_mean_pooling": True,
    "use_rel_pos_bias": True,
    "use_shared_rel_pos_bias": False,
    "use_abs_pos_emb": False,
    "layer_norm_eps": 1e-6,
}
VARIANT = {
    "layer_scale": False,
    "use_mean_pooling": False,
    "use_rel_pos_bias": False,
    "use_shared_rel_pos_bias": True,
    "use_abs_pos_emb": True,
}
OWN = "blocks.0.attn.relative_position_bias_table"
INDEX = "blocks.0.attn.relative_position_index"


@dataclass
class BeitFile:
    """A file in the making."""

    path: Path
    forge: Any
    tensors: dict[str, np.ndarray]
    key: str | None = "model"
    more: dict[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        state = self.forge.state(self.tensors)
        return self.forge.write_zip(self.path, state if self.key is None else {self.key: state, **self.more})


@pytest.fixture
def beit(tmp_path, forge) -> Callable[..., BeitFile]:
    def make(**changes: Any) -> BeitFile:
        generator = np.random.default_rng(6)
        table = beit_table(CONFIG | changes)
        tensors = {name: generator.standard_normal(shape, np.float32) for name, shape in table.items()}
        return BeitFile(tmp_path / "model.pth", forge, tensors)

    return make


def problems_of(path):
    with pytest.raises(CheckpointError) as caught:
        read_beit(path)
    return caught.value.problems


def test_a_released_file(beit):
    file = beit()
    file.tensors[INDEX] = relative_position_index(3)
    checkpoint = read_beit(file.write())
    assert checkpoint.family == "beit"
    assert checkpoint.sha256 == sha256_of(file.path)
    assert checkpoint.config == CONFIG
    assert checkpoint.files == {"labels.txt": "class 0\nclass 1\nclass 2\n"}
    assert checkpoint.notes == (
        "classes are named by their numbers: the checkpoint has none",
        "names are read from classes.txt beside the file, one a line",
    )
    assert checkpoint.processor == {
        "input": {
            "kind": "image",
            "size": 48,
            "resize": 54,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
        },
        "decode": {"kind": "classification"},
    }
    added = {"blocks.1.attn.relative_position_index"}
    assert checkpoint.tensors.keys() == file.tensors.keys() | added
    for name, tensor in file.tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], tensor)


@pytest.mark.parametrize("key", ["model", "module", None])
@pytest.mark.parametrize("changes", [{}, VARIANT, {"use_abs_pos_emb": True, "qkv_bias": False}], ids=str)
def test_all_variants_under_all_keys(beit, key, changes):
    file = beit(**changes)
    file.key = key
    assert read_beit(file.write()).config == CONFIG | changes


def test_half_precision_becomes_float32(beit):
    file = beit()
    file.tensors = {name: tensor.astype(np.float16) for name, tensor in file.tensors.items()}
    assert {str(tensor.dtype) for tensor in read_beit(file.write()).tensors.values()} == {"float32", "int64"}


def test_a_training_checkpoint_is_read_without_its_command_line_s_class(beit, object_of):
    file = beit()
    file.more = {"epoch": 29, "args": object_of("argparse", "Namespace", {"imagenet_default_mean_and_std": True})}
    checkpoint = read_beit(file.write())
    assert checkpoint.processor["input"]["mean"] == [0.485, 0.456, 0.406]
    assert "ImageNet's mean" in checkpoint.notes[0]


def test_a_file_that_names_a_function_is_refused(beit, object_of, tmp_path):
    file = beit()
    file.more = {"args": object_of("os", "system", {"command": f"touch {tmp_path}/ran"})}
    assert "os.system" in problems_of(file.write())[0]
    assert not (tmp_path / "ran").exists()


def test_heads_are_assumed_only_where_nothing_tells_them(beit):
    changes = {"use_rel_pos_bias": False, "use_abs_pos_emb": True, "embed_dim": 128}
    checkpoint = read_beit(beit(**changes).write())
    assert checkpoint.config["num_heads"] == 2
    assert "2 heads were assumed" in checkpoint.notes[0]


def test_class_names_beside_the_file(beit):
    file = beit()
    (file.path.parent / "classes.txt").write_text("\ufeffcat\ndog\nbird\n\n", encoding="utf-8")
    checkpoint = read_beit(file.write())
    assert checkpoint.files == {"labels.txt": "cat\ndog\nbird\n"}
    assert checkpoint.notes == ()


def test_class_names_of_another_count_are_not_used(beit):
    file = beit()
    (file.path.parent / "classes.txt").write_text("cat\n")
    checkpoint = read_beit(file.write())
    assert checkpoint.files["labels.txt"].startswith("class 0")
    assert checkpoint.notes == ("classes are named by their numbers: there are 1 names for 3 classes",)


def test_a_folder_with_one_file(beit):
    assert read_beit(beit().write().parent).config == CONFIG


def test_a_folder_with_two_files_and_one_with_none(beit, tmp_path):
    file = beit().write()
    (tmp_path / "second.pth").touch()
    assert problems_of(tmp_path) == ("it has 2 .pth files, expected one: model.pth, second.pth",)
    file.unlink()
    (tmp_path / "second.pth").unlink()
    assert problems_of(tmp_path) == ("it has 0 .pth files, expected one, and no config.json",)
    assert "does not exist" in problems_of(file)[0]


def test_all_problems_are_reported_at_once(beit):
    file = beit()
    file.tensors["blocks.1.norm1.weight"][3] = np.nan
    file.tensors["blocks.0.mlp.fc2.bias"] = file.tensors["blocks.0.mlp.fc2.bias"][:5]
    file.tensors["blocks.0.attn.rope"] = np.zeros(2, np.float32)
    file.tensors[INDEX] = relative_position_index(3) + 1
    del file.tensors["blocks.1.gamma_2"]
    assert problems_of(file.write()) == (
        f"tensor {INDEX} [10, 10] is not the original's table of relative positions",
        "tensor blocks.1.gamma_2 [8] is missing",
        "tensor blocks.0.attn.rope [2] is not expected in this architecture",
        "tensor blocks.0.mlp.fc2.bias has shape [5], expected [8]",
        "tensor blocks.1.norm1.weight has 1 of 8 values that are not finite",
    )


def test_a_pre_trained_file_has_no_classifier(beit):
    file = beit()
    del file.tensors["head.weight"], file.tensors["head.bias"]
    file.tensors["cls_token"] = np.zeros((1, 8), np.float32)
    assert problems_of(file.write()) == (
        "tensor cls_token has shape [1, 8], expected 3 dimensions; it tells embed_dim",
        "it has no classifier (head.weight): it was pre-trained, but not fine-tuned for classification",
    )


def test_tensors_that_contradict_each_other_about_the_input_size(beit):
    file = beit(use_abs_pos_emb=True)
    file.tensors["pos_embed"] = np.zeros((1, 17, 8), np.float32)
    (problem,) = problems_of(file.write())
    assert problem.startswith("the tensors contradict each other about the number of patches: pos_embed 4 x 4, blocks.")
    assert problem.endswith("relative_position_bias_table 3 x 3")


def test_no_tensor_tells_the_input_size_or_one_that_fits_no_square(beit):
    file = beit(use_rel_pos_bias=False)
    assert "no tensor tells the input size" in problems_of(file.write())[0]
    file = beit()
    file.tensors[OWN] = file.tensors[OWN][1:]
    assert problems_of(file.write()) == (f"tensor {OWN} [27, 2] fits no square of patches",)


def test_more_patches_than_fit_into_memory(beit):
    file = beit(use_rel_pos_bias=False, use_abs_pos_emb=True)
    file.tensors["pos_embed"] = np.zeros((1, 200 * 200 + 1, 8), np.float32)
    assert problems_of(file.write()) == ("tensor pos_embed is for 200 x 200 patches, supported are 128 x 128",)


def test_class_names_that_cannot_be_read(beit):
    file = beit()
    (file.path.parent / "classes.txt").write_bytes(b"caf\xe9\n")
    assert "classes.txt beside it cannot be read" in problems_of(file.write())[0]


def test_heads_that_do_not_divide_the_width(beit):
    assert "3 heads do not divide the width 8" in problems_of(beit(num_heads=3).write())[0]


def test_something_else_than_a_state_dict(beit):
    file = beit()
    file.forge.write_zip(file.path, {"model": [1, 2]})
    assert problems_of(file.path) == ("it holds a list, expected a dictionary of tensors (a state dict)",)


@pytest.mark.parametrize("changes", [{}, VARIANT], ids=["own", "shared"])
def test_another_input_size(beit, changes):
    checkpoint = read_beit(beit(**changes).write())
    larger = with_image_size(checkpoint, 400)
    assert larger.config == CONFIG | changes | {"img_size": 400}
    assert (larger.processor["input"]["size"], larger.processor["input"]["resize"]) == (400, 400)
    assert larger.notes[-1] == "positions were interpolated from input size 48 to 400"
    expected = beit_table(larger.config)
    assert expected.items() <= {name: tensor.shape for name, tensor in larger.tensors.items()}.items()
    assert all(
        tensor.shape == (626, 626)
        for name, tensor in larger.tensors.items()
        if name.endswith("relative_position_index")
    )
    assert with_image_size(checkpoint, 48) is checkpoint


@pytest.mark.parametrize("size", [0, -16, 50, 16 * 129])
def test_an_impossible_input_size(beit, size):
    with pytest.raises(UsageError, match="multiple of the patch size 16 up to 2048"):
        with_image_size(read_beit(beit().write()), size)
