import math
from statistics import median

import numpy as np
import pytest

from inferry.core.errors import UsageError
from inferry.metrics.timings import CONFIDENCE, TIE_BAND, _droppable, is_settled, paired_ratio, quantiles


def noisy(speed, rounds, seed, spread=0.05):
    """Speeds of a machine whose noise hits each measurement on its own."""
    return (speed * np.exp(spread * np.random.default_rng(seed).standard_normal(rounds))).tolist()


def test_quantiles_are_interpolated():
    found = quantiles(range(101))
    assert found.to_json() == {"p50": 50.0, "p90": 90.0, "p99": 99.0}
    assert quantiles([7.0]).to_json() == {"p50": 7.0, "p90": 7.0, "p99": 7.0}


def test_steady_times_settle_at_the_seventh_round():
    assert [is_settled([1.0] * count) for count in range(9)] == [False] * 7 + [True] * 2


def test_one_slow_round_does_not_keep_a_median_from_settling():
    assert is_settled([1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 1.0])


def test_times_that_drift_do_not_settle():
    assert not is_settled([1.0 + 0.05 * count for count in range(10)])


def test_a_median_settles_when_the_drift_ends():
    times = [2.0, 1.6, 1.3, 1.1] + [1.0] * 20
    settled = [count for count in range(len(times)) if is_settled(times[:count])]
    # The median is 1.1 after seven rounds, 1.05 after eight and 1.0 from the ninth on.
    assert settled == list(range(12, len(times)))
    assert median(times[:8]) == 1.05


def test_a_machine_that_slows_down_for_both_changes_no_ratio():
    load = [1.0, 0.5, 0.9, 0.3, 0.7]
    found = paired_ratio([2.0 * one for one in load], load)
    assert (found.median, found.least, found.greatest, found.rounds, found.verdict) == (2.0, 2.0, 2.0, 5, "faster")
    assert paired_ratio(load, [2.0 * one for one in load]).verdict == "slower"


def test_a_range_that_includes_one_is_a_tie():
    found = paired_ratio([1.2, 1.3, 0.99, 1.1, 1.2, 1.2, 1.2], [1.0] * 7)
    assert found.verdict == "tie"
    assert (found.least, found.median, found.greatest) == (0.99, 1.2, 1.3)


@pytest.mark.parametrize("ratio", [1 + TIE_BAND / 2, 1 / (1 + TIE_BAND / 2)])
def test_a_steady_difference_within_the_band_is_a_tie(ratio):
    assert paired_ratio([ratio] * 7, [1.0] * 7).verdict == "tie"


@pytest.mark.parametrize(("ratio", "verdict"), [(1 + 2 * TIE_BAND, "faster"), (1 / (1 + 2 * TIE_BAND), "slower")])
def test_a_steady_difference_beyond_the_band_is_found(ratio, verdict):
    assert paired_ratio([ratio] * 7, [1.0] * 7).verdict == verdict


def test_one_hiccup_among_eleven_rounds_hides_no_clear_difference():
    against = [1.0] * 11
    assert paired_ratio([1.5] * 10 + [0.5], against).verdict == "faster"
    assert paired_ratio([1.5] * 9 + [0.5], against[:10]).verdict == "tie"


@pytest.mark.parametrize("count", range(7, 40))
def test_the_interval_is_the_shortest_that_holds_the_median_often_enough(count):
    def coverage(drop):
        return 1 - 2 * sum(math.comb(count, k) for k in range(drop + 1)) / 2**count

    drop = _droppable(count)
    assert coverage(drop) >= CONFIDENCE > coverage(drop + 1)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([5.0], "tie"),
        ([5.0, 5.0], "tie"),
        ([5.0, 4.5, 5.5], "faster"),
        ([1.1, 1.2, 1.25], "tie"),
        ([1.2, 1.25, 1.3, 1.35], "faster"),
        ([0.2, 0.21, 0.22], "slower"),
        ([0.8, 0.9, 0.95], "tie"),
    ],
)
def test_few_rounds_must_agree_better(ratios, verdict):
    assert paired_ratio(ratios, [1.0] * len(ratios)).verdict == verdict


def test_few_rounds_take_the_whole_range():
    assert [_droppable(count) for count in range(1, 7)] == [0] * 6


@pytest.mark.parametrize("rounds", [3, 5, 7, 9, 12])
def test_equal_things_tie_and_clearly_different_ones_do_not(rounds):
    equal = [paired_ratio(noisy(1, rounds, seed), noisy(1, rounds, 1000 + seed)).verdict for seed in range(200)]
    different = [paired_ratio(noisy(2.5, rounds, seed), noisy(1, rounds, 1000 + seed)).verdict for seed in range(200)]
    assert equal.count("tie") >= 0.95 * len(equal)
    assert different == ["faster"] * len(different)


@pytest.mark.parametrize(("speeds", "against"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0])])
def test_what_cannot_be_compared_is_refused(speeds, against):
    with pytest.raises(UsageError, match="round by round"):
        paired_ratio(speeds, against)
