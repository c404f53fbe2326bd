"""Rows of the report's table of devices: what an NPU's machine measured, beside what was measured here."""

from collections.abc import Iterator, Mapping
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


def devices_of(run: Run, timings: Mapping[str, Any], accuracy: Accuracy, speed: Speed | str) -> Devices:
    """All that is known about a run's devices.

    Args:
        run: The run.
        timings: Its timings.json.
        accuracy: Its score.
        speed: What `inferry bench` measured for it, here; or a sentence that says how.

    Raises:
        RunError: timings.json is not as `inferry postprocess` writes it.
    """
    said, data = _rates(accuracy), Path(run.info["config"]["data"]).name
    npu = tuple(timings.get("npu") or ())
    signature = {str(name): str(value) for name, value in timings.get("signature", {}).items()}
    again = f"inferry postprocess, after removing {run.path}"
    rows = parse(
        lambda found: [_npu_row(row, signature, data, said) for row in found["npu"]],
        {"npu": npu},
        str(run.path / TIMINGS),
        again,
    )
    if isinstance(speed, Speed):
        rows += [_cpu_row(one, speed, data) for one in speed.measurements if not one.baseline]
    elif not npu:
        rows += list(_whole_run(timings, signature, data, said))
    return Devices(tuple(rows), tuple(_signature(signature, npu)) if npu else ())


def _rates(accuracy: Accuracy) -> str:
    return ", ".join(f"{rate.name} {rate.percent:.2f} %" for rate in accuracy.rates if rate.percent is not None)


def _npu_row(row: Mapping[str, Any], signature: Mapping[str, str], data: str, accuracy: str) -> DeviceRow:
    gear, batch = str(row["gear"]), int(row["batch"])
    precision = signature.get("precision", "")
    return DeviceRow(
        device=" ".join(filter(None, (signature.get("device", "NPU"), precision))),
        shape=gear.replace(f"_b{batch}", "", 1).removeprefix(_ONE_SHAPE),
        batch_size=batch,
        data=data,
        accuracy=accuracy,
        milliseconds=_float(row["compute_ms"]["median"] or row["compute_ms"]["mean"]),
        items_per_second=_float(row["samples_per_second"]),
        scope=_ON_DEVICE,
        elsewhere=True,
    )


def _cpu_row(one: Measurement, speed: Speed, data: str) -> DeviceRow:
    rates = ", ".join(f"{name} {percent:.2f} %" for name, percent in one.rates.items())
    return DeviceRow(
        device=" ".join(filter(None, (_processor(speed.signature), one.configuration))),
        shape="",
        batch_size=one.batch_size,
        data=data,
        accuracy=rates,
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
        device = " ".join(filter(None, (_processor(signature), signature.get("backend"), signature.get("precision"))))
        yield DeviceRow(device, "", int(batch), data, accuracy, None, answered / wall, _WHOLE, elsewhere=False)


def _signature(signature: Mapping[str, str], npu: tuple[Mapping[str, Any], ...]) -> Iterator[tuple[str, str]]:
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
