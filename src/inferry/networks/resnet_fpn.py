"""ResNet with bottleneck blocks and its feature pyramid, as torchvision's detectors use them.

Sources: He et al., arXiv:1512.03385; Lin et al., arXiv:1612.03144; torchvision ``models/resnet.py`` (the stride stands
in the 3x3 convolution), ``models/detection/backbone_utils.py``, ``ops/feature_pyramid_network.py``.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx_ir as ir

from inferry.core.protocols import Checkpoint
from inferry.networks.modules import Modules

_EXPANSION = 4
"""Channels that leave a bottleneck block, in multiples of those inside."""


@dataclass(frozen=True)
class DetectorConfig:
    """Sizes of the network.

    Attributes:
        width: Channels of the stem; stage i has 4 * width * 2**i.
        blocks: Bottleneck blocks of the four stages.
        fpn_channels: Of every level of the pyramid.
        representation_size: Of a box's features.
        num_classes: With the background, which is class 0.
    """

    width: int
    blocks: tuple[int, ...]
    fpn_channels: int
    representation_size: int
    num_classes: int

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """The sizes that the checkpoint's configuration gives."""
        config = checkpoint.config
        return cls(
            width=config["width"],
            blocks=tuple(config["blocks"]),
            fpn_channels=config["fpn_channels"],
            representation_size=config["representation_size"],
            num_classes=config["num_classes"],
        )


def conv2d(modules: Modules, name: str, x: ir.Value, shape: tuple[int, int, int, int]) -> ir.Value:
    """``torch.nn.Conv2d`` with bias and stride 1 that keeps height and width.

    `shape` is (channels out, channels in, kernel, kernel), the kernel odd.
    """
    with modules.scope(name):
        weight, bias = modules.weight("weight", shape), modules.weight("bias", shape[:1])
        return modules.graph.op("Conv", x, weight, bias, kernel_shape=shape[2:], pads=[shape[2] // 2] * 4)


def feature_pyramid(modules: Modules, image: ir.Value, config: DetectorConfig) -> tuple[ir.Value, ...]:
    """The five levels, finest first, each (1, fpn_channels, height, width).

    Args:
        modules: At the network's root.
        image: (1, 3, height, width), both sizes multiples of 32.
        config: Sizes.

    Returns:
        Levels of stride 4, 8, 16 and 32, and every second point of the last one.
    """
    with modules.scope("backbone"):
        stages = _resnet(modules, image, config)
        with modules.scope("fpn"):
            return _pyramid(modules, stages, config)


def _resnet(modules: Modules, image: ir.Value, config: DetectorConfig) -> list[ir.Value]:
    graph = modules.graph
    with modules.scope("body"):
        x = graph.op("Relu", _conv_norm(modules, ("conv1", "bn1"), image, (config.width, 3, 7, 7), stride=2))
        x = graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        stages, size = [], config.width
        for stage, count in enumerate(config.blocks):
            for block in range(count):
                inner = config.width * 2**stage
                with modules.scope(f"layer{stage + 1}.{block}"):
                    x = _bottleneck(modules, x, size, inner, stride=2 if stage and not block else 1)
                size = _EXPANSION * inner
            stages.append(x)
        return stages


def _bottleneck(modules: Modules, x: ir.Value, size: int, inner: int, stride: int) -> ir.Value:
    """1x1, 3x3, 1x1 convolutions and the shortcut, which is a convolution where the shape changes."""
    graph, size_out = modules.graph, _EXPANSION * inner
    y = graph.op("Relu", _conv_norm(modules, ("conv1", "bn1"), x, (inner, size, 1, 1)))
    y = graph.op("Relu", _conv_norm(modules, ("conv2", "bn2"), y, (inner, inner, 3, 3), stride=stride))
    y = _conv_norm(modules, ("conv3", "bn3"), y, (size_out, inner, 1, 1))
    if stride > 1 or size != size_out:
        x = _conv_norm(modules, ("downsample.0", "downsample.1"), x, (size_out, size, 1, 1), stride=stride)
    return graph.op("Relu", graph.op("Add", y, x))


def _conv_norm(
    modules: Modules, names: tuple[str, str], x: ir.Value, shape: tuple[int, int, int, int], *, stride: int = 1
) -> ir.Value:
    """A convolution without bias and the frozen batch norm after it, folded into one convolution.

    Nothing is added to the variance: torchvision sets the norms' epsilon to 0 for the released weights.
    """
    conv, norm = names
    weight = modules.tensor(f"{conv}.weight", shape)
    gamma, beta, mean, variance = (
        modules.tensor(f"{norm}.{part}", shape[:1]).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    # A missing tensor stands for zeros until `finish` reports it.
    scale = np.divide(gamma, np.sqrt(variance), out=np.zeros_like(gamma), where=variance > 0)
    folded = (weight * scale[:, None, None, None]).astype(np.float32)
    shift = (beta - mean * scale).astype(np.float32)
    graph = modules.graph
    path = f"{graph.path}.{conv}"
    inputs = [x, graph.weight(f"{path}.weight", folded), graph.weight(f"{path}.bias", shift)]
    pads = [shape[2] // 2] * 4
    return graph.op("Conv", *inputs, name=conv, kernel_shape=shape[2:], strides=[stride, stride], pads=pads)


def _pyramid(modules: Modules, stages: list[ir.Value], config: DetectorConfig) -> tuple[ir.Value, ...]:
    """From the coarsest level down, each level adds the enlarged one above it."""
    graph, channels = modules.graph, config.fpn_channels
    twice = graph.constant([1, 1, 2, 2])
    levels: list[ir.Value] = []
    merged: ir.Value | None = None
    for index in reversed(range(len(stages))):
        size = _EXPANSION * config.width * 2**index
        lateral = conv2d(modules, f"inner_blocks.{index}", stages[index], (channels, size, 1, 1))
        if merged is not None:
            larger = graph.op(
                "Resize",
                merged,
                None,
                twice,
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
            lateral = graph.op("Add", lateral, larger)
        merged = lateral
        levels.append(conv2d(modules, f"layer_blocks.{index}", merged, (channels, channels, 3, 3)))
    coarsest = graph.op("MaxPool", levels[0], kernel_shape=[1, 1], strides=[2, 2])
    return (*reversed(levels), coarsest)
