"""The losses of Faster R-CNN (Ren et al., arXiv:1506.01497), with torchvision's thresholds and sample sizes."""

from dataclasses import dataclass

import torch
from demo_detector import BOX_WEIGHTS, Detector, anchors, decode, encode
from torch import Tensor
from torch.nn import functional

_ANCHORS_SAMPLED = 256
_BOXES_SAMPLED = 256
"""torchvision samples 512 of its 2000 proposals."""

_CANDIDATES = 1000
_BETA = 1 / 9


@dataclass(frozen=True)
class Example:
    """One picture with what is in it.

    Attributes:
        image: (1, 3, height, width), as `inferry.processing.detector_image` prepares it.
        size: Height and width without the padding.
        boxes: (n, 4), in pixels of `image`.
        classes: (n), from 1.
    """

    image: Tensor
    size: tuple[int, int]
    boxes: Tensor
    classes: Tensor


def loss(detector: Detector, example: Example) -> Tensor:
    """The four losses of one picture: objectness and boxes of the proposals, classes and boxes of the box head."""
    levels = detector.pyramid(example.image)
    level_anchors = anchors(levels, example.image)
    logits, deltas = detector.proposals(levels)
    candidates = _candidates(logits, deltas, level_anchors, example)
    proposing = _proposal_loss(torch.cat(logits), torch.cat(deltas), torch.cat(level_anchors), example.boxes)
    return proposing + _head_loss(detector, levels, candidates, example)


def _proposal_loss(logits: Tensor, deltas: Tensor, boxes: Tensor, truth: Tensor) -> Tensor:
    overlaps = overlap(boxes, truth)
    best, nearest = overlaps.max(dim=1)
    # Every thing gets the anchors that fit it best, however badly they do.
    positive = (best >= 0.7) | (overlaps == overlaps.max(dim=0).values).any(dim=1)
    some, others = _sample(positive, (best < 0.3) & ~positive, _ANCHORS_SAMPLED, 0.5)
    chosen = torch.cat([some, others])
    objectness = functional.binary_cross_entropy_with_logits(logits[chosen], positive[chosen].float())
    wanted = encode(truth[nearest[some]], boxes[some])
    return objectness + functional.smooth_l1_loss(deltas[some], wanted, beta=_BETA, reduction="sum") / len(chosen)


def _head_loss(detector: Detector, levels: list[Tensor], candidates: Tensor, example: Example) -> Tensor:
    best, nearest = overlap(candidates, example.boxes).max(dim=1)
    some, others = _sample(best >= 0.5, best < 0.5, _BOXES_SAMPLED, 0.25)
    chosen = torch.cat([some, others])
    logits, deltas = detector.judge(levels, candidates[chosen])
    classes = example.classes[nearest[some]]
    labels = torch.cat([classes, classes.new_zeros(len(others))])
    wanted = encode(example.boxes[nearest[some]], candidates[some]) * candidates.new_tensor(BOX_WEIGHTS)
    found = deltas[torch.arange(len(some)), classes]
    regression = functional.smooth_l1_loss(found, wanted, beta=_BETA, reduction="sum") / len(chosen)
    return functional.cross_entropy(logits, labels) + regression


@torch.no_grad()
def _candidates(logits: list[Tensor], deltas: list[Tensor], boxes: list[Tensor], example: Example) -> Tensor:
    """What the box head learns from: each level's best boxes, without suppression, and boxes around the truth."""
    found = []
    for level_logits, level_deltas, level_boxes in zip(logits, deltas, boxes, strict=True):
        order = level_logits.topk(min(_CANDIDATES, len(level_logits))).indices
        found.append(decode(level_deltas[order], level_boxes[order], example.size))
    truth = example.boxes.repeat(16, 1)
    near = decode(torch.randn_like(truth) * 0.1, truth, example.size)
    joined = torch.cat([*found, example.boxes, near])
    return joined[(joined[:, 2:] - joined[:, :2] >= 1).all(dim=1)]


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of each pair: (n, 4) and (m, 4) to (n, m)."""
    low = boxes[:, None, :2].maximum(others[None, :, :2])
    high = boxes[:, None, 2:].minimum(others[None, :, 2:])
    common = (high - low).clamp(min=0).prod(dim=2)
    areas = [(part[:, 2:] - part[:, :2]).prod(dim=1) for part in (boxes, others)]
    return common / (areas[0][:, None] + areas[1][None] - common)


def _sample(positive: Tensor, negative: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Random places of both kinds, at most `share` of `count` positive."""
    some, others = (kind.nonzero()[:, 0] for kind in (positive, negative))
    some = some[torch.randperm(len(some))[: int(count * share)]]
    return some, others[torch.randperm(len(others))[: count - len(some)]]
