"""The batch size, picked by measurement."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from inferry.core.errors import BackendError, UsageError
from inferry.planning.histogram import LengthHistogram
from inferry.planning.plan import rows_within

Measure = Callable[[int, int], float]
"""Runs one batch of so many samples of such a length and returns its wall-clock time in seconds."""

CANDIDATES = (1, 2, 4, 8, 16, 32)
LEAST_GAIN = 0.05
"""A larger batch must be faster by this share, beyond the noise: it also costs memory and waiting time."""


@dataclass(frozen=True, slots=True)
class BatchMeasurement:
    """One candidate.

    Attributes:
        batch_size: Samples in a batch.
        against: The batch size that it had to beat; its own for the first candidate.
        items_per_second: Samples per second over all lengths, median of the rounds; None where it could not run.
        gain: Its speed over that of `against`, less 1, median of the rounds (each round runs both in turn).
        noise: Half the range of the gain over the rounds.
        verdict: ``first``, ``faster``, ``no clear gain``, ``slower`` or ``failed``.
        reason: Why it could not run; empty otherwise.
    """

    batch_size: int
    against: int
    items_per_second: float | None
    gain: float
    noise: float
    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BatchChoice:
    """The batch size with the evidence for it.

    Attributes:
        batch_size: Chosen.
        lengths: At which it was measured, in elements; each stands for an equal share of the samples.
        measurements: In the order in which they were made; candidates after an early stop are missing.
    """

    batch_size: int
    lengths: tuple[int, ...]
    measurements: tuple[BatchMeasurement, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object for tables and reports."""
        return {
            "batch_size": self.batch_size,
            "lengths": list(self.lengths),
            "measurements": [asdict(measurement) for measurement in self.measurements],
        }


def choose_batch_size(
    measure: Measure,
    lengths: Iterable[int],
    candidates: Sequence[int] = CANDIDATES,
    *,
    rounds: int = 3,
    max_padded: int | None = None,
) -> BatchChoice:
    """The smallest batch size that no larger candidate clearly beats.

    Each candidate is measured in turn with the best one so far, at three lengths that each stand for a third of the
    samples, after one run of each shape that does not count. It wins where its median gain less the noise is at least
    `LEAST_GAIN`. The search stops at the first candidate that is slower beyond the noise, or that the runtime refuses.

    Args:
        measure: Seconds of one run.
        lengths: Of the data set, in elements.
        candidates: Batch sizes, ascending.
        rounds: How often each pair is measured.
        max_padded: Cap on rows times length; a candidate runs with fewer rows where it would exceed it.

    Raises:
        UsageError: No lengths, no round, candidates that are not ascending from 1 or more, or a time of 0.
        BackendError: Even the smallest candidate cannot run.
    """
    if not candidates or candidates[0] < 1 or any(b <= a for a, b in pairwise(candidates)) or rounds < 1:
        raise UsageError(
            f"candidates must be ascending batch sizes of 1 or more and rounds 1 or more; "
            f"found {list(candidates)} and {rounds} rounds"
        )
    histogram = LengthHistogram.of(lengths)
    places = tuple(histogram.quantile(share) for share in (1 / 6, 1 / 2, 5 / 6))
    timer = _Timer(measure, places, max_padded)
    best = candidates[0]
    timer.warm_up(best)
    speeds = [timer.items_per_second(best) for _ in range(rounds)]
    measurements = [BatchMeasurement(best, best, median(speeds), 0.0, 0.0, "first")]
    for candidate in candidates[1:]:
        measurement = _compare(timer, candidate, best, rounds)
        measurements.append(measurement)
        if measurement.verdict == "faster":
            best = candidate
        if measurement.verdict in {"slower", "failed"}:
            break
    return BatchChoice(best, places, tuple(measurements))


@dataclass(frozen=True, slots=True)
class _Timer:
    """Speed over the representative lengths."""

    measure: Measure
    lengths: tuple[int, ...]
    max_padded: int | None

    def warm_up(self, batch_size: int) -> None:
        """Run each shape once: a first run compiles and allocates."""
        for length in self.lengths:
            self.measure(rows_within(length, batch_size, self.max_padded), length)

    def items_per_second(self, batch_size: int) -> float:
        """Samples per second, each length with the same number of samples."""
        seconds = 0.0
        for length in self.lengths:
            rows = rows_within(length, batch_size, self.max_padded)
            once = self.measure(rows, length)
            if not once > 0:
                raise UsageError(f"a batch of {rows} x {length} measured {once} seconds; a time must be above 0")
            seconds += once / rows
        return len(self.lengths) / seconds


def _compare(timer: _Timer, candidate: int, best: int, rounds: int) -> BatchMeasurement:
    """Measure two batch sizes in turn, so that a slow spell of the machine hits both."""
    speeds: list[float] = []
    gains: list[float] = []
    try:
        timer.warm_up(candidate)
        for _ in range(rounds):
            usual = timer.items_per_second(best)
            speeds.append(timer.items_per_second(candidate))
            gains.append(speeds[-1] / usual - 1)
    except BackendError as error:
        return BatchMeasurement(candidate, best, None, 0.0, 0.0, "failed", str(error))
    gain, noise = median(gains), (max(gains) - min(gains)) / 2
    verdict = "faster" if gain - noise >= LEAST_GAIN else "slower" if gain + noise < 0 else "no clear gain"
    return BatchMeasurement(candidate, best, median(speeds), gain, noise, verdict)
