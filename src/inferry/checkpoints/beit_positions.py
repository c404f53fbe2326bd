"""Relative and absolute positions of BEiT: their layout, and their interpolation to another input size.

After unilm/beit, ``modeling_finetune.py`` (layout) and ``run_class_finetuning.py`` (interpolation).
"""

import math
from typing import Final

import numpy as np

from inferry.core.specs import Array

EXTRA: Final = 3
"""Rows at the end of a table: class token to patch, patch to class token, class token to itself."""

GREATEST_GRID: Final = 128
"""Patches along a side; the constants of more would take gigabytes."""

_BICUBIC: Final = -0.75
"""torch's constant of the bicubic kernel (Keys 1981 has -0.5)."""


def grid_of_table(rows: int) -> int | None:
    """Patches along a side for a table of so many rows, (2 grid - 1)^2 + 3; None if no grid has them."""
    side = math.isqrt(max(rows - EXTRA, 0))
    return (side + 1) // 2 if side % 2 and side * side + EXTRA == rows else None


def grid_of_tokens(tokens: int) -> int | None:
    """Patches along a side for so many tokens, the class token included; None if no grid has them."""
    side = math.isqrt(max(tokens - 1, 0))
    return side if side and side * side + 1 == tokens else None


def relative_position_index(grid: int) -> Array:
    """Row of the table for every pair: int64 (tokens, tokens), rows are queries, the class token first."""
    y, x = np.divmod(np.arange(grid * grid), grid)
    dy, dx = y[:, None] - y[None], x[:, None] - x[None]
    side = 2 * grid - 1
    index = np.empty((grid * grid + 1, grid * grid + 1), np.int64)
    index[1:, 1:] = (dy + grid - 1) * side + dx + grid - 1
    index[0, :], index[:, 0], index[0, 0] = side * side, side * side + 1, side * side + 2
    return index


def resize_table(table: Array, grid: int) -> Array:
    """A relative position table for another grid: float32 (rows, heads) in and out.

    Offsets of the old table are spread in a geometric progression, so that near ones keep their distances, and a cubic
    spline through them is read at every whole offset. The original uses scipy's ``interp2d``, which later scipy lacks;
    on a grid it is the tensor product of two not-a-knot splines, constant outside.
    """
    source = 2 * (grid_of_table(len(table)) or 1) - 1
    target = 2 * grid - 1
    if source == target:
        return table
    knots = _geometric_offsets(source, target)
    weights = _spline_weights(knots, np.clip(np.arange(target) - target // 2, knots[0], knots[-1]))
    square = table[:-EXTRA].astype(np.float64).reshape(source, source, -1)
    spread = np.einsum("ij,jkh,lk->ilh", weights, square, weights).reshape(target * target, -1)
    return np.concatenate([spread.astype(np.float32), table[-EXTRA:]])


def resize_embedding(embedding: Array, grid: int) -> Array:
    """Absolute positions for another grid: float32 (1, tokens, width) in and out.

    Bicubic, as ``torch.nn.functional.interpolate`` with align_corners false and no antialiasing.
    """
    source = grid_of_tokens(embedding.shape[1]) or 1
    if source == grid:
        return embedding
    weights = _bicubic_weights(source, grid)
    square = embedding[0, 1:].astype(np.float64).reshape(source, source, -1)
    spread = np.einsum("ij,jkd,lk->ild", weights, square, weights).reshape(1, grid * grid, -1)
    return np.concatenate([embedding[:, :1], spread.astype(np.float32)], axis=1)


def _geometric_offsets(source: int, target: int) -> Array:
    """`source` offsets, symmetric about 0, whose steps grow by the ratio that makes them reach ``target // 2``."""
    steps = source // 2
    left, right = 1.01, 1.5
    ratio = left
    while right - left > 1e-6:
        ratio = (left + right) / 2
        if (1 - ratio**steps) / (1 - ratio) > target // 2:
            right = ratio
        else:
            left = ratio
    positive = np.cumsum(ratio ** np.arange(steps))
    return np.concatenate([-positive[::-1], [0.0], positive])


def _spline_weights(knots: Array, points: Array) -> Array:
    """Matrix (points, knots) that reads the cubic not-a-knot spline through values at `knots` (4 or more) at `points`.

    De Boor, A Practical Guide to Splines, chapter IV: the slopes at the knots solve a banded system, and between two
    knots the spline is the cubic Hermite polynomial.
    """
    size, h = len(knots), np.diff(knots)
    if size < 4:
        return _polynomial_weights(knots, points)
    divided = (np.eye(size)[1:] - np.eye(size)[:-1]) / h[:, None]
    left, right = np.zeros((size, size)), np.zeros((size, size))
    for i in range(1, size - 1):
        left[i, i - 1 : i + 2] = h[i], 2 * (h[i - 1] + h[i]), h[i - 1]
        right[i] = 3 * (h[i] * divided[i - 1] + h[i - 1] * divided[i])
    for row, (a, b), (near, far) in ((0, (0, 1), h[:2]), (-1, (-1, -2), h[:-3:-1])):
        left[row, [a, b]] = far, near + far
        right[row] = ((near + 2 * (near + far)) * far * divided[a] + near**2 * divided[b]) / (near + far)
    slopes = np.linalg.solve(left, right)
    piece = np.clip(np.searchsorted(knots, points, side="right") - 1, 0, size - 2)
    width = h[piece][:, None]
    t = (points - knots[piece])[:, None] / width
    values = (1 + 2 * t) * (1 - t) ** 2 * np.eye(size)[piece] + t**2 * (3 - 2 * t) * np.eye(size)[piece + 1]
    weights: Array = values + width * t * (1 - t) * ((1 - t) * slopes[piece] - t * slopes[piece + 1])
    return weights


def _polynomial_weights(knots: Array, points: Array) -> Array:
    """The same for fewer than four knots: the one polynomial through all of them."""
    powers = np.vander(points, len(knots))
    weights: Array = np.linalg.solve(np.vander(knots, len(knots)).T, powers.T).T
    return weights


def _bicubic_weights(source: int, target: int) -> Array:
    """Matrix (target, source) of the bicubic kernel, borders repeated."""
    centre = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(centre).astype(int)
    weights = np.zeros((target, source))
    for tap in range(-1, 3):
        distance = np.abs(centre - (first + tap))
        np.add.at(weights, (np.arange(target), np.clip(first + tap, 0, source - 1)), _keys(distance))
    return weights


def _keys(distance: Array) -> Array:
    """Cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711)."""
    a, d = _BICUBIC, distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
