"""Samples that a run could not answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferry.core.samples import Rejected
from inferry.report.markup import Markup, element, join, note, section, table


@dataclass(frozen=True)
class Quarantine:
    """What was set aside.

    Attributes:
        rows: The first ones.
        total: All of them.
        source: The file that has all.
    """

    rows: tuple[Rejected, ...]
    total: int
    source: str


def quarantine_section(labels: Sequence[str], runs: Sequence[Quarantine]) -> Markup:
    """Each file with the stage and the reason."""
    several = len(labels) > 1
    parts = [
        join([*([element("h3", label)] if several else []), _one(run)]) for label, run in zip(labels, runs, strict=True)
    ]
    return section("Quarantined samples", "quarantine", *parts)


def _one(run: Quarantine) -> Markup:
    if not run.total:
        return element("p", "None: every sample has its answer.")
    shown = table(["id", "stage", "reason", "file"], [(one.id, one.stage, one.reason, one.path) for one in run.rows])
    if run.total == len(run.rows):
        return shown
    return join([shown, note(f"The first {len(run.rows):,} of {run.total:,}; {run.source} has all.")])
