import numpy as np
import pytest

from inferry.metrics.class_numbering import find_mix_up


def answers(classes, each, accuracy, seed=0):
    """Class and answer of a network that is right in a part of the cases."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), each)
    guess = random.integers(0, classes, len(truth))
    return truth, np.where(random.random(len(truth)) < accuracy, truth, guess), random


def pairs(labels, best):
    return list(zip(labels.tolist(), best.tolist(), strict=True))


@pytest.mark.parametrize(
    ("classes", "each", "accuracy"), [(1000, 2, 0.85), (1000, 50, 0.3), (25, 10, 0.76), (2, 40, 1)]
)
def test_a_permutation_is_named(classes, each, accuracy):
    truth, best, random = answers(classes, each, accuracy)
    permutation = np.roll(random.permutation(classes), 1) if classes > 2 else np.array([1, 0])
    found = find_mix_up(pairs(permutation[truth], best), classes)
    assert found.kind == "permutation"
    assert "another order" in found.reason
    assert found.rate <= 100 * (accuracy + 0.05)
    assert find_mix_up(pairs(truth, best), classes) is None


@pytest.mark.parametrize("offset", [-1, 1])
def test_a_shift_is_named_even_with_one_picture_a_class(offset):
    truth, best, _ = answers(1000, 1, 0.8)
    found = find_mix_up(pairs(truth - offset, best), 1000)
    assert (found.kind, found.offset) == ("shift", offset)
    assert found.rate == pytest.approx(80, abs=4)
    assert f"{offset:+d} added" in found.reason


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(("classes", "each"), [(1000, 1), (1000, 5), (25, 10), (10, 3), (5, 40), (2, 20)])
def test_chance_alone_is_no_mix_up(classes, each, seed):
    truth, best, _ = answers(classes, each, 0.0, seed)
    assert find_mix_up(pairs(truth, best), classes) is None


def test_a_network_that_always_says_the_same_is_no_mix_up():
    truth, best, _ = answers(25, 10, 0.5)
    assert find_mix_up(pairs(truth, np.full_like(best, 3)), 25) is None


def test_a_poor_network_is_no_mix_up():
    truth, best, _ = answers(1000, 5, 0.1)
    assert find_mix_up(pairs(truth, best), 1000) is None


def test_too_few_pictures_say_nothing():
    assert find_mix_up([(1, 0)] * 9, 10) is None
    assert find_mix_up([], 10) is None
    assert find_mix_up([(0, 0)] * 20, 1) is None


def test_a_few_neighbours_are_no_shift():
    truth = np.arange(20)
    best = np.where(truth < 6, truth + 1, 999)
    assert find_mix_up(pairs(truth, best), 1000) is None
