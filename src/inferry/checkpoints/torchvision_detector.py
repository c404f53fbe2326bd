"""The weights of torchvision's Faster R-CNN with ResNet-50 and FPN, checked completely and read into numpy.

The file is ``fasterrcnn_resnet50_fpn_coco-258fb6c6.pth``: ``torchvision.models.detection.fasterrcnn_resnet50_fpn``
trained on COCO (Ren et al., arXiv:1506.01497; Lin et al., arXiv:1612.03144).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.checkpoints.tensor_checks import Shapes, problems_of, to_float32
from inferry.checkpoints.torch_files import read_state_dict
from inferry.core.errors import CheckpointError
from inferry.core.files import sha256_of
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

WEIGHT_FILE: Final = "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"

CONFIG: Final[Mapping[str, Any]] = {
    "width": 64,  # channels of the stem
    "blocks": [3, 4, 6, 3],  # bottleneck blocks of the four stages: ResNet-50
    "fpn_channels": 256,
    "representation_size": 1024,
    "num_classes": 91,  # with the background, which is class 0
}

_FIX: Final = f"Give {WEIGHT_FILE}, which torchvision downloads for fasterrcnn_resnet50_fpn."
_NORM: Final = ("weight", "bias", "running_mean", "running_var")

_RENAMED: Final = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.0\.(weight|bias)$"), r"\1.\2"),
    (re.compile(r"^(rpn\.head\.conv)\.0\.0\.(weight|bias)$"), r"\1.\2"),
)
"""torchvision 0.13 wrapped these convolutions; it still reads the older names, which the released file has."""


def read_detector(path: Path) -> Checkpoint:
    """A state dict of ``fasterrcnn_resnet50_fpn`` with the 91 classes of COCO.

    Args:
        path: The .pth file, or a folder with the released one in it.

    Returns:
        295 float32 tensors under the names of the released file, `config` is `CONFIG`.

    Raises:
        CheckpointError: Lists everything that is missing, not expected, of another shape, or not finite.
    """
    weights = path / WEIGHT_FILE if path.is_dir() else path
    if not weights.is_file():
        raise CheckpointError(weights, ["it does not exist"], _FIX)
    tensors = {_name(name): tensor for name, tensor in to_float32(read_state_dict(weights)).items()}
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    expected = detector_table(CONFIG)
    problems = problems_of(tensors, expected) or _variance_problems(tensors)
    if problems:
        raise CheckpointError(weights, problems, _FIX)
    return Checkpoint(
        family="faster-rcnn",
        path=weights,
        sha256=sha256_of(weights),
        tensors={name: tensors[name] for name in expected},
        config=dict(CONFIG),
        processor={},
    )


def detector_table(config: Mapping[str, Any]) -> Shapes:
    """Names and shapes of all tensors of a network of these sizes, in torchvision's order."""
    channels, classes = config["fpn_channels"], config["num_classes"]
    size = config["representation_size"]
    shapes = _backbone(config["width"], config["blocks"])
    for index in range(4):
        shapes |= _biased(f"backbone.fpn.inner_blocks.{index}", (channels, 4 * config["width"] * 2**index, 1, 1))
    for index in range(4):
        shapes |= _biased(f"backbone.fpn.layer_blocks.{index}", (channels, channels, 3, 3))
    shapes |= _biased("rpn.head.conv", (channels, channels, 3, 3))
    shapes |= _biased("rpn.head.cls_logits", (3, channels, 1, 1))
    shapes |= _biased("rpn.head.bbox_pred", (12, channels, 1, 1))
    shapes |= _biased("roi_heads.box_head.fc6", (size, channels * 7 * 7))
    shapes |= _biased("roi_heads.box_head.fc7", (size, size))
    shapes |= _biased("roi_heads.box_predictor.cls_score", (classes, size))
    return shapes | _biased("roi_heads.box_predictor.bbox_pred", (4 * classes, size))


def _backbone(width: int, blocks: list[int]) -> Shapes:
    """ResNet with bottleneck blocks (He et al., arXiv:1512.03385), without its classifier."""
    shapes = _conv_norm("backbone.body.conv1", "backbone.body.bn1", (width, 3, 7, 7))
    size = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        for block in range(count):
            name = f"backbone.body.layer{stage + 1}.{block}"
            shapes |= _conv_norm(f"{name}.conv1", f"{name}.bn1", (inner, size, 1, 1))
            shapes |= _conv_norm(f"{name}.conv2", f"{name}.bn2", (inner, inner, 3, 3))
            shapes |= _conv_norm(f"{name}.conv3", f"{name}.bn3", (4 * inner, inner, 1, 1))
            if block == 0:
                shapes |= _conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", (4 * inner, size, 1, 1))
            size = 4 * inner
    return shapes


def _conv_norm(conv: str, norm: str, shape: tuple[int, ...]) -> Shapes:
    return {f"{conv}.weight": shape} | {f"{norm}.{part}": shape[:1] for part in _NORM}


def _biased(name: str, shape: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _name(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _variance_problems(tensors: Mapping[str, Array]) -> list[str]:
    """The norms divide by the root of these with nothing added: the released weights were trained so."""
    counts = {
        name: int(np.count_nonzero(tensor <= 0)) for name, tensor in tensors.items() if name.endswith(".running_var")
    }
    return [f"tensor {name} has {count} variances that are not positive" for name, count in counts.items() if count]
