"""What the report says about each run, gathered from its files."""

import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.core.bundle import Bundle
from inferry.core.runs import BENCH, LEDGER, Run
from inferry.pipeline.reporting.devices import devices_of
from inferry.pipeline.reporting.figures import accuracy_of, facts_of
from inferry.pipeline.reporting.files import (
    find_bundle,
    read_ledger,
    read_quarantine,
    read_speed,
    read_timings,
    seconds_per_element,
    stages_of,
)
from inferry.pipeline.reporting.views.view import View
from inferry.report.ledger import Ledger
from inferry.report.overview import Overview
from inferry.report.page import RunPart
from inferry.report.speed import Speed
from inferry.report.timing import Lengths

_BINS: Final = 40
_PLAN = re.compile(r"(?P<axis>[^|]+)\|shapes:(?P<shapes>[^|]+)\|batch:(?P<batch>\d+)")


def labels_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Names of folders, or whole paths where two are called the same."""
    names = tuple(run.path.resolve().name for run in runs)
    return names if len(set(names)) == len(names) else tuple(str(run.path) for run in runs)


def gather_parts(runs: Sequence[Run], view: View, seconds: Sequence["array[float]"]) -> tuple[RunPart, ...]:
    """All but the samples.

    Args:
        runs: Finished ones, of one task.
        view: Of that task.
        seconds: Length of every sample with an answer, by run.
    """
    return tuple(map(partial(_part, view), runs, labels_of(runs), seconds))


def _part(view: View, run: Run, label: str, seconds: "array[float]") -> RunPart:
    bundle, timings = find_bundle(run), read_timings(run)
    accuracy, ledger = accuracy_of(view, run), read_ledger(run, bundle)
    speed = read_speed(run, bundle)
    config = run.info["config"]
    overview = Overview(
        label=label,
        family=str(config["family"]),
        checkpoint="" if bundle is None else bundle.manifest.checkpoint.get("name", ""),
        data=Path(config["data"]).name,
        path=str(run.path),
        facts=facts_of(view, run, accuracy, timings, ledger),
    )
    return RunPart(
        overview=overview,
        settings=_settings(view, run, bundle, timings),
        accuracy=accuracy,
        ledger=ledger,
        speed=speed,
        devices=devices_of(run, timings, accuracy, speed, view.headline),
        doubts=(*accuracy.warnings, *_doubts(run, {LEDGER: ledger, BENCH: speed})),
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


def _settings(view: View, run: Run, bundle: Bundle | None, timings: Mapping[str, Any]) -> dict[str, str]:
    """Configuration and signature, flat; a name that both have stands once."""
    checkpoint = {} if bundle is None else {f"checkpoint {k}": v for k, v in bundle.manifest.checkpoint.items()}
    plan = {"plan": timings["plan"]} if "plan" in timings else {}
    config = {name: value for name, value in run.info["config"].items() if name not in view.silent}
    both = {**config, **plan, **checkpoint, **run.info.get("signature", {})}
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
