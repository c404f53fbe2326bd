"""Torchvision's Faster R-CNN with the regions' features, written plainly in torch, against which parity is measured.

Written anew after torchvision's ``models/detection`` and AllenNLP's ``modules/vision/region_detector.py``: torchvision
is no dependency. It is slow on purpose: boxes are suppressed one by one, and RoIAlign walks over the boxes.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from inferry.core.errors import MissingDependencyError
from inferry.core.machine import INSTALL_REFERENCE
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

if TYPE_CHECKING:
    from torch import Tensor

_ANCHOR_SIZES: Final = (32, 64, 128, 256, 512)
_STRIDES: Final = (4, 8, 16, 32)


def reference(checkpoint: Checkpoint) -> "FasterRcnnReference":
    """The detector with the checkpoint's weights, on the processor, in float64.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch", "The plain Faster R-CNN", INSTALL_REFERENCE) from error
    weights = {name: torch.from_numpy(np.asarray(tensor)).double() for name, tensor in checkpoint.tensors.items()}
    return FasterRcnnReference(weights, list(checkpoint.config["blocks"]), int(checkpoint.config["num_classes"]))


class FasterRcnnReference:
    """The detector for one picture; conforms to `inferry.core.protocols.Reference`.

    Args:
        weights: float64, by their original names.
        blocks: Bottleneck blocks of each stage.
        classes: With the background.
    """

    def __init__(self, weights: "Mapping[str, Tensor]", blocks: list[int], classes: int) -> None:
        self._weights = weights
        self._blocks = blocks
        self._classes = classes

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The regions of one picture.

        Args:
            inputs: `image` float32 (1, 3, height, width), padded to multiples of 32, and `image_size` int64 (2): height
                and width without the padding.

        Returns:
            `box_features`, `box_coordinates`, `box_scores`, float64, and `box_labels`, int64, best detection first.
        """
        import torch

        image = torch.from_numpy(np.asarray(inputs["image"])).double()
        height, width = (int(size) for size in inputs["image_size"])
        with torch.inference_mode():
            levels = self.pyramid(image)
            proposals = self.proposals(image, levels, (height, width))
            return {name: value.numpy() for name, value in self._detect(levels, proposals, (height, width)).items()}

    def signature(self) -> dict[str, str]:
        """The package that computes it, with its version."""
        import torch

        return {"network": "torchvision fasterrcnn_resnet50_fpn, written anew", "torch": str(torch.__version__)}

    def pyramid(self, image: "Tensor") -> "list[Tensor]":
        """The five levels of the feature pyramid of (1, 3, height, width)."""
        from torch.nn import functional

        x = self._conv_norm("backbone.body.conv1", "backbone.body.bn1", image, 2).relu()
        x = functional.max_pool2d(x, 3, 2, 1)
        stages = []
        for stage, count in enumerate(self._blocks):
            for block in range(count):
                x = self._bottleneck(f"backbone.body.layer{stage + 1}.{block}", x, 2 if stage and not block else 1)
            stages.append(x)
        levels: list[Tensor] = []
        merged = None
        for index in reversed(range(len(stages))):
            lateral = self._conv(f"backbone.fpn.inner_blocks.{index}", stages[index])
            if merged is not None:
                lateral = lateral + functional.interpolate(merged, size=lateral.shape[-2:], mode="nearest")
            merged = lateral
            levels.insert(0, self._conv(f"backbone.fpn.layer_blocks.{index}", merged))
        return [*levels, functional.max_pool2d(levels[-1], 1, 2)]

    def proposals(self, image: "Tensor", levels: "list[Tensor]", size: tuple[int, int]) -> "Tensor":
        """What the region proposal network proposes: (n, 4), best first, n at most 1000."""
        import torch

        found, logits = [], []
        for features, anchor_size in zip(levels, _ANCHOR_SIZES, strict=True):
            x = self._conv("rpn.head.conv", features).relu()
            level_logits = self._conv("rpn.head.cls_logits", x)[0].permute(1, 2, 0).flatten()
            deltas = self._conv("rpn.head.bbox_pred", x)[0].permute(1, 2, 0).reshape(-1, 4)
            level_logits, order = level_logits.sort(descending=True, stable=True)
            order = order[:1000]
            candidates = _decode(deltas[order], _anchors(image, features, anchor_size)[order], (1, 1, 1, 1))
            candidates = _clip(candidates, size)
            keep = _large(candidates, 1e-3)
            candidates, scores = candidates[keep], level_logits[:1000][keep]
            members = _suppress(candidates, scores, 0.7)
            found.append(candidates[members])
            logits.append(scores[members])
        order = torch.cat(logits).sort(descending=True, stable=True).indices[:1000]
        return torch.cat(found)[order]

    def _detect(self, levels: "list[Tensor]", proposals: "Tensor", size: tuple[int, int]) -> "dict[str, Tensor]":
        import torch

        pooled = torch.stack([_align(levels, box) for box in proposals]) if len(proposals) else proposals.new_zeros(0)
        features = self._linear("roi_heads.box_head.fc6", pooled.flatten(1)).relu()
        features = self._linear("roi_heads.box_head.fc7", features).relu()
        scores = self._linear("roi_heads.box_predictor.cls_score", features).softmax(dim=-1)
        deltas = self._linear("roi_heads.box_predictor.bbox_pred", features).reshape(-1, self._classes, 4)
        kept: list[tuple[Tensor, Tensor, Tensor, int]] = []
        for label in range(1, self._classes):
            boxes = _clip(_decode(deltas[:, label], proposals, (10, 10, 5, 5)), size)
            good = (scores[:, label] > 0.05) & _large(boxes, 1e-2)
            members = _suppress(boxes[good], scores[good, label], 0.5)
            rows = zip(features[good][members], boxes[good][members], scores[good, label][members], strict=True)
            kept += [(*row, label) for row in rows]
        kept = sorted(kept, key=lambda row: -float(row[2]))[:100]
        return {
            "box_features": torch.stack([row[0] for row in kept]) if kept else features[:0],
            "box_coordinates": torch.stack([row[1] for row in kept]) if kept else proposals[:0],
            "box_scores": torch.stack([row[2] for row in kept]) if kept else scores[:0, 0],
            "box_labels": torch.tensor([row[3] for row in kept], dtype=torch.int64),
        }

    def _bottleneck(self, name: str, x: "Tensor", stride: int) -> "Tensor":
        y = self._conv_norm(f"{name}.conv1", f"{name}.bn1", x, 1).relu()
        y = self._conv_norm(f"{name}.conv2", f"{name}.bn2", y, stride).relu()
        y = self._conv_norm(f"{name}.conv3", f"{name}.bn3", y, 1)
        if f"{name}.downsample.0.weight" in self._weights:
            x = self._conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", x, stride)
        return (y + x).relu()

    def _conv_norm(self, conv: str, norm: str, x: "Tensor", stride: int) -> "Tensor":
        from torch.nn import functional

        weight = self._weights[f"{conv}.weight"]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        gamma, beta, mean, variance = (
            self._weights[f"{norm}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / variance.sqrt() * gamma + beta

    def _conv(self, name: str, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        weight = self._weights[f"{name}.weight"]
        return functional.conv2d(x, weight, self._weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def _linear(self, name: str, x: "Tensor") -> "Tensor":
        weight = self._weights[f"{name}.weight"]
        return x.reshape(-1, weight.shape[1]) @ weight.T + self._weights[f"{name}.bias"]


def _anchors(image: "Tensor", features: "Tensor", size: int) -> "Tensor":
    """Row by row, three to a cell."""
    import torch

    rows, columns = features.shape[-2:]
    step_y, step_x = image.shape[-2] // rows, image.shape[-1] // columns
    found = []
    for y in range(rows):
        for x in range(columns):
            for ratio in (0.5, 1.0, 2.0):
                half_width, half_height = size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2
                corners = [round(part) for part in (-half_width, -half_height, half_width, half_height)]
                found.append([corners[0] + x * step_x, corners[1] + y * step_y])
                found[-1] += [corners[2] + x * step_x, corners[3] + y * step_y]
    return torch.tensor(found, dtype=torch.float64)


def _decode(deltas: "Tensor", boxes: "Tensor", weights: tuple[int, int, int, int]) -> "Tensor":
    size = boxes[:, 2:] - boxes[:, :2]
    scaled = deltas / deltas.new_tensor(weights)
    centre = boxes[:, :2] + size / 2 + scaled[:, :2] * size
    radius = scaled[:, 2:].clamp(max=math.log(1000 / 16)).exp() * size / 2
    return (centre[:, None] + radius[:, None] * radius.new_tensor([-1, 1])[:, None]).flatten(1)


def _clip(boxes: "Tensor", size: tuple[int, int]) -> "Tensor":
    import torch

    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([size[1], size[0]] * 2))


def _large(boxes: "Tensor", smallest: float) -> "Tensor":
    return ((boxes[:, 2:] - boxes[:, :2]) >= smallest).all(dim=1)


def _suppress(boxes: "Tensor", scores: "Tensor", overlap: float) -> list[int]:
    """Which boxes stay, best first."""
    import torch

    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    waiting = scores.sort(descending=True, stable=True).indices
    kept: list[int] = []
    while len(waiting):
        first, waiting = int(waiting[0]), waiting[1:]
        kept.append(first)
        low = torch.maximum(boxes[first, :2], boxes[waiting, :2])
        high = torch.minimum(boxes[first, 2:], boxes[waiting, 2:])
        common = (high - low).clamp(min=0).prod(dim=1)
        waiting = waiting[common / (area[first] + area[waiting] - common) <= overlap]
    return kept


def _align(levels: "list[Tensor]", box: "Tensor") -> "Tensor":
    """RoIAlign of one box: (channels, 7, 7)."""
    import torch
    from torch.nn import functional

    side = math.sqrt(float((box[2] - box[0]) * (box[3] - box[1])))
    index = min(max(math.floor(4 + math.log2(side / 224) + 1e-6), 2), 5) - 2
    features = levels[index][0]
    low, high = box[:2] / _STRIDES[index], box[2:] / _STRIDES[index]
    size = (high - low).clamp(min=1)
    places = (torch.arange(14, dtype=torch.float64) + 0.5) / 14
    across = _interpolation(low[0] + places * size[0], features.shape[-1])
    down = _interpolation(low[1] + places * size[1], features.shape[-2])
    return functional.avg_pool2d(down @ features @ across.T, 2)


def _interpolation(places: "Tensor", size: int) -> "Tensor":
    """(points, size): how much of each cell a point reads; nothing further than one cell outside."""
    import torch

    inside = (places >= -1) & (places <= size)
    places = places.clamp(0, size - 1)
    cells = torch.arange(size, dtype=torch.float64)
    return (1 - (places[:, None] - cells).abs()).clamp(min=0) * inside[:, None]
