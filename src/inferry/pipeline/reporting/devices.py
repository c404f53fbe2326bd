"""Rows of the report's table of devices: what an NPU's machine measured, beside what was measured here."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from inferry.core.runs import TIMINGS, Run
from inferry.report.accuracy import Accuracy
from inferry.report.devices import DeviceRow, Devices
from inferry.report.fields import parse
from inferry.report.speed import Measurement, Speed

_ON_DEVICE: Final = "NPU alone"
_MODEL: Final = "features to answers"
_ONE_SHAPE: Final = "items"
"""What gears are called where all samples are alike; a name says nothing then."""

_WHOLE: Final = "whole run"


def devices_of(
    run: Run, timings: Mapping[str, Any], accuracy: Accuracy, speed: Speed | str, headline: Collection[str]
) -> Devices:
    """All that is known about a run's devices.

    Args:
        run: The run.
        timings: Its timings.json.
        accuracy: Its score.
        speed: What `inferry bench` measured for it, here; or a sentence that says how.
        headline: Names of the rates that stand in the table; the page has all of them above it.

    Raises:
        RunError: timings.json is not as `inferry postprocess` writes it.
    """
    scored = {rate.name: rate.percent for rate in accuracy.rates if rate.percent is not None}
    said, data = _rates(scored, headline), Path(run.info["config"]["data"]).name
    signature = {str(name): str(value) for name, value in timings.get("signature", {}).items()}
    again = f"inferry postprocess, after removing {run.path}"
    elsewhere = parse(lambda found: _elsewhere(found, signature, data, said), timings, str(run.path / TIMINGS), again)
    rows = list(elsewhere.rows)
    if isinstance(speed, Speed):
        measured = [one for one in speed.measurements if not one.baseline]
        rows += [_cpu_row(one, speed, data, _rates(one.rates, headline)) for one in measured]
    elif not rows:
        rows += _whole_run(timings, signature, data, said)
    return Devices(tuple(rows), elsewhere.signature)


def _rates(percents: Mapping[str, float], headline: Collection[str]) -> str:
    shown = {name: percent for name, percent in percents.items() if name in headline} or percents
    # In a narrow column a line ends between two rates, not within one.
    return ", ".join(f"{name} {percent:.2f} %".replace(" ", "\N{NO-BREAK SPACE}") for name, percent in shown.items())


def _elsewhere(timings: Mapping[str, Any], signature: Mapping[str, str], data: str, accuracy: str) -> Devices:
    """What an NPU's machine measured; nothing where none did."""
    npu = tuple(timings.get("npu") or ())
    if not npu:
        return Devices((), ())
    differing = {int(row["batch"]): row for row in timings.get("batches", ()) if row["differing"]}
    scored: dict[str, int] = {}
    for row in npu:
        shape, batch = _shape(row), int(row["batch"])
        scored[shape] = min(batch, scored.get(shape, batch))
    rows = []
    for row in npu:
        other = differing.get(int(row["batch"])) if int(row["batch"]) != scored[_shape(row)] else None
        # The rates are of the answers of each shape's smallest batch; of others only where those are the same.
        said = accuracy if other is None else f"{other['differing']:,} of {other['compared']:,} answers differ"
        rows.append(_npu_row(row, signature, data, said))
    return Devices(tuple(rows), tuple(_signature(signature, npu)))


def _shape(row: Mapping[str, Any]) -> str:
    """Of a gear's name what stands before the batch size, and a further part's number."""
    shape = re.sub(rf"_b{int(row['batch'])}(_part[0-9]+)?$", r"\1", str(row["gear"]))
    return shape.removeprefix(_ONE_SHAPE).removeprefix("_")


def _npu_row(row: Mapping[str, Any], signature: Mapping[str, str], data: str, accuracy: str) -> DeviceRow:
    precision = signature.get("precision", "")
    return DeviceRow(
        device=" ".join(filter(None, (signature.get("device", "NPU"), precision))),
        shape=_shape(row),
        batch_size=int(row["batch"]),
        data=data,
        accuracy=accuracy,
        milliseconds=_float(row["compute_ms"]["median"] or row["compute_ms"]["mean"]),
        items_per_second=_float(row["samples_per_second"]),
        scope=_ON_DEVICE,
        elsewhere=True,
    )


def _cpu_row(one: Measurement, speed: Speed, data: str, accuracy: str) -> DeviceRow:
    return DeviceRow(
        device=" ".join(filter(None, (_processor(speed.signature), one.configuration))),
        shape="",
        batch_size=one.batch_size,
        data=data,
        accuracy=accuracy,
        milliseconds=one.p50,
        items_per_second=one.items_per_second,
        scope=_MODEL,
        elsewhere=False,
    )


def _whole_run(
    timings: Mapping[str, Any], signature: Mapping[str, str], data: str, accuracy: str
) -> Iterator[DeviceRow]:
    wall, plan = timings.get("wall_seconds"), str(timings.get("plan") or "")
    answered = timings.get("samples", 0) - timings.get("quarantined", 0) - timings.get("resumed_after", 0)
    batch = next((part.removeprefix("batch:") for part in plan.split("|") if part.startswith("batch:")), "1")
    if wall and answered > 0:
        computed = signature.get("device", "cpu")
        where = _processor(signature) if computed == "cpu" else computed
        device = " ".join(filter(None, (where, signature.get("backend"), signature.get("precision"))))
        yield DeviceRow(device, "", int(batch), data, accuracy, None, answered / wall, _WHOLE, elsewhere=False)


def _signature(signature: Mapping[str, str], npu: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What signed the NPU's numbers, and how ais_bench was called for each."""
    for name, value in signature.items():
        yield name.replace("_", " "), value
    for row in npu:
        yield f"ais_bench, {row['gear']}", " ".join(map(str, row["arguments"]))


def _processor(signature: Mapping[str, str]) -> str:
    """Without the number of threads, which the configuration says."""
    return signature.get("machine", "this machine").partition(",")[0]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
