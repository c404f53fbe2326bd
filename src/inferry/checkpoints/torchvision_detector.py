"""The weights of torchvision's Faster R-CNN with a ResNet and FPN, checked completely and read into numpy.

The released file is ``fasterrcnn_resnet50_fpn_coco-258fb6c6.pth``:
``torchvision.models.detection.fasterrcnn_resnet50_fpn`` trained on COCO (Ren et al., arXiv:1506.01497; Lin et al.,
arXiv:1612.03144). Networks of the same architecture and of other sizes are read as well.
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
"""Sizes of the released file."""

_FIX: Final = (
    f"Give {WEIGHT_FILE}, which torchvision downloads for fasterrcnn_resnet50_fpn, or a state dict of that "
    "architecture in another size."
)
_NORM: Final = ("weight", "bias", "running_mean", "running_var")

_SIZED: Final = {
    "width": ("backbone.body.conv1.weight", 4),
    "fpn_channels": ("backbone.fpn.inner_blocks.0.weight", 4),
    "representation_size": ("roi_heads.box_head.fc6.weight", 2),
    "num_classes": ("roi_heads.box_predictor.cls_score.weight", 2),
}
"""The tensor whose first dimension is this size, and how many dimensions it has."""

_RENAMED: Final = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.0\.(weight|bias)$"), r"\1.\2"),
    (re.compile(r"^(rpn\.head\.conv)\.0\.0\.(weight|bias)$"), r"\1.\2"),
)
"""torchvision 0.13 wrapped these convolutions; it still reads the older names, which the released file has."""


def read_detector(path: Path) -> Checkpoint:
    """A state dict of ``fasterrcnn_resnet50_fpn``, in the released sizes or in others.

    Args:
        path: The .pth file, or a folder with the released one in it. Under the released file's name, only the released
            sizes are taken.

    Returns:
        float32 tensors under the names of the released file (which has 295), `config` as `CONFIG`.

    Raises:
        CheckpointError: Lists everything that is missing, not expected, of another shape, or not finite.
    """
    weights = path / WEIGHT_FILE if path.is_dir() else path
    if not weights.is_file():
        problem = f"the folder {path} has no file of this name" if path.is_dir() else "it does not exist"
        raise CheckpointError(weights, [problem], _FIX)
    tensors = {_name(name): tensor for name, tensor in to_float32(read_state_dict(weights)).items()}
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    config, problems = (dict(CONFIG), list[str]()) if weights.name == WEIGHT_FILE else sizes_of(shapes)
    expected = detector_table(config) if config else {}
    if config:
        problems = problems_of(tensors, expected) or _variance_problems(tensors)
    if problems:
        raise CheckpointError(weights, problems, _FIX)
    return Checkpoint(
        family="faster-rcnn",
        path=weights,
        sha256=sha256_of(weights),
        tensors={name: tensors[name] for name in expected},
        config=config,
        processor={},
    )


def sizes_of(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Any], list[str]]:
    """All sizes, read from the shapes of the tensors.

    Args:
        shapes: Of the tensors, by name.

    Returns:
        What `CONFIG` holds; and the tensors without which it is not known, each a sentence (the sizes are then empty).
    """
    problems = [
        f"tensor {name} is missing or has not {rank} dimensions, so the sizes of the network are not known"
        for name, rank in _SIZED.values()
        if len(shapes.get(name, ())) != rank or 0 in shapes[name]
    ]
    blocks = [_blocks(shapes, stage) for stage in range(1, 5)]
    problems += [
        f"no tensor backbone.body.layer{stage}.* is there, so the sizes of the network are not known"
        for stage, count in enumerate(blocks, start=1)
        if not count
    ]
    if problems:
        return {}, problems
    return {key: shapes[name][0] for key, (name, _) in _SIZED.items()} | {"blocks": blocks}, []


def _blocks(shapes: Mapping[str, tuple[int, ...]], stage: int) -> int:
    """Bottleneck blocks of a stage."""
    pattern = re.compile(rf"backbone\.body\.layer{stage}\.(\d+)\.")
    return len({match[1] for match in map(pattern.match, shapes) if match})


def detector_table(config: Mapping[str, Any]) -> Shapes:
    """Names and shapes of all tensors of a network of these sizes (see `CONFIG`), in torchvision's order."""
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
