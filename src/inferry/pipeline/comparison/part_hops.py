"""A further network of a bundle, such as a region detector, compared with its original."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferry.core.protocols import Checkpoint, Part, Reference, Runner
from inferry.core.specs import Array
from inferry.core.tolerances import PART
from inferry.metrics.differences import Differences
from inferry.pipeline.comparison.hops import Hop

Outputs = Mapping[str, Array]

_MAY_DIFFER: Final = 0.05
"""Share of the rows of a probe that need not be found again.

A detector decides: which candidates stay, which of two boxes goes, which is the hundredth. Rounding can turn a decision
that stands at its limit, and other rows then come out of a graph that is right. A graph that is wrong loses more,
because all outputs of a row have to agree.
"""


@dataclass(frozen=True)
class PartHop(Hop):
    """A `Hop` of a further network, which gives rows for each probe (a detector's regions).

    `frames` counts the rows of both sides, `frames_changed` those that the other side does not give, and an answer is
    all rows of one probe.
    """

    @property
    def problem(self) -> str:
        """What is not the original's, as a part of a sentence."""
        return (
            f"{self.frames_changed} of {self.frames} rows are not the original's (tolerance {self.tolerance:g} of an "
            f"output's scale, at most {_MAY_DIFFER:.0%} of a probe's rows), {self.answers_changed} of {self.samples} "
            "probes changed"
        )


def compare_part(name: str, part: Part, checkpoint: Checkpoint, original: Reference, run: Runner) -> Hop:
    """The original network of a part against its graph, on the part's probes.

    Args:
        name: Of the hop.
        part: Of the recipe.
        checkpoint: Of the part.
        original: Its network.
        run: Its graph.

    Returns:
        A hop that breaks where a probe has more than one row in twenty that the other side does not have; skipped
        where neither side gives any row for any probe.
    """
    differences, rows, missing, probes, changed = Differences(), 0, 0, 0, 0
    for probe in part.probes(checkpoint):
        matched = _match(original.infer(probe), run(probe), differences)
        probes += 1
        rows += matched.rows
        missing += matched.missing
        changed += matched.missing > _MAY_DIFFER * matched.rows
    if not rows:
        return Hop(name, skipped=f"neither the original nor the graph gives anything for the {probes} probes")
    return PartHop(
        name=name,
        samples=probes,
        difference=differences.result(),
        tolerance=PART,
        frames=rows,
        frames_changed=missing,
        answers_changed=changed,
    )


@dataclass(frozen=True, slots=True)
class _Matched:
    """Rows of the original and of the graph together, and how many of them have no partner."""

    rows: int
    missing: int


def _match(truth: Outputs, found: Outputs, differences: Differences) -> _Matched:
    """Find the original's rows again; those that are found are added to `differences`.

    Args:
        truth: Of the original; all outputs have as many rows.
        found: Of the graph, likewise.
        differences: Of rows from their partners, as a part of each output's scale.
    """
    counts = len(next(iter(truth.values()))), len(next(iter(found.values())))
    total = sum(counts)
    if not all(counts):
        return _Matched(total, total)
    places = np.arange(counts[0])[:, None], np.arange(counts[1])
    apart = np.zeros(counts)
    for name, expected in truth.items():
        if found[name].shape[1:] != expected.shape[1:]:
            return _Matched(total, total)
        np.maximum(apart, _distances(expected, found[name]), out=apart)
    # In nearly the same place: the order of rows means something, and only near ties may change it.
    apart[np.abs(places[0] - places[1]) > max(1, _MAY_DIFFER * max(counts))] = math.inf
    partners = apart.argmin(axis=1)
    agree = np.flatnonzero(apart.min(axis=1) <= PART)
    _, first = np.unique(partners[agree], return_index=True)
    pairs = agree[first]
    for name, expected in truth.items():
        scale = _scale(expected)
        differences.add(expected[pairs] / scale, found[name][partners[pairs]] / scale)
    return _Matched(total, total - 2 * len(pairs))


def _distances(expected: Array, found: Array) -> Array:
    """(rows, rows): the greatest difference of two rows as a part of the scale; infinite where whole numbers differ."""
    rows, others = expected.reshape(len(expected), -1), found.reshape(len(found), -1)
    greatest: Array = np.stack([np.abs(others - row).max(axis=1) for row in rows]) / _scale(expected)
    if expected.dtype.kind != "f":
        return np.where(greatest == 0, 0.0, math.inf)
    return np.where(np.isfinite(greatest), greatest, math.inf)


def _scale(expected: Array) -> float:
    """The greatest absolute value, 1 for zeros and whole numbers."""
    return float(np.abs(expected).max()) or 1.0 if expected.dtype.kind == "f" else 1.0
