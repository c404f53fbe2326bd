"""How far two forms of the same numbers are apart, measured in bounded memory."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from inferry.core.errors import UsageError
from inferry.core.specs import Array

_QUANTILE: Final = 0.999
_BINS_PER_OCTAVE: Final = 128
_LOWEST: Final = -60  # as a power of two: what is smaller shares the first bin
_OCTAVES: Final = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """Absolute differences over all elements, and how alike the two sides are as one long vector.

    Attributes:
        elements: Compared.
        max_abs: Greatest; infinite where either side holds NaN or infinity.
        mean_abs: Mean; infinite likewise.
        p999_abs: 99.9th percentile, from a histogram with 128 bins an octave: at most 0.6 % too large, never too small.
        cosine: Of the angle between the two sides; 1 where both are zero, NaN where `max_abs` is infinite.
    """

    elements: int = 0
    max_abs: float = 0.0
    mean_abs: float = 0.0
    p999_abs: float = 0.0
    cosine: float = 1.0

    @property
    def just_passes(self) -> float:
        """The smallest absolute tolerance of two digits that would let this pass; infinite if none would."""
        if self.max_abs == 0 or not math.isfinite(self.max_abs):
            return self.max_abs
        step = 10.0 ** (math.floor(math.log10(self.max_abs)) - 1)
        # The decimal text is what a user types, so that is what must not be smaller.
        rounded = float(f"{math.ceil(self.max_abs / step) * step:.1e}")
        return rounded if rounded >= self.max_abs else float(f"{rounded + step:.1e}")

    def to_json(self) -> dict[str, Any]:
        """A JSON object; null where a number is not finite."""
        return {
            "max_abs": finite_or_none(self.max_abs),
            "mean_abs": finite_or_none(self.mean_abs),
            "p999_abs": finite_or_none(self.p999_abs),
            "cosine": finite_or_none(self.cosine),
            "just_passes": finite_or_none(self.just_passes),
        }


def finite_or_none(value: float | None) -> float | None:
    """The number, None where JSON has no way to write it."""
    return value if value is not None and math.isfinite(value) else None


class Differences:
    """Adds up differences array by array; keeps counts only, so any number of arrays may come."""

    def __init__(self) -> None:
        self._elements = self._zeros = 0
        self._greatest = 0.0
        self._total = 0.0
        self._products = np.zeros(3)
        self._histogram: npt.NDArray[np.int64] = np.zeros(_OCTAVES * _BINS_PER_OCTAVE, np.int64)

    def add(self, expected: Array, found: Array) -> float:
        """Count one pair of arrays of the same shape.

        Returns:
            Its own greatest absolute difference, infinite where a side holds NaN or infinity.

        Raises:
            UsageError: The shapes differ.
        """
        if expected.shape != found.shape:
            raise UsageError(f"shapes {expected.shape} and {found.shape} cannot be compared")
        a, b = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
        with np.errstate(invalid="ignore"):
            difference = np.abs(a - b)
        worst = float(difference.max(initial=0.0))
        self._elements += difference.size
        if not math.isfinite(worst):
            self._greatest = math.inf
            return math.inf
        self._greatest = max(self._greatest, worst)
        self._total += float(difference.sum())
        self._products += (a @ b, a @ a, b @ b)
        apart = difference[difference > 0]
        self._zeros += difference.size - apart.size
        self._histogram += np.bincount(_bins(apart), minlength=self._histogram.size)
        return worst

    def result(self) -> Difference:
        """Over all that was added."""
        if not math.isfinite(self._greatest):
            return Difference(self._elements, math.inf, math.inf, math.inf, math.nan)
        if not self._elements:
            return Difference()
        mean = self._total / self._elements
        return Difference(self._elements, self._greatest, mean, self._percentile(), self._cosine())

    def _percentile(self) -> float:
        rank = math.ceil(_QUANTILE * self._elements) - self._zeros
        if rank <= 0:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._histogram), rank))
        upper: float = 2.0 ** (_LOWEST + (place + 1) / _BINS_PER_OCTAVE)
        return min(upper, self._greatest)

    def _cosine(self) -> float:
        product, first, second = (float(value) for value in self._products)
        if first == 0 and second == 0:
            return 1.0
        norm: float = math.sqrt(first) * math.sqrt(second)
        return max(-1.0, min(1.0, product / norm)) if norm else 0.0


def _bins(difference: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The histogram's bin of each value; what is smaller is in the first one, what is larger in the last one."""
    exponents = np.log2(np.maximum(difference, 2.0**_LOWEST)) - _LOWEST
    places: npt.NDArray[np.int64] = np.floor(exponents * _BINS_PER_OCTAVE).astype(np.int64)
    return np.minimum(places, _OCTAVES * _BINS_PER_OCTAVE - 1)
