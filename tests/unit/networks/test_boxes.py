import numpy as np
import pytest

from inferry.networks import boxes


def array(*rows):
    return np.array(rows, np.float32)


def decoded(run_part, deltas, base, weights):
    def write(graph, deltas, base):
        return [boxes.decode(graph, deltas, base, weights)]

    return run_part(write, f"float32/{deltas.ndim}", deltas=deltas, base=base)[0]


def test_zero_deltas_leave_a_box_where_it_is(run_part):
    base = array([10, 20, 30, 60], [0, 0, 1, 7])
    assert np.array_equal(decoded(run_part, np.zeros_like(base), base, (10, 10, 5, 5)), base)


def test_a_box_is_moved_in_its_own_sizes_and_grows_exponentially(run_part):
    # 20 wide and 40 high around (20, 40): 0.1 widths to the right, 0.2 heights up, twice as wide.
    deltas = array([1, -2, 5 * np.log(2), 0])
    found = decoded(run_part, deltas, array([10, 20, 30, 60]), (10, 10, 5, 5))
    assert found == pytest.approx(array([2, 12, 42, 52]), abs=1e-5)


def test_growth_ends_at_62_5_times_the_size(run_part):
    found = decoded(run_part, array([0, 0, 100, 100]), array([10, 20, 30, 60]), (1, 1, 1, 1))
    assert found == pytest.approx(array([20 - 625, 40 - 1250, 20 + 625, 40 + 1250]), rel=1e-5)


def test_deltas_of_classes_broadcast_over_boxes(run_part):
    generator = np.random.default_rng(0)
    deltas = generator.normal(size=(3, 2, 4)).astype(np.float32)
    base = array([0, 0, 8, 8], [4, 0, 9, 30], [1, 2, 3, 4])
    together = decoded(run_part, deltas, base[:, None], (10, 10, 5, 5))
    for label in range(2):
        alone = decoded(run_part, deltas[:, label], base, (10, 10, 5, 5))
        assert np.array_equal(together[:, label], alone)


def test_boxes_are_clipped_to_width_and_height(run_part):
    def write(graph, found, image_size):
        return [boxes.clip(graph, found, boxes.image_limits(graph, image_size))]

    found = array([-3, -4, 100, 100], [41, 51, 45, 60], [1, 2, 3, 4])
    clipped = run_part(write, "float32/2", found=found, image_size=np.array([50, 40]))[0]
    assert np.array_equal(clipped, array([0, 0, 40, 50], [40, 50, 40, 50], [1, 2, 3, 4]))


def test_both_sides_must_be_large_enough(run_part):
    def write(graph, found):
        return [boxes.large_enough(graph, found, 0.5)]

    found = array([0, 0, 0.5, 0.5], [0, 0, 0.4, 9], [0, 0, 9, 0.4], [3, 3, 2, 2])
    assert run_part(write, "bool/2", found=found)[0].tolist() == [[True], [False], [False], [False]]


@pytest.mark.parametrize(("limit", "expected"), [(2, [3.0, 2.0]), (9, [3.0, 2.0, 1.0]), (3, [3.0, 2.0, 1.0])])
def test_best_takes_what_there_is(run_part, limit, expected):
    def write(graph, scores):
        return boxes.best(graph, scores, limit)

    values, places = run_part(write, "float32/1 int64/1", scores=np.array([2, 1, 3], np.float32))
    assert values.tolist() == expected
    assert places.tolist() == [2, 0, 1][: len(expected)]


def test_best_of_nothing_is_nothing(run_part):
    def write(graph, scores):
        return boxes.best(graph, scores, 5)

    values, places = run_part(write, "float32/1 int64/1", scores=np.zeros(0, np.float32))
    assert values.shape == places.shape == (0,)


def suppressed(run_part, found, scores, **options):
    def write(graph, found, scores):
        return [boxes.suppress(graph, found, scores, **{"overlap": 0.5, "threshold": 0.05, "limit": 10} | options)]

    return sorted(map(tuple, run_part(write, "int64/2", found=found, scores=scores)[0].tolist()))


WHOLE, HALF, MORE = [0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 6]


def test_a_box_goes_only_when_it_overlaps_more_than_the_limit(run_part):
    # Of WHOLE, HALF covers exactly 0.5 and MORE 0.6.
    scores = np.array([[[0.9, 0.8, 0.7]]], np.float32)
    assert suppressed(run_part, array([WHOLE, HALF, MORE]), scores) == [(0, 0, 0), (0, 0, 1)]


def test_a_suppressed_box_suppresses_nothing(run_part):
    # Shifted by 3 of 10: 0.54 with the next one, 0.25 with the one after it.
    found = array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])
    scores = np.array([[[0.9, 0.8, 0.7]]], np.float32)
    assert suppressed(run_part, found, scores) == [(0, 0, 0), (0, 0, 2)]


def test_classes_and_batches_do_not_suppress_each_other(run_part):
    found = array([WHOLE, WHOLE], [WHOLE, WHOLE])
    scores = np.array([[[0.9, 0.0], [0.0, 0.8]], [[0.3, 0.4], [0.0, 0.0]]], np.float32)
    assert suppressed(run_part, found, scores) == [(0, 0, 0), (0, 1, 1), (1, 0, 1)]


def test_a_score_must_be_greater_than_the_threshold(run_part):
    scores = np.array([[[0.5, 0.25]]], np.float32)
    found = array([WHOLE, [50, 50, 60, 60]])
    assert suppressed(run_part, found, scores, threshold=0.25) == [(0, 0, 0)]


def test_a_class_keeps_its_best_boxes_up_to_the_limit(run_part):
    found = array([[20 * i, 0, 20 * i + 10, 10] for i in range(4)])
    scores = np.array([[[0.1, 0.4, 0.3, 0.2]]], np.float32)
    assert suppressed(run_part, found, scores, limit=2) == [(0, 0, 1), (0, 0, 2)]
