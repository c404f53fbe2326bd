"""A small Faster R-CNN in differentiable torch, with the tensors of torchvision's ``fasterrcnn_resnet50_fpn``.

Sources: Ren et al., arXiv:1506.01497; Lin et al., arXiv:1612.03144; torchvision ``models/detection``. Training only:
inference is `inferry.networks.faster_rcnn`.
"""

import math
from collections.abc import Mapping

import torch
from demo_scenes import COLOURS, SHAPES
from torch import Tensor
from torch.nn import functional

from inferry.checkpoints.torchvision_detector import detector_table
from inferry.networks.region_proposals import ANCHOR_SIZES, cell_anchors

CLASSES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
"""What is detected; class 0 of the network is the background, so that these begin at 1."""

CONFIG = {
    "width": 8,
    "blocks": [1, 1, 1, 1],
    "fpn_channels": 16,
    "representation_size": 64,
    "num_classes": len(CLASSES) + 1,
}
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""The box head's deltas are multiplied with these; those of the proposals are not."""

_STRIDES = (4, 8, 16, 32)
_GREATEST_GROWTH = math.log(1000 / 16)


def initial_weights() -> dict[str, Tensor]:
    """Random weights under torchvision's names; the norms' means and variances are constants."""
    weights = {}
    for name, shape in detector_table(CONFIG).items():
        if len(shape) > 1:
            gain = 0.01 if "cls_" in name or "bbox_pred" in name else math.sqrt(2 / math.prod(shape[1:]))
            weights[name] = torch.randn(shape) * gain
        else:
            is_one = name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1)
            weights[name] = torch.ones(shape) if is_one else torch.zeros(shape)
        weights[name].requires_grad_("running_" not in name)
    return weights


