import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.errors import UsageError
from inferry.planning.histogram import Bin, LengthHistogram, checked_lengths

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=60)


@given(LENGTHS)
def test_counts_totals_and_quantiles_agree_with_the_sorted_list(lengths):
    histogram = LengthHistogram.of(lengths)
    ordered = sorted(lengths)
    assert histogram.count == len(lengths)
    assert histogram.total == sum(lengths)
    assert list(histogram.lengths) == sorted(set(lengths))
    assert histogram.quantile(0) == ordered[0]
    assert histogram.quantile(1) == ordered[-1]
    assert histogram.quantile(0.5) == ordered[(len(ordered) + 1) // 2 - 1]


@given(LENGTHS, st.integers(1, 12))
def test_bins_cover_every_sample_once(lengths, count):
    bins = LengthHistogram.of(lengths).bins(count)
    assert len(bins) <= count
    for bar in bins:
        assert bar.count == sum(bar.low <= length <= bar.high for length in lengths)
    assert sum(bar.count for bar in bins) == len(lengths)
    assert (bins[0].low, bins[-1].high) == (min(lengths), max(lengths))


def test_empty_bars_stay():
    assert LengthHistogram.of([1, 9]).bins(3) == (Bin(1, 3, 1), Bin(4, 6, 0), Bin(7, 9, 1))


def test_summary():
    summary = LengthHistogram.of(range(1, 101)).summary()
    assert (summary.count, summary.total, summary.shortest, summary.longest) == (100, 5050, 1, 100)
    assert (summary.median, summary.p90, summary.p99, summary.mean) == (50, 90, 99, 50.5)


def test_no_lengths_and_bad_lengths_are_refused():
    with pytest.raises(UsageError, match="no sample"):
        checked_lengths([])
    with pytest.raises(UsageError, match="sample number 1 has length 0"):
        LengthHistogram.of([5, 0])
