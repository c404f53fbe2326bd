import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.errors import UsageError
from inferry.planning.buckets import QuadraticCost, linear_cost, optimal_buckets
from inferry.planning.histogram import LengthHistogram


def total_cost(lengths, buckets, cost):
    return sum(cost(min(bucket for bucket in buckets if bucket >= length)) for length in lengths)


def least_cost(lengths, k, cost):
    distinct = sorted(set(lengths))
    longest = distinct.pop()
    return min(
        total_cost(lengths, (*chosen, longest), cost)
        for size in range(min(k, len(distinct) + 1))
        for chosen in combinations(distinct, size)
    )


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 5))
def test_linear_plans_cost_exactly_what_brute_force_finds(lengths, k):
    lengths = [length % 11 + 1 if len(set(lengths)) > 11 else length for length in lengths]
    buckets = optimal_buckets(lengths, k)
    assert len(buckets) <= k
    assert buckets[-1] == max(lengths)
    assert set(buckets) <= set(lengths)
    assert list(buckets) == sorted(set(buckets))
    assert total_cost(lengths, buckets, linear_cost) == least_cost(lengths, k, linear_cost)


@given(
    st.lists(st.sampled_from([1, 2, 3, 5, 8, 13, 40, 41, 100]), min_size=1, max_size=40),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.001, 0.5, 20.0]),
)
def test_quadratic_plans_too(lengths, k, coefficient):
    cost = QuadraticCost(coefficient)
    found = total_cost(lengths, optimal_buckets(lengths, k, cost), cost)
    assert found == pytest.approx(least_cost(lengths, k, cost), rel=1e-12)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=25), st.integers(1, 5), st.integers(1, 9))
def test_steps_are_monotone_costs_as_well(lengths, k, step):
    def cost(length):
        return -(-length // step) * step

    assert total_cost(lengths, optimal_buckets(lengths, k, cost), cost) == least_cost(lengths, k, cost)


def test_the_best_three_need_not_contain_the_best_two():
    # Counted by hand: adding a bucket to (20, 60) greedily costs more than (10, 40, 60).
    lengths = [10, 10, 10, 20, 40, 40, 50, 60, 60]
    assert optimal_buckets(lengths, 2) == (20, 60)
    assert optimal_buckets(lengths, 3) == (10, 40, 60)
    assert total_cost(lengths, (10, 40, 60), linear_cost) == 330


def test_a_cost_that_grows_faster_moves_the_cut():
    lengths = [1] * 12 + [5] * 6 + [10]
    assert optimal_buckets(lengths, 2) == (1, 10)
    assert optimal_buckets(lengths, 2, QuadraticCost(1.0)) == (5, 10)


def test_as_many_buckets_as_lengths_need_no_padding():
    assert optimal_buckets([7, 3, 3, 5], 3) == (3, 5, 7)
    assert optimal_buckets([7, 3, 3, 5], 50) == (3, 5, 7)


def test_28000_distinct_lengths_take_seconds():
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(np.log(200_000), 0.5, 60_000), 16_000, 559_280).astype(int).tolist()
    histogram = LengthHistogram.of(lengths)
    assert len(histogram.lengths) > 28_000
    started = time.process_time()
    buckets = optimal_buckets(histogram, 8)
    assert time.process_time() - started < 20
    assert len(buckets) == 8
    even = np.quantile(lengths, np.arange(1, 9) / 8, method="inverted_cdf").tolist()
    padded = [sum(np.asarray(sizes)[np.searchsorted(sizes, lengths)].tolist()) for sizes in (buckets, even)]
    assert padded[0] < padded[1]


def test_mistakes_are_refused():
    with pytest.raises(UsageError, match="plan of 0 shapes"):
        optimal_buckets([1], 0)
    with pytest.raises(UsageError, match="falls from -1 at length 1 to -2 at length 2"):
        optimal_buckets([1, 2], 1, lambda length: -length)
