import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.errors import UsageError
from inferry.metrics.differences import Difference, Differences


def measured(*pairs):
    differences = Differences()
    for a, b in pairs:
        differences.add(np.asarray(a, np.float32), np.asarray(b, np.float32))
    return differences.result()


def test_the_numbers_are_numpys():
    random = np.random.default_rng(0)
    pairs = [(a, a + random.standard_normal(a.shape) * 1e-3) for a in random.standard_normal((7, 50, 12))]
    found = measured(*pairs)
    a, b = (np.concatenate([np.float32(pair[side]).ravel() for pair in pairs]).astype(float) for side in (0, 1))
    difference = np.abs(a - b)
    assert found.elements == difference.size
    assert found.max_abs == difference.max()
    assert found.mean_abs == pytest.approx(difference.mean(), rel=1e-12)
    assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-12)
    exact = np.sort(difference)[math.ceil(0.999 * difference.size) - 1]
    assert exact <= found.p999_abs <= exact * 1.006


@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=3000))
def test_the_percentile_is_never_too_small_and_at_most_a_bin_too_large(values):
    found = measured((np.zeros(len(values)), values))
    exact = float(np.sort(np.float32(values))[math.ceil(0.999 * len(values)) - 1])
    assert exact <= found.p999_abs <= max(exact * 1.006, 2.0**-59)
    assert found.p999_abs <= found.max_abs


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(value):
    differences = Differences()
    assert differences.add(np.zeros(2), np.array([0.0, value])) == math.inf
    assert differences.add(np.zeros(2), np.zeros(2)) == 0.0
    found = differences.result()
    assert found.max_abs == found.mean_abs == found.p999_abs == found.just_passes == math.inf
    assert set(found.to_json().values()) == {None}
    assert Differences().add(np.array([value]), np.array([value])) == math.inf


def test_the_tolerance_that_just_passes_has_two_digits_and_passes():
    for value in (1.0, 9.99e-5, 1.234e-5, 0.99999, 2e-7, 7.1e-12):
        tolerance = Difference(max_abs=value).just_passes
        assert value <= tolerance <= value * 1.11
        assert float(f"{tolerance:.1e}") == tolerance
    assert Difference().just_passes == 0.0


def test_the_cosine_of_zeros_and_of_opposites():
    assert measured(([0.0, 0.0], [0.0, 0.0])).cosine == 1.0
    assert measured(([0.0, 0.0], [1.0, 0.0])).cosine == 0.0
    assert measured(([1.0, 2.0], [-1.0, -2.0])).cosine == pytest.approx(-1.0)
    assert measured().to_json()["max_abs"] == 0.0


def test_other_shapes_are_refused():
    with pytest.raises(UsageError, match=r"\(2,\) and \(3,\)"):
        Differences().add(np.zeros(2), np.zeros(3))