class Detector:
    """The parts of the network; each reads the same weights, which an optimiser changes in place.

    Args:
        weights: By name.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights
        self._measuring = False

    @torch.no_grad()
    def measure_norms(self, image: Tensor) -> None:
        """Sets every norm's mean and variance to what it sees in `image`; they stay so, as in torchvision."""
        self._measuring = True
        self.pyramid(image)
        self._measuring = False

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """The five levels of (1, 3, height, width), finest first."""
        x = self._conv_norm("backbone.body.conv1", "backbone.body.bn1", image, 2).relu()
        x = functional.max_pool2d(x, 3, 2, 1)
        stages = []
        for stage, count in enumerate(CONFIG["blocks"]):
            for block in range(count):
                x = self._bottleneck(f"backbone.body.layer{stage + 1}.{block}", x, 2 if stage and not block else 1)
            stages.append(x)
        levels: list[Tensor] = []
        merged = None
        for index in reversed(range(len(stages))):
            lateral = self._conv(f"backbone.fpn.inner_blocks.{index}", stages[index])
            if merged is not None:
                lateral = lateral + functional.interpolate(merged, scale_factor=2, mode="nearest")
            merged = lateral
            levels.insert(0, self._conv(f"backbone.fpn.layer_blocks.{index}", merged))
        return [*levels, levels[-1][:, :, ::2, ::2]]

    def proposals(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """For every level the logits (n) and the box deltas (n, 4) of its anchors, in the order of `anchors`."""
        logits, deltas = [], []
        for features in levels:
            x = self._conv("rpn.head.conv", features).relu()
            logits.append(self._conv("rpn.head.cls_logits", x)[0].permute(1, 2, 0).flatten())
            deltas.append(self._conv("rpn.head.bbox_pred", x)[0].permute(1, 2, 0).reshape(-1, 4))
        return logits, deltas

    def judge(self, levels: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (n, classes) and box deltas (n, classes, 4) of `boxes` (n, 4)."""
        x = self._linear("roi_heads.box_head.fc6", _pool(levels, boxes).flatten(1)).relu()
        x = self._linear("roi_heads.box_head.fc7", x).relu()
        logits = self._linear("roi_heads.box_predictor.cls_score", x)
        return logits, self._linear("roi_heads.box_predictor.bbox_pred", x).reshape(len(x), -1, 4)

    def _bottleneck(self, name: str, x: Tensor, stride: int) -> Tensor:
        y = self._conv_norm(f"{name}.conv1", f"{name}.bn1", x, 1).relu()
        y = self._conv_norm(f"{name}.conv2", f"{name}.bn2", y, stride).relu()
        y = self._conv_norm(f"{name}.conv3", f"{name}.bn3", y, 1)
        if f"{name}.downsample.0.weight" in self.weights:
            x = self._conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", x, stride)
        return (y + x).relu()

    def _conv_norm(self, conv: str, norm: str, x: Tensor, stride: int) -> Tensor:
        weight = self.weights[f"{conv}.weight"]
        gamma, beta, mean, variance = (
            self.weights[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        if self._measuring:
            seen = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
            mean.copy_(seen.mean((0, 2, 3)))
            variance.copy_(seen.var((0, 2, 3)).clamp(min=1e-4))
        scale = gamma / variance.sqrt()
        folded = weight * scale[:, None, None, None]
        return functional.conv2d(x, folded, beta - mean * scale, stride=stride, padding=weight.shape[-1] // 2)

    def _conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        return functional.conv2d(x, weight, self.weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])


def anchors(levels: list[Tensor], image: Tensor) -> list[Tensor]:
    """For every level its anchors (n, 4): row by row, three to a cell."""
    found = []
    for features, size in zip(levels, ANCHOR_SIZES, strict=True):
        rows, columns = features.shape[-2:]
        y = torch.arange(rows) * (image.shape[-2] // rows)
        x = torch.arange(columns) * (image.shape[-1] // columns)
        y, x = torch.meshgrid(y, x, indexing="ij")
        shifts = torch.stack([x, y, x, y], dim=-1)[:, :, None]
        found.append((shifts + torch.from_numpy(cell_anchors(size))).reshape(-1, 4))
    return found


def decode(deltas: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """`boxes` (n, 4), moved and scaled by `deltas` (n, 4), cut to a picture of that height and width."""
    extent = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + extent / 2 + deltas[:, :2] * extent
    radius = deltas[:, 2:].clamp(max=_GREATEST_GROWTH).exp() * extent / 2
    limits = boxes.new_tensor([size[1], size[0]] * 2)
    return torch.cat([centre - radius, centre + radius], dim=1).clamp(min=0).minimum(limits)


def encode(truth: Tensor, boxes: Tensor) -> Tensor:
    """The deltas with which `decode` turns `boxes` (n, 4) into `truth` (n, 4)."""
    extent, wanted = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = (truth[:, :2] + wanted / 2 - boxes[:, :2] - extent / 2) / extent
    return torch.cat([shift, (wanted / extent).log()], dim=1)


def _pool(levels: list[Tensor], boxes: Tensor) -> Tensor:
    """RoIAlign (He et al., arXiv:1703.06870) without torchvision: (n, channels, 7, 7)."""
    side = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
    assigned = (4 + (side / 224).log2() + 1e-6).floor().clamp(2, 5) - 2
    pooled = boxes.new_zeros(len(boxes), levels[0].shape[1], 7, 7)
    places = (torch.arange(14) + 0.5) / 14
    for index, stride in enumerate(_STRIDES):
        here = (assigned == index).nonzero()[:, 0]
        if not len(here):
            continue
        low, high = boxes[here, :2] / stride, boxes[here, 2:] / stride
        points = low[:, None] + places[:, None] * (high - low).clamp(min=1)[:, None]
        last = points.new_tensor([levels[index].shape[-1] - 1, levels[index].shape[-2] - 1])
        x, y = (2 * points / last - 1).unbind(dim=2)
        grid = torch.stack([x[:, None].expand(-1, 14, -1), y[:, :, None].expand(-1, -1, 14)], dim=-1)
        samples = functional.grid_sample(
            levels[index], grid.reshape(1, -1, 14, 2), padding_mode="border", align_corners=True
        )
        bins = functional.avg_pool2d(samples[0].reshape(-1, len(here), 14, 14), 2)
        pooled = pooled.index_copy(0, here, bins.transpose(0, 1))
    return pooled
