"""How far a pooled rate would move with other utterances: the percentile bootstrap.

Source: Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inferry.core.errors import UsageError

CONFIDENCE = 0.95
"""Share of resamples inside an interval."""

RESAMPLES = 1000
"""Unless told."""

_DRAWS_AT_ONCE = 1 << 20

Counts = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval of a pooled rate.

    Attributes:
        low: Fraction at the 2.5th percentile of the resamples.
        high: Fraction at the 97.5th percentile.
    """

    low: float
    high: float


def bootstrap_intervals(edits: Counts, units: Counts, resamples: int, seed: int) -> tuple[Interval | None, ...]:
    """Intervals of several pooled rates, all over the same resampled utterances.

    The numbers depend on the counts, `resamples` and `seed` alone: the raw stream of PCG64 is fixed across numpy
    versions, which `numpy.random.Generator` does not promise, and sums of integers below 2**53 are exact in float64.

    Args:
        edits: int64 ``(utterances, rates)``: errors per utterance.
        units: int64 ``(utterances, rates)``: reference units per utterance.
        resamples: How often the utterances are drawn anew, with replacement.
        seed: Of the draws, 0 or more.

    Returns:
        One interval per rate; None where no resample has a reference unit.

    Raises:
        UsageError: `resamples` is below 1 or `seed` is negative.
    """
    if resamples < 1 or seed < 0:
        raise UsageError(
            f"the bootstrap got resamples={resamples} and seed={seed}; it needs at least 1 resample (1000 is usual) "
            f"and a seed of 0 or more"
        )
    rates = int(edits.shape[1])
    if not len(edits):
        return (None,) * rates
    sums = _resampled_sums(np.hstack([edits, units]).astype(np.float64), resamples, np.random.PCG64(seed))
    return tuple(_interval(sums[:, rate], sums[:, rates + rate]) for rate in range(rates))


def _resampled_sums(table: _Floats, resamples: int, stream: np.random.PCG64) -> _Floats:
    """Column sums ``(resamples, columns)`` over utterances drawn with replacement from ``(utterances, columns)``."""
    size = len(table)
    at_once = max(1, _DRAWS_AT_ONCE // size)
    sums = np.empty((resamples, table.shape[1]), np.float64)
    for first in range(0, resamples, at_once):
        rows = min(at_once, resamples - first)
        drawn = _draw(stream, rows * size, size) + np.repeat(np.arange(rows, dtype=np.int64) * size, size)
        times = np.bincount(drawn, minlength=rows * size).reshape(rows, size)
        sums[first : first + rows] = times.astype(np.float64) @ table
    return sums


def _draw(stream: np.random.PCG64, count: int, below: int) -> Counts:
    """Integers in [0, below), two from each raw 64-bit word; the bias is under below / 2**32."""
    words = stream.random_raw((count + 1) // 2)
    halves = np.concatenate([words >> np.uint64(32), words & np.uint64(0xFFFFFFFF)])[:count]
    return ((halves * np.uint64(below)) >> np.uint64(32)).astype(np.int64)


def _interval(edits: _Floats, units: _Floats) -> Interval | None:
    """Percentiles of the ratio, over the resamples in which it is defined."""
    defined = units > 0
    if not defined.any():
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(edits[defined] / units[defined], [tail, 1 - tail])
    return Interval(float(low), float(high))
