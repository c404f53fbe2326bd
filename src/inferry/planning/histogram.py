"""How long the samples of a data set are."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inferry.core.errors import UsageError

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram.

    Attributes:
        low: Shortest length that falls into it.
        high: Longest length that falls into it.
        count: Samples.
    """

    low: int
    high: int
    count: int


@dataclass(frozen=True, slots=True)
class LengthSummary:
    """A histogram in a few numbers; lengths in elements along the planned axis.

    Attributes:
        count: Samples.
        total: Sum of all lengths.
        shortest: Length of the shortest sample.
        median: Half of the samples are at most this long.
        p90: Nine in ten samples are at most this long.
        p99: Ninety-nine in a hundred samples are at most this long.
        longest: Length of the longest sample.
    """

    count: int
    total: int
    shortest: int
    median: int
    p90: int
    p99: int
    longest: int

    @property
    def mean(self) -> float:
        """Mean length in elements."""
        return self.total / self.count

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the keyword arguments of `LengthSummary`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LengthHistogram:
    """Every distinct length and how many samples have it.

    Attributes:
        lengths: Distinct lengths in elements, ascending.
        counts: Samples of each, 1 or more.
    """

    lengths: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, lengths: Iterable[int]) -> "LengthHistogram":
        """Count the lengths of a data set.

        Raises:
            UsageError: There is no length, or one is below 1.
        """
        distinct, counts = np.unique(checked_lengths(lengths), return_counts=True)
        return cls(tuple(distinct.tolist()), tuple(counts.tolist()))

    @property
    def count(self) -> int:
        """Samples."""
        return sum(self.counts)

    @property
    def total(self) -> int:
        """Sum of all lengths, in elements."""
        return sum(length * count for length, count in zip(self.lengths, self.counts, strict=True))

    def quantile(self, share: float) -> int:
        """The smallest length such that at least this share (0 to 1) of all samples is at most as long."""
        reached = np.cumsum(self.counts)
        place = int(np.searchsorted(reached, share * self.count, side="left"))
        return self.lengths[min(place, len(self.lengths) - 1)]

    def bins(self, count: int) -> tuple[Bin, ...]:
        """At most `count` bars of equal width from the shortest to the longest length, empty ones included."""
        low, high = self.lengths[0], self.lengths[-1]
        width = -(-(high - low + 1) // count)
        places = (np.asarray(self.lengths, np.int64) - low) // width
        # No float weights: np.bincount would give floats for counts.
        sums = np.zeros(int(places[-1]) + 1, np.int64)
        np.add.at(sums, places, np.asarray(self.counts, np.int64))
        return tuple(
            Bin(low + place * width, min(low + (place + 1) * width - 1, high), samples)
            for place, samples in enumerate(sums.tolist())
        )

    def summary(self) -> LengthSummary:
        """The numbers that a plan keeps."""
        return LengthSummary(
            count=self.count,
            total=self.total,
            shortest=self.lengths[0],
            median=self.quantile(0.5),
            p90=self.quantile(0.9),
            p99=self.quantile(0.99),
            longest=self.lengths[-1],
        )


def checked_lengths(lengths: Iterable[int]) -> Lengths:
    """Lengths as an int64 array ``(samples,)``.

    Raises:
        UsageError: There is no length, or one is below 1.
    """
    array = np.fromiter(lengths, np.int64)
    if not array.size:
        raise UsageError("there is no sample to plan for: the list of lengths is empty")
    if array.min() < 1:
        place = int(array.argmin())
        raise UsageError(f"sample number {place} has length {array[place]}; a length must be 1 or more")
    return array
