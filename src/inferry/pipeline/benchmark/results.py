"""What `inferry bench` measured, as it stands in bench.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inferry.core.scores import Rate
from inferry.metrics.timings import PairedRatio, Quantiles


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How right the answers of one batch size were; rates are in percent.

    Attributes:
        rates: Of the scored samples, the task's main one first.
        scored: Samples with a reference and an answer.
        dropped: Samples with a reference that got no answer because they are longer than the recipe takes.
        main_with_dropped: The main rate when dropped samples count as well (of a transcript every word is missing);
            None where the task has no answer that stands for none.
    """

    rates: tuple[Rate, ...]
    scored: int
    dropped: int
    main_with_dropped: float | None

    @property
    def main(self) -> Rate:
        """The task's main rate."""
        return self.rates[0]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "rates": [rate.to_json() for rate in self.rates]}


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds of work for each second of sound, or for each sample where there is no sound.

    Attributes:
        read: Reading, decoding and resampling files that the system has cached.
        features: From sound in memory to the network's inputs.
        infer: The network, its batch's padding and answers that only a run alone could settle.
        decode: From outputs to answers.
    """

    read: float
    features: float
    infer: float
    decode: float

    def to_json(self) -> dict[str, float]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Startup:
    """A fresh process that opens the bundle and answers one batch of the longest sample.

    Attributes:
        first_result_seconds: From the start of the process to its first answer.
        peak_memory_bytes: Its greatest resident memory by then; pages of mapped files count.
        reason: Why there are no numbers; empty otherwise.
    """

    first_result_seconds: float | None
    peak_memory_bytes: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One configuration at one batch size.

    Attributes:
        batch_size: Most samples a batch.
        rounds: Measured.
        settled: Whether the median of the round times had settled.
        latency_ms: Of one batch of the mix, from features in memory to answers.
        items_per_second: Samples, by the median round.
        audio_seconds_per_second: Seconds of real sound, padding not counted; None where there is no sound.
        padding_efficiency: Real over padded elements, 1 without padding.
        stages: Where the time goes.
        startup: Of a process of its own.
        operations_per_second: Of the graph as executed, padding included; None where the graph has no known operation.
        fraction_of_ceiling: Of the large matrix product of the same backend and threads, at its best; None likewise.
        accuracy: None without references.
        dropped: Samples that the recipe refuses; empty for Inferry's own way.
    """

    batch_size: int
    rounds: int
    settled: bool
    latency_ms: Quantiles
    items_per_second: float
    audio_seconds_per_second: float | None
    padding_efficiency: float
    stages: Stages
    startup: Startup
    operations_per_second: float | None
    fraction_of_ceiling: float | None
    accuracy: Accuracy | None
    dropped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "batch_size": self.batch_size,
            "rounds": self.rounds,
            "settled": self.settled,
            "latency_ms": self.latency_ms.to_json(),
            "items_per_second": self.items_per_second,
            "audio_seconds_per_second": self.audio_seconds_per_second,
            "padding_efficiency": self.padding_efficiency,
            "stage_seconds": self.stages.to_json(),
            "peak_memory_bytes": self.startup.peak_memory_bytes,
            "first_result_seconds": self.startup.first_result_seconds,
            "startup_problem": self.startup.reason,
            "operations_per_second": self.operations_per_second,
            "fraction_of_ceiling": self.fraction_of_ceiling,
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "dropped": list(self.dropped),
        }


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The best of all rounds of two large matrix products; None where the backend cannot run one.

    Attributes:
        fp32: Operations per second of a float32 `MatMul`.
        int8: Operations per second of an 8-bit `MatMulInteger`.
    """

    fp32: float | None
    int8: float | None

    def of(self, precision: str) -> float | None:
        """The one that a network of this precision is held against."""
        return self.int8 if "int8" in precision else self.fp32

    def to_json(self) -> dict[str, float | None]:
        """A JSON object."""
        return {"fp32_operations_per_second": self.fp32, "int8_operations_per_second": self.int8}


@dataclass(frozen=True, slots=True)
class Ranking:
    """The batch sizes of one configuration.

    Attributes:
        fastest: With the highest median speed.
        as_fast: Those that tie with it, itself included, ascending.
    """

    fastest: int
    as_fast: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"fastest": self.fastest, "as_fast": list(self.as_fast)}


@dataclass(frozen=True, slots=True)
class ConfigurationResult:
    """All batch sizes of one configuration.

    Attributes:
        name: Distinct within the call.
        backend: Its name.
        precision: ``fp32`` …
        threads: Of the network.
        baseline: Whether this is the published recipe's way and not Inferry's.
        results: By batch size.
        ranking: Of the batch sizes.
        ceiling: Of this backend with these threads.
        signature: Of the backend: runtime, version, device, precision and threads really in use.
    """

    name: str
    backend: str
    precision: str
    threads: int
    baseline: bool
    results: tuple[Result, ...]
    ranking: Ranking
    ceiling: Ceiling
    signature: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "name": self.name,
            "backend": self.backend,
            "precision": self.precision,
            "threads": self.threads,
            "baseline": self.baseline,
            "results": [result.to_json() for result in self.results],
            "batch_sizes": self.ranking.to_json(),
            "ceiling": self.ceiling.to_json(),
            "signature": dict(self.signature),
        }


@dataclass(frozen=True, slots=True)
class Ratio:
    """The speed of one configuration over that of the first, at one batch size.

    Attributes:
        configuration: Its name.
        against: Name of the first one.
        batch_size: Of `against`, and of `configuration` unless it is the recipe, which knows single samples only.
        ratio: By seconds of real sound, or samples where there is no sound.
    """

    configuration: str
    against: str
    batch_size: int
    ratio: PairedRatio

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "configuration": self.configuration,
            "against": self.against,
            "batch_size": self.batch_size,
            **self.ratio.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The content of bench.json.

    Attributes:
        configurations: In the order of the call, the recipe last.
        ratios: Of each further configuration to the first, by batch size.
        ceiling: The best of all configurations.
        bundle: Its folder.
        bundle_bytes: Size of all its files.
        data: What was run, for people.
        samples: In one round.
        valid_seconds: Of real sound in one round; None where there is no sound.
        left_out: Samples that cannot be measured with, and why.
        uncounted: Operators that may multiply matrices and are not in the operation counts.
        signature: Machine, versions, bundle, seed, and the load of the last minute before the start.
        seconds: That the whole measurement took.
    """

    configurations: tuple[ConfigurationResult, ...]
    ratios: tuple[Ratio, ...]
    ceiling: Ceiling
    bundle: str
    bundle_bytes: int
    data: str
    samples: int
    valid_seconds: float | None
    left_out: tuple[str, ...]
    uncounted: tuple[str, ...]
    signature: Mapping[str, Any]
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "configurations": [one.to_json() for one in self.configurations],
            "ratios": [ratio.to_json() for ratio in self.ratios],
            "ceiling": self.ceiling.to_json(),
            "bundle_bytes": self.bundle_bytes,
            "samples": self.samples,
            "valid_seconds": self.valid_seconds,
            "left_out": list(self.left_out),
            "uncounted_operators": list(self.uncounted),
            "seconds": self.seconds,
            "accuracy_unit": "percent",
            "data": self.data,
            "bundle": self.bundle,
            "signature": dict(self.signature),
        }
