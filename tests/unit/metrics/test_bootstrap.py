import numpy as np
import pytest

from inferry.core.errors import UsageError
from inferry.metrics.bootstrap import Interval, bootstrap_intervals


def column(*values):
    return np.array(values, np.int64).reshape(-1, 1)


def test_the_numbers_are_fixed_by_the_seed():
    edits, units = column(*(i % 4 for i in range(50))), column(*(5 + i % 7 for i in range(50)))
    first = bootstrap_intervals(edits, units, 1000, 0)
    assert first == bootstrap_intervals(edits, units, 1000, 0)
    assert first != bootstrap_intervals(edits, units, 1000, 1)
    # Recorded once: the raw stream of PCG64 is part of numpy's promise, so every version must give these.
    assert (first[0].low, first[0].high) == pytest.approx((0.1421234563224487, 0.2256472081218274), rel=1e-12)


def test_the_spread_is_that_of_theory():
    # 2000 utterances of 10 words, each wrong with probability 0.2: the standard error is sqrt(p (1 - p) / n).
    generator = np.random.default_rng(1)
    edits = generator.binomial(10, 0.2, (2000, 1)).astype(np.int64)
    (interval,) = bootstrap_intervals(edits, np.full_like(edits, 10), 2000, 0)
    error = np.sqrt(0.2 * 0.8 / 20_000)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert interval.low < edits.sum() / 20_000 < interval.high


def test_drawing_in_several_pieces_covers_all_utterances():
    # 300,000 utterances draw three resamples at once.
    edits = np.tile(np.array([[0], [1]], np.int64), (150_000, 1))
    (interval,) = bootstrap_intervals(edits, np.ones_like(edits), 8, 0)
    assert 0.495 < interval.low < interval.high < 0.505


def test_equal_utterances_leave_no_spread():
    assert bootstrap_intervals(column(1, 1, 1), column(4, 4, 4), 100, 3) == (Interval(0.25, 0.25),)


def test_resamples_without_reference_units_are_left_out():
    (interval,) = bootstrap_intervals(column(2, 1), column(0, 4), 200, 0)
    assert np.isfinite([interval.low, interval.high]).all()
    assert (interval.low, interval.high) == (0.25, 0.75)


def test_nothing_to_divide_by_has_no_interval():
    assert bootstrap_intervals(column(2, 1), column(0, 0), 10, 0) == (None,)
    assert bootstrap_intervals(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64), 10, 0) == (None, None, None)


@pytest.mark.parametrize(("resamples", "seed"), [(0, 0), (1000, -1)])
def test_impossible_settings_are_refused(resamples, seed):
    with pytest.raises(UsageError, match="at least 1 resample"):
        bootstrap_intervals(column(1), column(1), resamples, seed)
