"""The figures of a run: its rates, and those at the head of the page."""

import math
import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from inferry.core.runs import METRICS, Run
from inferry.core.scores import Rate
from inferry.pipeline.reporting.files import hint, read_score
from inferry.pipeline.reporting.views.view import View
from inferry.pipeline.tasks.registry import task_of
from inferry.report.accuracy import Accuracy
from inferry.report.fields import parse
from inferry.report.ledger import Ledger
from inferry.report.markup import NOTHING, TIMES
from inferry.report.overview import Fact

_WHOLE: Final = 20
"""Samples per second from which tenths are noise."""


def accuracy_of(view: View, run: Run) -> Accuracy:
    """The rates of metrics.json, and what else of it the task shows.

    Raises:
        RunError: metrics.json is not as expected.
    """
    again, metrics = shlex.join(["inferry", "evaluate", str(run.path)]), read_score(run)
    if metrics is None:
        said = "This run was not scored. Where its data set has references, this command does it:"
        return Accuracy((), hint(said, again))
    return parse(partial(_accuracy, view), metrics, str(run.path / METRICS), again)


def _accuracy(view: View, metrics: Mapping[str, Any]) -> Accuracy:
    warnings = view.warnings(metrics["score"])
    coverage = (
        f"{metrics['scored']:,} samples scored. Left out: "
        f"{metrics['without_reference']:,} without a reference, {metrics['quarantined']:,} quarantined."
    )
    # What stands at the head of the page is not said again.
    remarks = (one for one in metrics["remarks"] if not any(one in warning for warning in warnings))
    return Accuracy(
        rates=tuple(Rate(**row) for row in metrics["rates"]),
        coverage=" ".join([coverage, *(f"{one[:1].upper()}{one[1:]}." for one in remarks)]),
        scored=int(metrics["scored"]),
        exact=int(metrics["exact"]),
        scale=view.scale,
        breakdowns=view.breakdowns(metrics["score"]),
        warnings=warnings,
    )


def facts_of(
    view: View, run: Run, accuracy: Accuracy, timings: Mapping[str, Any], ledger: Ledger | str
) -> tuple[Fact, ...]:
    """The figures at the head of the page."""
    facts = [
        Fact(rate.name, f"{rate.percent:.2f} %", f"95 %: {rate.interval}")
        for rate in accuracy.rates
        if rate.name in view.headline and rate.percent is not None
    ]
    if accuracy.scored:
        facts.append(Fact("Exactly right", f"{accuracy.exact:,}", f"of {accuracy.scored:,} scored"))
    quarantined = int(run.info["quarantined"])
    facts.append(Fact("Samples", f"{run.info['samples']:,}", f"{run.info['predictions']:,} answered"))
    facts.append(
        Fact("Quarantined", f"{quarantined:,}", "with their reasons" if quarantined else "", "bad" * bool(quarantined))
    )
    if run.info.get("cut"):
        longest = run.info["config"].get("max_seconds")
        facts.append(Fact("In windows", f"{run.info['cut']:,}", f"longer than {longest:g} s, joined again"))
    if "settled_alone" in timings:
        facts.append(Fact("Settled alone", f"{timings['settled_alone']:,}", "near ties, run again alone"))
    facts += _speed_fact(run, timings)
    if isinstance(ledger, Ledger):
        facts += _parity_fact(ledger)
    return tuple(facts)


def _speed_fact(run: Run, timings: Mapping[str, Any]) -> list[Fact]:
    """Seconds of sound where there are any, else samples; of the last session, from begin to end."""
    if timings.get("audio_seconds_per_second"):
        return [Fact("Speed", f"{timings['audio_seconds_per_second']:,.0f} {TIMES}", "seconds of sound per second")]
    wall = timings.get("wall_seconds")
    if not wall:
        return []
    answered = timings["samples"] - timings["quarantined"] - timings.get("resumed_after", 0)
    speed = answered / wall
    return [Fact("Speed", f"{speed:,.{0 if speed >= _WHOLE else 1}f}", f"{task_of(run).noun}s per second")]


def _parity_fact(ledger: Ledger) -> list[Fact]:
    compared = [hop for hop in ledger.hops if hop.compared]
    if not compared:
        return [Fact("Parity", NOTHING, "no hop was compared")]
    broken = [hop for hop in compared if not hop.passed]
    worst = max((broken or compared), key=lambda hop: math.inf if hop.max_abs is None else hop.max_abs)
    said = (
        f"greatest difference, {len(broken)} of {len(compared)} hops failed"
        if broken
        else (f"greatest difference; {len(compared)} of {len(ledger.hops)} hops compared, all passed")
    )
    return [Fact("Parity", worst.greatest, said, "bad" if broken else "good")]
