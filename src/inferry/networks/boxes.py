"""Arithmetic on boxes (..., 4): left, top, right, bottom in pixels, float32.

Sources: Girshick et al., arXiv:1311.2524, appendix C (the coding); torchvision ``models/detection/_utils.py`` and
``ops/boxes.py`` (a box ends where its last pixel ends: no one is added to its size).
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from inferry.networks.graph import Graph

_GREATEST_GROWTH = math.log(1000 / 16)
"""The log of a size's factor is cut here, so that its exponential stays finite."""


def image_limits(graph: Graph, image_size: ir.Value) -> ir.Value:
    """(4): the greatest left, top, right and bottom within `image_size` (2), int64: height and width."""
    size = graph.op("Cast", image_size, to=ir.DataType.FLOAT)
    return graph.op("Gather", size, graph.constant([1, 0, 1, 0], "int64"))


def clip(graph: Graph, boxes: ir.Value, limits: ir.Value) -> ir.Value:
    """`boxes` cut to the picture."""
    return graph.op("Min", graph.op("Max", boxes, graph.constant(0.0)), limits)


def sizes(graph: Graph, boxes: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Widths and heights (..., 1)."""
    left, top, right, bottom = graph.op_outputs("Split", boxes, count=4, axis=-1)
    return graph.op("Sub", right, left), graph.op("Sub", bottom, top)


def large_enough(graph: Graph, boxes: ir.Value, smallest: float) -> ir.Value:
    """(..., 1), bool: whether both sides have at least `smallest` pixels."""
    limit = graph.constant(smallest)
    wide, high = (graph.op("GreaterOrEqual", side, limit) for side in sizes(graph, boxes))
    return graph.op("And", wide, high)


def decode(graph: Graph, deltas: ir.Value, boxes: ir.Value, weights: Sequence[float]) -> ir.Value:
    """Boxes moved and scaled as a network says.

    Args:
        graph: Where the nodes go.
        deltas: (..., 4): shifts of the centre in widths and heights, logs of the factors of width and height.
        boxes: (..., 4), of a shape that broadcasts with `deltas`.
        weights: The four numbers that `deltas` were multiplied with in training.
    """
    parts = graph.op_outputs("Split", graph.op("Div", deltas, graph.constant(np.array(weights))), count=4, axis=-1)
    corners = graph.op_outputs("Split", boxes, count=4, axis=-1)
    half = graph.constant(0.5)
    low, high = [], []
    for axis, size in enumerate(sizes(graph, boxes)):
        centre = graph.op("Add", corners[axis], graph.op("Mul", half, size))
        centre = graph.op("Add", graph.op("Mul", parts[axis], size), centre)
        growth = graph.op("Exp", graph.op("Min", parts[axis + 2], graph.constant(_GREATEST_GROWTH)))
        radius = graph.op("Mul", half, graph.op("Mul", growth, size))
        low.append(graph.op("Sub", centre, radius))
        high.append(graph.op("Add", centre, radius))
    return graph.op("Concat", *low, *high, axis=-1)


def best(graph: Graph, scores: ir.Value, limit: int) -> tuple[ir.Value, ir.Value]:
    """The greatest of `scores` (n) and where they stand (int64), greatest first, at most `limit`."""
    count = graph.op("Min", graph.op("Shape", scores), graph.constant([limit], "int64"))
    values, places = graph.op_outputs("TopK", scores, count, count=2, axis=0, largest=1, sorted=1)
    return values, places


def suppress(
    graph: Graph, boxes: ir.Value, scores: ir.Value, *, overlap: float, threshold: float, limit: int
) -> ir.Value:
    """Boxes that no better one of the same class covers (greedy non-maximum suppression).

    Args:
        graph: Where the nodes go.
        boxes: (batch, n, 4).
        scores: (batch, classes, n).
        overlap: A box goes whose intersection over union with a better one is greater.
        threshold: A box goes whose score is not greater.
        limit: Most boxes of a class.

    Returns:
        (kept, 3), int64: batch, class and box, in no order that one may rely on.
    """
    most = graph.constant(limit, "int64")
    return graph.op("NonMaxSuppression", boxes, scores, most, graph.constant(overlap), graph.constant(threshold))
