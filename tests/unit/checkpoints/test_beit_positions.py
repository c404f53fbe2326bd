"""Layout and interpolation of positions, against the original's scipy and against what splines must do."""

import numpy as np
import pytest

from inferry.checkpoints.beit_positions import (
    EXTRA,
    grid_of_table,
    grid_of_tokens,
    relative_position_index,
    resize_embedding,
    resize_table,
)


def rows_of(grid):
    return (2 * grid - 1) ** 2 + EXTRA


def wave(grid):
    return np.sin(0.37 * np.arange(rows_of(grid))[:, None] + np.arange(2)).astype(np.float32)


def test_the_index_of_two_by_two_patches_by_hand():
    """Class token first; a pair's row is (dy + 1) * 3 + dx + 1, then the three extra rows."""
    assert relative_position_index(2).tolist() == [
        [11, 9, 9, 9, 9],
        [10, 4, 3, 1, 0],
        [10, 5, 4, 2, 1],
        [10, 7, 6, 4, 3],
        [10, 8, 7, 5, 4],
    ]


@pytest.mark.parametrize("grid", [1, 2, 14, 24])
def test_grids_are_told_from_counts(grid):
    assert grid_of_table(rows_of(grid)) == grid
    assert grid_of_tokens(grid * grid + 1) == grid


@pytest.mark.parametrize("rows", [-1, 0, 3, 7, 731, 733])
def test_counts_without_a_grid(rows):
    assert grid_of_table(rows) is None


@pytest.mark.parametrize("tokens", [-1, 0, 1, 196, 198])
def test_tokens_without_a_grid(tokens):
    assert grid_of_tokens(tokens) is None


@pytest.mark.parametrize(
    ("source", "target", "head", "expected"),
    [
        (3, 5, 0, {0: 0.0, 5: 0.8956987, 13: 0.6742879, 40: -0.9631310, 50: 0.3679605, 80: 0.5182282}),
        (14, 24, 1, {0: 0.8414710, 100: -0.6085531, 1000: -0.2520005, 2208: 0.1820116}),
    ],
)
def test_a_table_is_resized_as_by_scipy(source, target, head, expected):
    """What run_class_finetuning.py of 768a3c87 gives with the interp2d of scipy 1.10.1."""
    resized = resize_table(wave(source), target)
    assert resized.dtype == np.float32
    assert resized.shape == (rows_of(target), 2)
    found = [resized[row, head] for row in expected]
    np.testing.assert_allclose(found, list(expected.values()), rtol=0, atol=2e-7)
    np.testing.assert_array_equal(resized[-EXTRA:], wave(source)[-EXTRA:])


def test_the_middle_of_a_table_stays_and_so_does_one_of_the_same_size():
    table = wave(7)
    assert resize_table(table, 7) is table
    np.testing.assert_allclose(resize_table(table, 12)[23 * 11 + 11], table[13 * 6 + 6], rtol=0, atol=1e-6)


def test_a_constant_table_stays_constant_when_it_shrinks_or_has_few_rows():
    for source, target in ((14, 3), (2, 6), (1, 4)):
        table = np.full((rows_of(source), 1), 0.7, np.float32)
        np.testing.assert_allclose(resize_table(table, target), 0.7, rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", [3, 7, 8, 24])
def test_an_embedding_is_resized_as_by_torch(target):
    torch = pytest.importorskip("torch")
    embedding = np.random.default_rng(4).standard_normal((1, 50, 6)).astype(np.float32)
    square = torch.from_numpy(embedding[:, 1:]).reshape(1, 7, 7, 6).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(square, size=(target, target), mode="bicubic", align_corners=False)
    resized = resize_embedding(embedding, target)
    np.testing.assert_array_equal(resized[:, :1], embedding[:, :1])
    np.testing.assert_allclose(resized[0, 1:].T.reshape(6, target, target), expected[0].numpy(), rtol=0, atol=2e-5)
