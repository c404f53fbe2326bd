"""Anchors and the region proposal network (Ren et al., arXiv:1506.01497).

Source of the details: torchvision ``models/detection/anchor_utils.py`` and ``rpn.py``, at inference.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.networks import boxes
from inferry.networks.graph import Graph
from inferry.networks.modules import Modules
from inferry.networks.resnet_fpn import DetectorConfig, conv2d

ANCHOR_SIZES = (32, 64, 128, 256, 512)
"""Root of an anchor's area in pixels, one a level, finest level first."""

ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Height by width."""

_CANDIDATES = 1000
"""Best anchors of each level that are looked at."""

_PROPOSALS = 1000
"""Most boxes that are proposed in all."""

_OVERLAP = 0.7
_SMALLEST_SIDE = 1e-3
_NEVER = -1e30
"""Score of a box that must not be kept; no logit is as low."""


def cell_anchors(size: int) -> Array:
    """Anchors (3, 4) around the origin, their corners rounded to pixels (halves to even, as torch does)."""
    ratios = np.sqrt(np.array(ASPECT_RATIOS, np.float32))
    heights, widths = ratios * np.float32(size), 1 / ratios * np.float32(size)
    corners = np.stack([-widths, -heights, widths, heights], axis=1) / 2
    return np.round(corners).astype(np.float32)


def anchors(graph: Graph, image: ir.Value, features: ir.Value, size: int) -> ir.Value:
    """All anchors of a level (height * width * 3, 4), row by row; they may reach out of the picture.

    The distance of two cells is a whole number of pixels: the padded picture's size by the level's, rounded down.
    """
    axes = []
    for axis in (2, 3):
        cells = graph.op("Shape", features, start=axis, end=axis + 1)
        stride = graph.op("Div", graph.op("Shape", image, start=axis, end=axis + 1), cells)
        zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
        places = graph.op("Mul", graph.op("Range", zero, graph.op("Squeeze", cells), one), stride)
        shape = graph.constant([-1, 1, 1] if axis == 2 else [1, -1, 1], "int64")
        axes.append(graph.op("Reshape", graph.op("Cast", places, to=ir.DataType.FLOAT), shape))
    grid = graph.op("Concat", graph.op("Shape", features, start=2, end=4), graph.constant([1], "int64"), axis=0)
    y, x = (graph.op("Expand", axis, grid) for axis in axes)
    shifts = graph.op("Unsqueeze", graph.op("Concat", x, y, x, y, axis=2), graph.constant([2], "int64"))
    return _rows(graph, graph.op("Add", shifts, graph.constant(cell_anchors(size))))


def propose(
    modules: Modules, image: ir.Value, limits: ir.Value, levels: Sequence[ir.Value], config: DetectorConfig
) -> ir.Value:
    """The boxes (n, 4) in which something may be, best first; n is at most 1000.

    Args:
        modules: At the network's root.
        image: (1, 3, height, width), padded.
        limits: From `boxes.image_limits`: of the picture without its padding.
        levels: The feature pyramid.
        config: Sizes.
    """
    graph = modules.graph
    found, logits, level_of = [], [], []
    with modules.scope("rpn"):
        for index, (features, size) in enumerate(zip(levels, ANCHOR_SIZES, strict=True)):
            level_logits, deltas = _head(modules, features, config)
            level_logits, places = boxes.best(graph, level_logits, _CANDIDATES)
            deltas = graph.op("Gather", deltas, places)
            base = graph.op("Gather", anchors(graph, image, features, size), places)
            found.append(boxes.clip(graph, boxes.decode(graph, deltas, base, (1.0, 1.0, 1.0, 1.0)), limits))
            logits.append(level_logits)
            level_of.append(graph.op("Expand", graph.constant(index, "int64"), graph.op("Shape", places)))
        joined = [graph.op("Concat", *parts, axis=0) for parts in (found, logits, level_of)]
        return select(graph, *joined)


def select(graph: Graph, candidates: ir.Value, logits: ir.Value, level_of: ir.Value) -> ir.Value:
    """The best boxes after suppression within each level; boxes of different levels do not suppress each other.

    The logits stand for their sigmoids, which have the same order and more ties.

    Args:
        graph: Where the nodes go.
        candidates: (n, 4), within the picture.
        logits: (n).
        level_of: (n), int64: 0 to 4.
    """
    first, second = graph.constant([0], "int64"), graph.constant([1], "int64")
    rows = graph.constant(np.arange(len(ANCHOR_SIZES))[:, None], "int64")
    usable = graph.op("Squeeze", boxes.large_enough(graph, candidates, _SMALLEST_SIDE), second)
    mine = graph.op("And", graph.op("Equal", level_of, rows), usable)
    scores = graph.op("Unsqueeze", graph.op("Where", mine, logits, graph.constant(_NEVER)), first)
    batch = graph.op("Unsqueeze", candidates, first)
    kept = boxes.suppress(graph, batch, scores, overlap=_OVERLAP, threshold=_NEVER / 2, limit=_PROPOSALS)
    kept = graph.op("Gather", kept, graph.constant(2, "int64"), axis=1)
    _, places = boxes.best(graph, graph.op("Gather", logits, kept), _PROPOSALS)
    return graph.op("Gather", candidates, graph.op("Gather", kept, places))


def _head(modules: Modules, features: ir.Value, config: DetectorConfig) -> tuple[ir.Value, ir.Value]:
    """Logits (n) and box deltas (n, 4) of a level's anchors, in the order of `anchors`."""
    graph, channels, count = modules.graph, config.fpn_channels, len(ASPECT_RATIOS)
    with modules.scope("head"):
        x = graph.op("Relu", conv2d(modules, "conv", features, (channels, channels, 3, 3)))
        logits = conv2d(modules, "cls_logits", x, (count, channels, 1, 1))
        deltas = conv2d(modules, "bbox_pred", x, (4 * count, channels, 1, 1))
    last = [0, 2, 3, 1]
    flat = graph.op("Reshape", graph.op("Transpose", logits, perm=last), graph.constant([-1], "int64"))
    return flat, _rows(graph, graph.op("Transpose", deltas, perm=last))


def _rows(graph: Graph, value: ir.Value) -> ir.Value:
    return graph.op("Reshape", value, graph.constant([-1, 4], "int64"))
