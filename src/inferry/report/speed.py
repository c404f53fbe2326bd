"""Throughput and latency over batch sizes, as `inferry bench` measured them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from inferry.report.fields import optional_float
from inferry.report.markup import NOTHING, TIMES, Markup, chart, count, decimal, element, join, note, section, table

_RATES: Final = 2
"""Of bench.json's rates the first ones have a column: the task's main one is the first."""

_NAMED: Final = 5
"""Samples that are named; of more there is the number."""


@dataclass(frozen=True)
class Measurement:
    """One configuration at one batch size.

    Attributes:
        configuration: Its name.
        baseline: Whether it is the old recipes' way.
        batch_size: Samples a batch.
        settled: Whether the median settled within the rounds.
        rounds: That were measured.
        p50: Milliseconds a batch, median.
        p90: Milliseconds, 90th percentile.
        p99: Milliseconds, 99th percentile.
        items_per_second: Samples.
        audio_seconds_per_second: Valid seconds of sound, never padded ones; None for other tasks.
        padding_efficiency: Valid over padded elements, 0 to 1.
        peak_memory: Bytes.
        first_result: Seconds from a process's start to its first result.
        fraction_of_ceiling: Operations a second over those of a large matrix product.
        rates: Percent by name, the main one first; empty where nothing was scored.
        main_with_dropped: Percent, the main rate when dropped samples count as well; None where the task has none.
        dropped: Samples that this configuration left out.
    """

    configuration: str
    baseline: bool
    batch_size: int
    settled: bool
    rounds: int
    p50: float
    p90: float
    p99: float
    items_per_second: float
    audio_seconds_per_second: float | None
    padding_efficiency: float | None
    peak_memory: float | None
    first_result: float | None
    fraction_of_ceiling: float | None
    rates: Mapping[str, float]
    main_with_dropped: float | None
    dropped: int

    @classmethod
    def from_json(cls, configuration: Mapping[str, Any], row: Mapping[str, Any]) -> "Measurement":
        """A result of bench.json with its configuration."""
        accuracy, latency = row.get("accuracy") or {}, row["latency_ms"]
        return cls(
            configuration=str(configuration["name"]),
            baseline=bool(configuration.get("baseline", False)),
            batch_size=int(row["batch_size"]),
            settled=bool(row["settled"]),
            rounds=int(row["rounds"]),
            p50=float(latency["p50"]),
            p90=float(latency["p90"]),
            p99=float(latency["p99"]),
            items_per_second=float(row["items_per_second"]),
            audio_seconds_per_second=optional_float(row, "audio_seconds_per_second"),
            padding_efficiency=optional_float(row, "padding_efficiency"),
            peak_memory=optional_float(row, "peak_memory_bytes"),
            first_result=optional_float(row, "first_result_seconds"),
            fraction_of_ceiling=optional_float(row, "fraction_of_ceiling"),
            rates={
                str(rate["name"]): float(rate["percent"])
                for rate in accuracy.get("rates", ())
                if rate["percent"] is not None
            },
            main_with_dropped=optional_float(accuracy, "main_with_dropped"),
            dropped=int(accuracy.get("dropped") or 0),
        )


@dataclass(frozen=True)
class Ratio:
    """How two configurations compare at one batch size: `median` times as fast, within `least` to `greatest`."""

    configuration: str
    against: str
    batch_size: int
    median: float
    least: float
    greatest: float
    verdict: str


@dataclass(frozen=True)
class Speed:
    """The content of bench.json.

    Attributes:
        source: The file it was read from.
        measurements: Of every configuration and batch size.
        ratios: Between configurations that ran in turn.
        data: What was measured with, a phrase.
        ceiling: Operations a second of a large matrix product, by precision.
        signature: Of the machine and the versions.
        remarks: What else a reader of the numbers should know, a sentence each.
    """

    source: str
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...]
    data: str
    ceiling: Mapping[str, float]
    signature: Mapping[str, str]
    remarks: tuple[str, ...] = ()

    @property
    def bundle(self) -> str:
        """Digest of the bundle that was measured; empty where the file does not say."""
        return self.signature.get("bundle", "")

    @classmethod
    def from_json(cls, row: Mapping[str, Any], source: str) -> "Speed":
        """The content of bench.json."""
        return cls(
            source=source,
            measurements=tuple(
                Measurement.from_json(configuration, result)
                for configuration in row["configurations"]
                for result in configuration["results"]
            ),
            ratios=tuple(Ratio(**{name: one[name] for name in Ratio.__annotations__}) for one in row.get("ratios", ())),
            data=str(row.get("data", "")),
            ceiling={
                name.removesuffix("_operations_per_second"): float(value)
                for name, value in row.get("ceiling", {}).items()
            },
            signature={str(key): str(value) for key, value in row.get("signature", {}).items()},
            remarks=tuple(_remarks(row)),
        )


def _remarks(row: Mapping[str, Any]) -> Iterator[str]:
    """What `inferry bench` says beside its numbers."""
    left_out = [str(one) for one in row.get("left_out", ())]
    if left_out:
        more = f"; and {len(left_out) - _NAMED:,} more" if len(left_out) > _NAMED else ""
        yield f"Not measured with: {'; '.join(left_out[:_NAMED])}{more}."
    if row.get("uncounted_operators"):
        yield f"Operators that are not in the operation counts: {', '.join(row['uncounted_operators'])}."
    problems = dict.fromkeys(
        str(result["startup_problem"])
        for configuration in row["configurations"]
        for result in configuration["results"]
        if result.get("startup_problem")
    )
    yield from (f"No first result: {problem}" for problem in problems)
    if row.get("bundle_bytes") is not None:
        yield f"The bundle has {float(row['bundle_bytes']) / 1e6:,.1f} MB."


def speed_section(labels: Sequence[str], speeds: Sequence[Speed | str]) -> Markup:
    """A table and two pictures per run; a string says why a run has no measurements."""
    several = len(labels) > 1
    parts = [
        join([*([element("h3", label)] if several else []), _one(speed)])
        for label, speed in zip(labels, speeds, strict=True)
    ]
    return section("Batch sizes", "speed", *parts)


def _one(speed: Speed | str) -> Markup:
    if isinstance(speed, str):
        return element("p", speed, class_="missing")
    points = [
        {
            "configuration": one.configuration,
            "batch": one.batch_size,
            "items": one.items_per_second,
            "p50": one.p50,
            "p90": one.p90,
            "p99": one.p99,
            "settled": one.settled,
        }
        for one in speed.measurements
    ]
    pictures = element(
        "div",
        chart("throughput", points, "Throughput in samples per second, by batch size. More is better."),
        chart("latency", points, "Latency of a batch in milliseconds: median, and a bar up to the 99th percentile."),
        class_="pair",
    )
    parts = [*([note(f"Measured on {speed.data}.")] if speed.data else []), _table(speed.measurements), pictures]
    if speed.ratios:
        parts.append(_ratios(speed.ratios))
    if any(not one.settled for one in speed.measurements):
        parts.append(note("* The median did not settle within the rounds (hollow in the pictures)."))
    if speed.ceiling:
        products = ", ".join(f"{name} {value / 1e9:,.0f}" for name, value in speed.ceiling.items())
        parts.append(note(f"Ceiling: a large matrix product in billion operations a second: {products}."))
    signature = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in speed.signature.items())
    return join([*parts, *map(note, speed.remarks), note(f"From {speed.source}: {signature}.")])


def _table(measurements: Sequence[Measurement]) -> Markup:
    accuracies, sound = _accuracy_columns(measurements), _sound_columns(measurements)
    columns = ["configuration", ">batch size", *(f">{name}" for name, _ in accuracies), ">items/s"]
    columns += [*(f">{name}" for name, _ in sound), ">p50 ms", ">p90 ms", ">p99 ms"]
    columns += [">padding efficiency", ">peak MB", ">first result s", ">of ceiling"]
    rows = [
        (
            "" if before is not None and before.configuration == one.configuration else _name(one),
            f"{one.batch_size}{'' if one.settled else ' *'}",
            *(cell(one) for _, cell in accuracies),
            decimal(one.items_per_second),
            *(cell(one) for _, cell in sound),
            *(decimal(value, 1) for value in (one.p50, one.p90, one.p99)),
            _percent(one.padding_efficiency),
            count(None if one.peak_memory is None else one.peak_memory / 1e6),
            decimal(one.first_result),
            _percent(one.fraction_of_ceiling),
        )
        for before, one in zip((None, *measurements), measurements, strict=False)
    ]
    return table(columns, rows)


_Columns = list[tuple[str, Callable[[Measurement], str]]]


def _accuracy_columns(measurements: Sequence[Measurement]) -> _Columns:
    """The first rates that any has; the main one also with what was dropped, where something was."""
    names = list(dict.fromkeys(name for one in measurements for name in one.rates))[:_RATES]
    columns: _Columns = [(f"{name} %", partial(_rate, name)) for name in names]
    if columns and any(one.dropped and one.main_with_dropped is not None for one in measurements):
        columns.insert(1, (f"{names[0]} with dropped %", lambda one: decimal(one.main_with_dropped)))
    return columns


def _rate(name: str, one: Measurement) -> str:
    return decimal(one.rates.get(name))


def _sound_columns(measurements: Sequence[Measurement]) -> _Columns:
    if all(one.audio_seconds_per_second is None for one in measurements):
        return []
    return [("audio s/s", lambda one: decimal(one.audio_seconds_per_second, 1))]


def _name(one: Measurement) -> str:
    return one.configuration + (f" ({one.dropped:,} dropped)" if one.dropped else "")


def _ratios(ratios: Sequence[Ratio]) -> Markup:
    rows = [
        (
            one.configuration,
            one.against,
            str(one.batch_size),
            f"{one.median:.2f} {TIMES}",
            f"{one.least:.2f} … {one.greatest:.2f}",
            one.verdict,
        )
        for one in ratios
    ]
    return table(["configuration", "against", ">batch size", ">speed", ">range over rounds", "verdict"], rows)


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"
