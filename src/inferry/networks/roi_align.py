"""What the feature pyramid holds inside of boxes.

Sources: He et al., arXiv:1703.06870 (RoIAlign); Lin et al., arXiv:1612.03144, equation 1 (which level a box reads);
torchvision ``ops/poolers.py`` and ``ops/roi_align.py`` with ``aligned=False``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from inferry.networks import boxes
from inferry.networks.graph import Graph

OUTPUT_SIZE = 7
"""Bins of a box along each side."""

_SAMPLES = 2
"""Points along each side of a bin."""

_STRIDES = (4, 8, 16, 32)
_CANONICAL_SIZE, _CANONICAL_LEVEL, _EPSILON = 224, 4, 1e-6
_SIDES = tuple(_CANONICAL_SIZE * 2.0 ** (level - _CANONICAL_LEVEL - _EPSILON) for level in (3, 4, 5))
"""From this side length on (root of the area), a box reads level 3, 4 or 5, and below the first one level 2. This is
floor(4 + log2(side / 224) + 1e-6) between 2 and 5, solved for the side."""


@dataclass(frozen=True)
class Pooled:
    """Boxes with their features, ordered by level.

    Attributes:
        features: (n, channels, 7, 7).
        boxes: (n, 4).
    """

    features: ir.Value
    boxes: ir.Value


def level_of(graph: Graph, proposals: ir.Value) -> ir.Value:
    """(n), int64: which of the four levels each box of (n, 4) reads, 0 the finest."""
    width, height = boxes.sizes(graph, proposals)
    side = graph.op("Sqrt", graph.op("Mul", width, height))
    reached = graph.op("Cast", graph.op("GreaterOrEqual", side, graph.constant(_SIDES)), to=ir.DataType.INT64)
    return graph.op("ReduceSum", reached, graph.constant([1], "int64"), keepdims=0)


def pool(graph: Graph, levels: Sequence[ir.Value], proposals: ir.Value) -> Pooled:
    """Each box averaged into 7x7 bins of the level that suits its size.

    Args:
        graph: Where the nodes go.
        levels: Four, of stride 4, 8, 16 and 32, each (1, channels, height, width).
        proposals: (n, 4), in pixels of the picture.
    """
    assigned = level_of(graph, proposals)
    pooled, members = [], []
    for index, (features, stride) in enumerate(zip(levels, _STRIDES, strict=True)):
        here = graph.op("NonZero", graph.op("Equal", assigned, graph.constant(index, "int64")))
        here = graph.op("Squeeze", here, graph.constant([0], "int64"))
        pooled.append(align(graph, features, graph.op("Gather", proposals, here), stride))
        members.append(here)
    order = graph.op("Concat", *members, axis=0)
    return Pooled(graph.op("Concat", *pooled, axis=0), graph.op("Gather", proposals, order))


def align(graph: Graph, features: ir.Value, rois: ir.Value, stride: int) -> ir.Value:
    """RoIAlign on one level: (n, channels, 7, 7).

    The corners are not moved by half a pixel, and a box has at least the size of one cell: the form before
    ``aligned=True``, with which the weights were trained.
    """
    left = graph.op("Gather", rois, graph.constant(0, "int64"), axis=1)
    pictures = graph.op("Expand", graph.constant(0, "int64"), graph.op("Shape", left))
    return graph.op(
        "RoiAlign",
        features,
        rois,
        pictures,
        coordinate_transformation_mode="output_half_pixel",
        mode="avg",
        output_height=OUTPUT_SIZE,
        output_width=OUTPUT_SIZE,
        sampling_ratio=_SAMPLES,
        spatial_scale=1 / stride,
    )
