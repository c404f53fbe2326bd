"""Where a run's time went, and how long its samples are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inferry.report.markup import Markup, chart, element, join, note, section


@dataclass(frozen=True)
class Stages:
    """Seconds of a run.

    Attributes:
        seconds: By stage, summed over the threads that worked on it.
        wall_seconds: From begin to end.
        resumed_after: Samples that an earlier call had answered; their time is not counted.
    """

    seconds: Mapping[str, float]
    wall_seconds: float
    resumed_after: int


@dataclass(frozen=True)
class Lengths:
    """How long the samples are.

    Attributes:
        unit: Of the edges, such as ``seconds``.
        edges: Of the bins, ascending; one more than `counts`.
        counts: Samples in each bin.
        buckets: Padded lengths of the shape plan in the same unit; empty where every batch has its own length.
        plan: What is known about the plan, a sentence.
    """

    unit: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    buckets: tuple[float, ...]
    plan: str


def timing_title(lengths: Sequence[Lengths | None]) -> str:
    """What the section is called: not every task has lengths."""
    return "Time and lengths" if any(lengths) else "Time"


def timing_section(labels: Sequence[str], stages: Sequence[Stages | None], lengths: Sequence[Lengths | None]) -> Markup:
    """Stage times of all runs in one picture, then the lengths of each data set that has any."""
    timed = [(label, one) for label, one in zip(labels, stages, strict=True) if one is not None]
    parts: list[str] = []
    if timed:
        parts.append(_stages(timed))
    sharing: dict[Lengths, dict[str, str]] = {}
    for label, one in zip(labels, lengths, strict=True):
        if one is not None:
            # One picture for runs over the same samples with the same shapes, whatever else their plans say.
            sharing.setdefault(replace(one, plan=""), {})[label] = one.plan
    for one, plans in sharing.items():
        heading = [element("h3", " and ".join(plans))] if len(labels) > 1 else []
        parts.append(join([*heading, _lengths(one), *map(note, dict.fromkeys(plans.values()))]))
    if not parts:
        parts.append(element("p", "No run says where its time went.", class_="missing"))
    return section(timing_title(lengths), "time", *parts)


def _stages(timed: Sequence[tuple[str, Stages]]) -> Markup:
    points = [
        {"run": label, "stage": stage, "seconds": seconds}
        for label, one in timed
        for stage, seconds in one.seconds.items()
    ]
    caption = "Seconds by stage, summed over the threads that worked on it."
    walls = [
        ("" if len(timed) == 1 else f"{label}: ")
        + f"{one.wall_seconds:,.2f} s from begin to end ("
        + ", ".join(f"{stage} {seconds:,.2f} s" for stage, seconds in one.seconds.items())
        + ")"
        + (f", {one.resumed_after:,} samples were answered by an earlier call" if one.resumed_after else "")
        for label, one in timed
    ]
    return join([chart("stages", points, caption), note("; ".join(walls) + ".")])


def _lengths(lengths: Lengths) -> Markup:
    bins = [
        {"low": low, "high": high, "count": count}
        for low, high, count in zip(lengths.edges, lengths.edges[1:], lengths.counts, strict=False)
    ]
    caption = f"Samples by length in {lengths.unit}."
    if lengths.buckets:
        caption += " The upright lines are the padded lengths of the shape plan."
    value = {"bins": bins, "buckets": list(lengths.buckets), "unit": lengths.unit}
    return chart("lengths", value, caption)
