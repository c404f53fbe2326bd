"""Accuracy with its intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferry.core.scores import Rate
from inferry.report.markup import Markup, chart, decimal, element, note, section, table
from inferry.report.rows import LONGEST_LABEL, cut


@dataclass(frozen=True)
class Breakdown:
    """A table below the rates.

    Attributes:
        title: Its heading.
        columns: As for `table`.
        rows: The cells of each.
        said: What is in it, a sentence.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    said: str


@dataclass(frozen=True)
class Accuracy:
    """What a run scored.

    Attributes:
        rates: The task's metrics, the most important one first; empty where nothing was scored.
        coverage: Which samples they cover, or why there is no score.
        scored: Samples behind them.
        exact: Of these, those whose answer is entirely right.
        scale: What the rates are, and which way is better.
        breakdowns: Tables below them.
        warnings: What makes the rates doubtful, a sentence each; for the head of the page.
    """

    rates: tuple[Rate, ...]
    coverage: str
    scored: int = 0
    exact: int = 0
    scale: str = "Percent"
    breakdowns: tuple[Breakdown, ...] = ()
    warnings: tuple[str, ...] = ()


def accuracy_section(labels: Sequence[str], runs: Sequence[Accuracy]) -> Markup:
    """Intervals as a picture, and the numbers."""
    names = list(dict.fromkeys(rate.name for run in runs for rate in run.rates))
    rates = [(label, rate) for label, run in zip(labels, runs, strict=True) for rate in run.rates]
    # What is compared stands together: a metric of all runs, then the next one.
    rates.sort(key=lambda one: names.index(one[1].name))
    points = [
        {
            "run": label,
            "metric": rate.name,
            "percent": rate.percent,
            # A script rounds ties otherwise: the picture and the table say the same.
            "text": f"{decimal(rate.percent)} %",
            "low": rate.low,
            "high": rate.high,
        }
        for label, rate in rates
        if rate.percent is not None
    ]
    several = len(runs) > 1
    rows = [
        (rate.name, *([label] if several else []), decimal(rate.percent), rate.interval, rate.counted)
        for label, rate in rates
    ]
    caption = f"{runs[0].scale}; the bars are 95 % intervals (bootstrap over samples)."
    parts: list[str] = []
    if points:
        parts.append(chart("accuracy", {"points": points, "runs": list(labels)}, caption))
    if rows:
        parts.append(table(["metric", *(["run"] if several else []), ">%", ">95 % interval", "counted"], rows))
    for label, run in zip(labels, runs, strict=True):
        parts.append(element("p", *([element("b", label), ": "] if several else []), run.coverage))
    return section("Accuracy", "accuracy", *parts, *_breakdowns(labels, runs), *_signatures(runs))


def _breakdowns(labels: Sequence[str], runs: Sequence[Accuracy]) -> list[Markup]:
    """The tables of each run beside each other."""
    several = len(runs) > 1
    return [
        element(
            "div",
            *(_breakdown(f"{one.title}: {label}" if several else one.title, one) for one in run.breakdowns),
            class_="pair",
        )
        for label, run in zip(labels, runs, strict=True)
        if run.breakdowns
    ]


def _breakdown(title: str, one: Breakdown) -> Markup:
    rows = [tuple(cut(text, LONGEST_LABEL) for text in row) for row in one.rows]
    return element("div", element("h3", title), note(one.said), table(one.columns, rows))


def _signatures(runs: Sequence[Accuracy]) -> tuple[Markup, ...]:
    """How each number was made, said once where several were made alike."""
    made = dict.fromkeys(rate.signature for run in runs for rate in run.rates)
    return (note("How the numbers were made:"), element("ul", *(element("li", one) for one in made))) if made else ()
