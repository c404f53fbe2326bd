"""What the report says about each run, gathered from its files."""

import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.core.bundle import Bundle
from inferry.core.runs import BENCH, LEDGER, Run
from inferry.pipeline.reporting.files import (
    accuracy_of,
    find_bundle,
    read_ledger,
    read_quarantine,
    read_score,
    read_speed,
    read_timings,
    seconds_per_element,
    stages_of,
)
from inferry.report.accuracy import Accuracy
from inferry.report.ledger import Ledger
from inferry.report.markup import NOTHING, TIMES
from inferry.report.overview import Fact, Overview
from inferry.report.page import RunPart
from inferry.report.speed import Speed
from inferry.report.timing import Lengths

_BINS: Final = 40
_PLAN = re.compile(r"(?P<axis>[^|]+)\|shapes:(?P<shapes>[^|]+)\|batch:(?P<batch>\d+)")


def labels_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Names of folders, or whole paths where two are called the same."""
    names = tuple(run.path.resolve().name for run in runs)
    return names if len(set(names)) == len(names) else tuple(str(run.path) for run in runs)


def gather_parts(runs: Sequence[Run], seconds: Sequence["array[float]"]) -> tuple[RunPart, ...]:
    """All but the samples.

    Args:
        runs: Finished ones.
        seconds: Length of every sample with an answer, by run.
    """
    return tuple(map(_part, runs, labels_of(runs), seconds))


def _part(run: Run, label: str, seconds: "array[float]") -> RunPart:
    bundle, metrics, timings = find_bundle(run), read_score(run), read_timings(run)
    accuracy, ledger = accuracy_of(run, metrics), read_ledger(run, bundle)
    speed = read_speed(run, bundle)
    config = run.info["config"]
    overview = Overview(
        label=label,
        family=str(config["family"]),
        checkpoint="" if bundle is None else bundle.manifest.checkpoint.get("name", ""),
        data=Path(config["data"]).name,
        path=str(run.path),
        facts=_facts(run, accuracy, metrics, timings, ledger),
    )
    return RunPart(
        overview=overview,
        settings=_settings(run, bundle, timings),
        accuracy=accuracy,
        ledger=ledger,
        speed=speed,
        doubts=tuple(_doubts(run, {LEDGER: ledger, BENCH: speed})),
        stages=stages_of(run, timings),
        lengths=_lengths(seconds, timings.get("plan"), bundle),
        quarantine=read_quarantine(run),
    )


def _doubts(run: Run, found: Mapping[str, Ledger | Speed | str]) -> Iterator[str]:
    """Files that were measured with another bundle than the run's."""
    digest = run.info["config"]["bundle"]
    for name, content in found.items():
        if not isinstance(content, str) and content.bundle not in {"", digest}:
            yield f"{name} was made with another bundle ({content.bundle[:12]}…) than this run ({digest[:12]}…)."


def _settings(run: Run, bundle: Bundle | None, timings: Mapping[str, Any]) -> dict[str, str]:
    """Configuration and signature, flat; a name that both have stands once."""
    checkpoint = {} if bundle is None else {f"checkpoint {k}": v for k, v in bundle.manifest.checkpoint.items()}
    plan = {"plan": timings["plan"]} if "plan" in timings else {}
    both = {**run.info["config"], **plan, **checkpoint, **run.info.get("signature", {})}
    if isinstance(both.get("decoding"), Mapping):
        both["decoding"] = _decoding(both["decoding"])
    return {str(name).replace("_", " "): str(value) for name, value in both.items()}


def _decoding(row: Mapping[str, Any]) -> str:
    """How texts were searched for, in words; weights only where something was weighed."""
    model, hotwords = row.get("language_model"), row.get("hotwords") or ()
    if row.get("beam") is None and not model and not hotwords:
        return "greedy"
    said = ["beam search" if row.get("beam") is None else f"beam search {row['beam']} wide"]
    if model:
        said.append(f"language model {str(model)[:12]}… (alpha {row.get('alpha')}, beta {row.get('beta')})")
    if hotwords:
        said.append(f"hotwords {', '.join(map(str, hotwords))} (weight {row.get('hotword_weight')})")
    return ", ".join(said)


def _facts(
    run: Run,
    accuracy: Accuracy,
    metrics: Mapping[str, Any] | None,
    timings: Mapping[str, Any],
    ledger: Ledger | str,
) -> tuple[Fact, ...]:
    """The figures at the head of the page."""
    facts = [
        Fact(rate.name, f"{rate.percent:.2f} %", f"95 %: {rate.interval}")
        for rate in accuracy.rates[:2]
        if rate.percent is not None
    ]
    if metrics is not None and "exact_matches" in metrics["score"]:
        facts.append(
            Fact("Exactly right", f"{metrics['score']['exact_matches']:,}", f"of {metrics['scored']:,} scored")
        )
    quarantined = int(run.info["quarantined"])
    facts.append(Fact("Samples", f"{run.info['samples']:,}", f"{run.info['predictions']:,} answered"))
    facts.append(
        Fact("Quarantined", f"{quarantined:,}", "with their reasons" if quarantined else "", "bad" * bool(quarantined))
    )
    if run.info.get("cut"):
        longest = run.info["config"].get("max_seconds")
        facts.append(Fact("In windows", f"{run.info['cut']:,}", f"longer than {longest:g} s, joined again"))
    if "settled_alone" in timings:
        facts.append(Fact("Settled alone", f"{timings['settled_alone']:,}", "near ties, run again unpadded"))
    if timings.get("audio_seconds_per_second"):
        speed = f"{timings['audio_seconds_per_second']:,.0f} {TIMES}"
        facts.append(Fact("Speed", speed, "seconds of sound per second"))
    if isinstance(ledger, Ledger):
        facts += _parity_fact(ledger)
    return tuple(facts)


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


def _lengths(seconds: "array[float]", plan: str | None, bundle: Bundle | None) -> Lengths | None:
    """Histogram of the samples' seconds, with the plan's shapes in seconds over it."""
    if not seconds:
        return None
    counts, edges = np.histogram(np.frombuffer(seconds), bins=min(_BINS, 6 + 2 * math.isqrt(len(seconds))))
    buckets, words = _plan(plan, bundle)
    return Lengths("seconds", tuple(map(float, edges)), tuple(map(int, counts)), buckets, words)


def _plan(plan: str | None, bundle: Bundle | None) -> tuple[tuple[float, ...], str]:
    found = None if plan is None else _PLAN.match(plan)
    if found is None:
        return (), "The run names no shape plan."
    if found["shapes"] == "dynamic":
        return (), f"Shape plan: every batch is padded to its longest sample; batch size at most {found['batch']}."
    shapes = [int(shape.partition("x")[0]) for shape in found["shapes"].split(",")]
    element = seconds_per_element(bundle, found["axis"])
    if element is None:
        return (), f"Shape plan: {found['shapes']} ({found['axis']} x batch size)."
    buckets = tuple(shape * element for shape in shapes)
    listed = ", ".join(f"{bucket:.2f} s" for bucket in buckets)
    return buckets, f"Shape plan: padded to {listed}; batch size at most {found['batch']}."
