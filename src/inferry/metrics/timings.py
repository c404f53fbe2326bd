"""What repeated timings say: quantiles, whether they have settled, and whether two of them really differ.

See docs/decisions/0017-when-a-difference-is-a-tie.md for the reasons behind the numbers here.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final, Literal

import numpy as np

from inferry.core.errors import UsageError

Verdict = Literal["faster", "slower", "tie"]

LEAST_ROUNDS: Final = 7
"""Fewer rounds never settle: seven of two equal things all fall on one side one time in 64, five one time in 16."""

SETTLED: Final = 0.02
"""Most relative movement of the running median over the last `_LAST_ROUNDS` rounds once it has settled."""

TIE_BAND: Final = 0.03
"""A median ratio nearer to 1 than this is a tie, however steady: where memory and threads lie makes as much."""

CONFIDENCE: Final = 0.98
"""Of the interval for the median ratio; with fewer than seven rounds the whole range is taken, which has less."""

_LAST_ROUNDS: Final = 3

_FEWEST_ROUNDS: Final = 3
"""Fewer rounds tell nothing of the noise: all is a tie."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Linearly interpolated quantiles, in the unit of the values."""

    p50: float
    p90: float
    p99: float

    def to_json(self) -> dict[str, float]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """The speed of one thing over that of another, measured in the same rounds.

    Attributes:
        median: Above 1 where the first is faster.
        least: Over all rounds.
        greatest: Over all rounds.
        rounds: Number of pairs.
        verdict: About the first: ``faster``, ``slower`` or ``tie``.
    """

    median: float
    least: float
    greatest: float
    rounds: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def quantiles(values: Sequence[float]) -> Quantiles:
    """The middle and the slow end of at least one value."""
    p50, p90, p99 = np.quantile(np.asarray(values, np.float64), (0.5, 0.9, 0.99)).tolist()
    return Quantiles(p50, p90, p99)


def is_settled(seconds: Sequence[float]) -> bool:
    """Whether further rounds would hardly move the median of these round times.

    There are at least `LEAST_ROUNDS`, and the running medians after each of the last three rounds and the one before
    them lie within `SETTLED` of the last.
    """
    if len(seconds) < LEAST_ROUNDS:
        return False
    running = [median(seconds[:count]) for count in range(len(seconds) - _LAST_ROUNDS, len(seconds) + 1)]
    return max(running) - min(running) <= SETTLED * running[-1]


def paired_ratio(speeds: Sequence[float], against: Sequence[float]) -> PairedRatio:
    """Compare speeds of the same rounds, pair by pair, so that a slow spell of the machine hits both sides.

    It is a tie where the confidence interval of the median ratio includes 1, or the median lies within `TIE_BAND` of 1.
    With fewer than `LEAST_ROUNDS` all ratios must also be further from 1 than they are from each other.

    Args:
        speeds: Of one thing, one value a round.
        against: Of the other, in the same rounds.

    Raises:
        UsageError: No rounds, different numbers of them, or a speed that is not above 0.
    """
    if not speeds or len(speeds) != len(against) or min(*speeds, *against) <= 0:
        raise UsageError(
            f"speeds are compared round by round: found {len(speeds)} and {len(against)} rounds, "
            "expected the same number, at least one, with speeds above 0"
        )
    ratios = sorted(one / other for one, other in zip(speeds, against, strict=True))
    verdict: Verdict = "tie"
    if _clearly_above_one(ratios):
        verdict = "faster"
    elif _clearly_above_one([1 / ratio for ratio in reversed(ratios)]):
        verdict = "slower"
    return PairedRatio(median(ratios), ratios[0], ratios[-1], len(ratios), verdict)


def _clearly_above_one(ratios: Sequence[float]) -> bool:
    """Whether these ratios, ascending, are no tie and above 1."""
    drop = _droppable(len(ratios))
    low, high = ratios[drop], ratios[-1 - drop]
    enough = len(ratios) >= LEAST_ROUNDS or (len(ratios) >= _FEWEST_ROUNDS and low - 1 > high - low)
    return enough and low > 1 and median(ratios) > 1 + TIE_BAND


def _droppable(count: int) -> int:
    """How many values at each end the interval of the median leaves out at `CONFIDENCE`.

    The sign test's interval: between the k-th smallest and the k-th greatest of n values lies the median of whatever
    they were drawn from with probability 1 - 2 * P(Binomial(n, 1/2) < k) (Conover 1999, Practical Nonparametric
    Statistics, 3.1-3.2). It supposes nothing of the noise's distribution.
    """
    outside, kept = 0.0, 0
    for k in range(count // 2):
        outside += 2 * math.comb(count, k) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        kept = k
    return kept
