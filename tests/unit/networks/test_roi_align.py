import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.networks import roi_align
from inferry.networks.roi_align import _SIDES, align, level_of, pool


def array(*rows):
    return np.array(rows, np.float32)


def aligned(run_part, features, rois, stride):
    def write(graph, features, rois):
        return [align(graph, features, rois, stride)]

    return run_part(write, "float32/4", features=features, rois=rois)[0]


def ramp(size):
    """Each point holds its column: bilinear interpolation gives the place itself."""
    return np.broadcast_to(np.arange(size, dtype=np.float32), (1, 1, size, size)).copy()


def test_a_ramp_gives_the_bins_centres_without_a_shift_of_half_a_pixel(run_part):
    # Left 8 and right 24 at stride 4 are columns 2 to 6.
    found = aligned(run_part, ramp(8), array([8, 4, 24, 20]), 4)
    centres = 2 + (np.arange(7) + 0.5) * 4 / 7
    assert found[0, 0] == pytest.approx(np.tile(centres, (7, 1)), abs=1e-5)


def test_a_box_has_at_least_the_size_of_a_cell(run_part):
    found = aligned(run_part, ramp(8), array([8, 8, 9, 9]), 4)
    assert found[0, 0, 0] == pytest.approx(2 + (np.arange(7) + 0.5) / 7, abs=1e-5)


def test_points_more_than_a_cell_outside_are_zero(run_part):
    # 7 columns wide from column 4: bin i has its points at 4.25 + i and 4.75 + i, the map ends at 8.
    found = aligned(run_part, np.ones((1, 1, 8, 8), np.float32), array([4, 0, 11, 7]), 1)
    assert found[0, 0, 3] == pytest.approx([1, 1, 1, 1, 0, 0, 0])


def point(plane, y, x):
    """A plane's value at a place, as written down in torchvision's roi_align kernel."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = max(y, 0), max(x, 0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down = y - top if top < height - 1 else 0.0
    across = x - left if left < width - 1 else 0.0
    upper = plane[top, left] * (1 - across) + plane[top, right] * across
    lower = plane[bottom, left] * (1 - across) + plane[bottom, right] * across
    return upper * (1 - down) + lower * down


def align_slowly(features, roi, stride):
    left, top, right, bottom = (float(side) / stride for side in roi)
    width, height = max(right - left, 1) / 7, max(bottom - top, 1) / 7
    result = np.zeros((features.shape[1], 7, 7))
    for channel, row, column in np.ndindex(result.shape):
        points = [
            point(features[0, channel], top + (row + down) * height, left + (column + across) * width)
            for down in (0.25, 0.75)
            for across in (0.25, 0.75)
        ]
        result[channel, row, column] = sum(points) / 4
    return result


def test_equals_a_slow_version_point_by_point(run_part):
    generator = np.random.default_rng(4)
    features = generator.normal(size=(1, 3, 9, 12)).astype(np.float32)
    low = generator.uniform(-10, 80, (12, 2))
    rois = np.concatenate([low, low + generator.uniform(0, 60, (12, 2))], axis=1).astype(np.float32)
    found = aligned(run_part, features, rois, 8)
    expected = np.stack([align_slowly(features, roi, 8) for roi in rois])
    assert found == pytest.approx(expected, abs=2e-5)


def square(side):
    return [5, 5, 5 + side, 5 + side]


def test_levels_change_at_112_224_and_448_pixels(run_part):
    def write(graph, proposals):
        return [level_of(graph, proposals)]

    sides = [1, 111, 112, 223, 224, 447, 448, 1300]
    rectangle = [0, 0, 56, 224]  # of the area of a square of 112
    nearly = [[0, 0, side, side] for side in (223.9999, 223.999)]  # log2(side / 224) is -6e-7 and -6e-6
    found = run_part(write, "int64/1", proposals=array(*map(square, sides), rectangle, *nearly))[0]
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 1, 2, 1]


@given(st.floats(min_value=2**-7, max_value=5000, width=32))
def test_the_thresholds_are_the_formula_of_the_paper(side):
    level = min(max(math.floor(4 + math.log2(side / 224) + 1e-6), 2), 5) - 2
    assert sum(side >= threshold for threshold in _SIDES) == level


def test_boxes_are_pooled_from_their_own_level_and_ordered_by_it(run_part):
    def write(graph, proposals, **levels):
        pooled = pool(graph, list(levels.values()), proposals)
        return pooled.features, pooled.boxes

    levels = {f"p{index}": np.full((1, 2, 64 >> index, 64 >> index), index, np.float32) for index in range(4)}
    proposals = array(square(240), square(20), square(120), square(10), square(230))
    features, ordered = run_part(write, "float32/4 float32/2", proposals=proposals, **levels)
    assert features.shape == (5, 2, 7, 7)
    assert features[:, 1, 3, 3].tolist() == [0, 0, 1, 2, 2]
    assert np.array_equal(ordered, proposals[[1, 3, 2, 0, 4]])


def test_no_boxes_give_no_features(run_part):
    def write(graph, proposals, **levels):
        return [pool(graph, list(levels.values()), proposals).features]

    levels = {f"p{index}": np.zeros((1, 2, 8, 8), np.float32) for index in range(4)}
    empty = run_part(write, "float32/4", proposals=np.zeros((0, 4), np.float32), **levels)[0]
    assert empty.shape == (0, 2, roi_align.OUTPUT_SIZE, roi_align.OUTPUT_SIZE)
