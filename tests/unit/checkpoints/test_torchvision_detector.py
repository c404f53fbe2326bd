import math
import re

import numpy as np
import pytest

from inferry.checkpoints import torchvision_detector
from inferry.checkpoints.torchvision_detector import CONFIG, WEIGHT_FILE, detector_table, read_detector
from inferry.core.errors import CheckpointError

SMALL = {"width": 4, "blocks": [1, 2, 1, 1], "fpn_channels": 5, "representation_size": 6, "num_classes": 9}


@pytest.fixture
def small():
    """The tensors of a small network."""
    generator = np.random.default_rng(0)
    return {name: generator.uniform(0.5, 1, shape).astype(np.float32) for name, shape in detector_table(SMALL).items()}


def save(tensors, path):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(np.ascontiguousarray(tensor)) for name, tensor in tensors.items()}, path)
    return path


def test_the_table_is_that_of_the_released_file():
    table = detector_table(CONFIG)
    assert len(table) == 295
    norms = [name for name in table if name.endswith("running_mean")]
    assert len(norms) == 53
    assert table["backbone.body.conv1.weight"] == (64, 3, 7, 7)
    assert table["backbone.body.layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert table["backbone.body.layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert table["backbone.body.layer4.2.bn3.running_var"] == (2048,)
    assert table["backbone.fpn.inner_blocks.3.weight"] == (256, 2048, 1, 1)
    assert table["rpn.head.bbox_pred.weight"] == (12, 256, 1, 1)
    assert table["roi_heads.box_head.fc6.weight"] == (1024, 12544)
    assert table["roi_heads.box_predictor.bbox_pred.bias"] == (364,)


def test_the_table_has_as_many_parameters_as_torchvision_counts():
    # Frozen norms hold constants, which torchvision does not count.
    table = detector_table(CONFIG)
    counted = [shape for name, shape in table.items() if ".bn" not in name and ".downsample.1." not in name]
    assert sum(math.prod(shape) for shape in counted) == 41_755_286


def test_reads_all_tensors(small, tmp_path):
    checkpoint = read_detector(save(small, tmp_path / "detector.pth"))
    assert checkpoint.tensors.keys() == small.keys()
    assert all(np.array_equal(checkpoint.tensors[name], tensor) for name, tensor in small.items())
    assert checkpoint.config == SMALL
    assert len(checkpoint.sha256) == 64


def test_reads_the_released_file_out_of_a_folder(small, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_detector, "CONFIG", SMALL)
    save(small, tmp_path / WEIGHT_FILE)
    assert read_detector(tmp_path).path == tmp_path / WEIGHT_FILE


def test_the_released_name_promises_the_released_sizes(small, tmp_path):
    with pytest.raises(CheckpointError) as raised:
        read_detector(save(small, tmp_path / WEIGHT_FILE))
    assert "tensor backbone.body.conv1.weight has shape [4, 3, 7, 7], expected [64, 3, 7, 7]" in raised.value.problems


def test_no_block_may_be_missing_within_a_stage(small, tmp_path):
    for name in [name for name in small if name.startswith("backbone.body.layer2.0.")]:
        del small[name]
    with pytest.raises(CheckpointError) as raised:
        read_detector(save(small, tmp_path / "detector.pth"))
    assert "tensor backbone.body.layer2.0.conv1.weight [8, 16, 1, 1] is missing" in raised.value.problems


def test_without_sizes_says_which_tensors_would_tell(small, tmp_path):
    small["roi_heads.box_head.fc6.weight"] = np.ones(6, np.float32)
    del small["backbone.body.conv1.weight"]
    for name in [name for name in small if name.startswith("backbone.body.layer3.")]:
        del small[name]
    with pytest.raises(CheckpointError) as raised:
        read_detector(save(small, tmp_path / "detector.pth"))
    unknown = "so the sizes of the network are not known"
    assert raised.value.problems == (
        f"tensor backbone.body.conv1.weight is missing or has not 4 dimensions, {unknown}",
        f"tensor roi_heads.box_head.fc6.weight is missing or has not 2 dimensions, {unknown}",
        f"no tensor backbone.body.layer3.* is there, {unknown}",
    )


def test_reads_the_names_that_newer_versions_write(small, tmp_path):
    def renamed(name):
        module, _, part = name.rpartition(".")
        if module == "rpn.head.conv":
            return f"{module}.0.0.{part}"
        return f"{module}.0.{part}" if "_blocks." in module else name

    newer = {renamed(name): tensor for name, tensor in small.items()}
    assert newer.keys() != small.keys()
    newer["backbone.body.bn1.num_batches_tracked"] = np.array(3)
    checkpoint = read_detector(save(newer, tmp_path / "newer.pth"))
    assert list(checkpoint.tensors) == list(small)


def test_lists_every_problem(small, tmp_path):
    del small["rpn.head.conv.bias"]
    small["roi_heads.mask_head.weight"] = np.zeros((2, 2), np.float32)
    small["backbone.body.conv1.weight"] = np.zeros((4, 1, 7, 7), np.float32)
    small["roi_heads.box_head.fc7.bias"] = np.full(6, np.nan, np.float32)
    with pytest.raises(CheckpointError) as raised:
        read_detector(save(small, tmp_path / "detector.pth"))
    assert raised.value.problems == (
        "tensor rpn.head.conv.bias [5] is missing",
        "tensor roi_heads.mask_head.weight [2, 2] is not expected in this architecture",
        "tensor backbone.body.conv1.weight has shape [4, 1, 7, 7], expected [4, 3, 7, 7]",
        "tensor roi_heads.box_head.fc7.bias has 6 of 6 values that are not finite",
    )
    assert WEIGHT_FILE in raised.value.fix


def test_a_variance_of_zero_is_a_problem(small, tmp_path):
    small["backbone.body.bn1.running_var"][1] = 0
    with pytest.raises(CheckpointError, match=r"bn1\.running_var has 1 variances"):
        read_detector(save(small, tmp_path / "detector.pth"))


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(CheckpointError, match=rf"the folder {re.escape(str(tmp_path))} has no file of this name"):
        read_detector(tmp_path)
    with pytest.raises(CheckpointError, match="it does not exist"):
        read_detector(tmp_path / "other.pth")
