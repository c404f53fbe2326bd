"""Accuracy with its intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferry.report.markup import NOTHING, Markup, chart, decimal, element, note, section, table


@dataclass(frozen=True)
class Rate:
    """One metric of one run.

    Attributes:
        name: As a reader knows it, such as ``WER``.
        percent: None where nothing can be divided.
        low: Percent, lower end of the 95 % interval.
        high: Percent, its upper end.
        detail: What was counted, as a phrase.
        signature: How the number was made.
    """

    name: str
    percent: float | None
    low: float | None
    high: float | None
    detail: str
    signature: str

    @property
    def interval(self) -> str:
        """Both ends, or a dash."""
        return NOTHING if self.low is None or self.high is None else f"{self.low:.2f} … {self.high:.2f}"


@dataclass(frozen=True)
class Accuracy:
    """What a run scored.

    Attributes:
        rates: The task's metrics, the most important one first; empty where nothing was scored.
        coverage: Which samples they cover, or why there is no score.
    """

    rates: tuple[Rate, ...]
    coverage: str


def accuracy_section(labels: Sequence[str], runs: Sequence[Accuracy]) -> Markup:
    """Intervals as a picture, and the numbers."""
    names = list(dict.fromkeys(rate.name for run in runs for rate in run.rates))
    rates = [(label, rate) for label, run in zip(labels, runs, strict=True) for rate in run.rates]
    # What is compared stands together: a metric of all runs, then the next one.
    rates.sort(key=lambda one: names.index(one[1].name))
    points = [
        {"run": label, "metric": rate.name, "percent": rate.percent, "low": rate.low, "high": rate.high}
        for label, rate in rates
        if rate.percent is not None
    ]
    several = len(runs) > 1
    rows = [
        (rate.name, *([label] if several else []), decimal(rate.percent), rate.interval, rate.detail)
        for label, rate in rates
    ]
    caption = "Error rates in percent, less is better; the bars are 95 % intervals (bootstrap over samples)."
    parts: list[str] = []
    if points:
        parts.append(chart("accuracy", {"points": points, "runs": list(labels)}, caption))
    if rows:
        parts.append(table(["metric", *(["run"] if several else []), ">%", ">95 % interval", "counted"], rows))
    coverage = (
        element("p", *([element("b", label), ": "] if several else []), run.coverage)
        for label, run in zip(labels, runs, strict=True)
    )
    return section("Accuracy", "accuracy", *parts, *coverage, *_signatures(runs))


def _signatures(runs: Sequence[Accuracy]) -> tuple[Markup, ...]:
    made = dict.fromkeys(run.rates[0].signature for run in runs if run.rates)
    return tuple(note(f"How: {text}") for text in made)
