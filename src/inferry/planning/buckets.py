"""The best few padded lengths for a data set: an exact dynamic programme."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from inferry.core.errors import UsageError
from inferry.planning.histogram import LengthHistogram

Cost = Callable[[int], float]
"""Cost of one sample padded to a length; it must not fall as the length grows."""


def linear_cost(length: int) -> float:
    """Cost of a sample is its padded length: right where work per element is constant."""
    return length


@dataclass(frozen=True, slots=True)
class QuadraticCost:
    """Length plus a share that grows with its square, as attention does.

    Attributes:
        coefficient: Cost is ``length + coefficient * length**2``; for a transformer about 1 / (6 * hidden size), in
            frames, divided by the samples per frame where lengths are samples.
    """

    coefficient: float

    def __call__(self, length: int) -> float:
        """Cost of one sample padded to `length`."""
        return length + self.coefficient * length * length


def optimal_buckets(lengths: Iterable[int] | LengthHistogram, k: int, cost: Cost = linear_cost) -> tuple[int, ...]:
    """At most `k` bucket lengths with the least total cost, each sample padded up to the next bucket.

    Exact, not greedy: ``best[b][j] = min over i < j of best[b-1][i] + cost(length[j]) * (samples of i+1 ... j)`` over
    the distinct lengths. For a fixed i this is a straight line in ``cost(length[j])``, so the minimum is the lower
    envelope of lines whose slopes fall (the convex hull trick): time O(k * distinct lengths). With integer costs, as by
    default, all arithmetic is exact.

    Args:
        lengths: Of all samples, in elements, in any order; or their histogram.
        k: Greatest number of buckets.
        cost: Of one padded sample.

    Returns:
        Ascending lengths, the last of which is the longest sample's; fewer than `k` if there are fewer distinct ones.

    Raises:
        UsageError: No lengths, a length below 1, `k` below 1, or a cost that falls somewhere.
    """
    if k < 1:
        raise UsageError(f"a plan of {k} shapes was asked for; it needs at least 1")
    histogram = lengths if isinstance(lengths, LengthHistogram) else LengthHistogram.of(lengths)
    costs = [cost(length) for length in histogram.lengths]
    _check_monotone(histogram.lengths, costs)
    if k >= len(costs):
        return histogram.lengths
    before = [0]
    for count in histogram.counts:
        before.append(before[-1] + count)
    best: list[float] = [price * samples for price, samples in zip(costs, before[1:], strict=True)]
    choices: list[list[int]] = []
    for _ in range(k - 1):
        best, choice = _add_bucket(best, costs, before)
        choices.append(choice)
    return _trace(histogram.lengths, choices)


def _check_monotone(lengths: Sequence[int], costs: Sequence[float]) -> None:
    for i in range(1, len(costs)):
        if not costs[i] >= costs[i - 1]:
            raise UsageError(
                f"the cost falls from {costs[i - 1]} at length {lengths[i - 1]} to {costs[i]} at length {lengths[i]}; "
                f"a longer padded sample may not cost less"
            )


def _add_bucket(best: list[float], costs: list[float], before: list[int]) -> tuple[list[float], list[int]]:
    """Costs with one bucket more, and where the bucket before the last one ends (-1: there is none).

    ``best[i]`` is the cost of the lengths 0 ... i; ``before[i]`` counts the samples shorter than length i.
    """
    # Line i has slope -before[i + 1] and intercept best[i]; the line -1 (no bucket before) has slope 0 and intercept 0.
    slopes: list[int] = [0]
    intercepts: list[float] = [0]
    ends: list[int] = [-1]
    pointer = 0
    new_best: list[float] = []
    choice: list[int] = []
    for j, price in enumerate(costs):
        pointer = min(pointer, len(ends) - 1)
        while pointer + 1 < len(ends) and (
            intercepts[pointer + 1] + slopes[pointer + 1] * price <= intercepts[pointer] + slopes[pointer] * price
        ):
            pointer += 1
        new_best.append(intercepts[pointer] + (slopes[pointer] + before[j + 1]) * price)
        choice.append(ends[pointer])
        slope, intercept = -before[j + 1], best[j]
        while len(ends) > 1 and _hidden(slopes, intercepts, slope, intercept):
            slopes.pop()
            intercepts.pop()
            ends.pop()
        slopes.append(slope)
        intercepts.append(intercept)
        ends.append(j)
    return new_best, choice


def _hidden(slopes: list[int], intercepts: list[float], slope: int, intercept: float) -> bool:
    """Whether the new line and the last but one leave the last line nowhere below both."""
    rise_last = (intercepts[-1] - intercepts[-2]) * (slopes[-2] - slope)
    rise_new = (intercept - intercepts[-2]) * (slopes[-2] - slopes[-1])
    return rise_new <= rise_last


def _trace(lengths: Sequence[int], choices: list[list[int]]) -> tuple[int, ...]:
    """Bucket lengths, read back from the last one."""
    end = len(lengths) - 1
    chosen = [lengths[end]]
    for choice in reversed(choices):
        end = choice[end]
        if end < 0:
            break
        chosen.append(lengths[end])
    return tuple(reversed(chosen))
