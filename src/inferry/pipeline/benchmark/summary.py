"""From measured rounds to the numbers of bench.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from inferry.core.bundle import Bundle
from inferry.core.samples import Prediction
from inferry.core.scores import Answered
from inferry.metrics.timings import Quantiles, paired_ratio, quantiles
from inferry.pipeline.benchmark.cells import Job
from inferry.pipeline.benchmark.configurations import Configuration
from inferry.pipeline.benchmark.results import (
    Accuracy,
    Ceiling,
    ConfigurationResult,
    Ranking,
    Ratio,
    Result,
    Stages,
    Startup,
)
from inferry.pipeline.benchmark.rounds import Series
from inferry.pipeline.benchmark.workload import Item, valid_seconds
from inferry.pipeline.model import Model
from inferry.pipeline.tasks.registry import get_task


@dataclass(frozen=True)
class Measured:
    """One cell with all that was measured of it.

    Attributes:
        job: What ran.
        series: Its rounds.
        operations: Of the graph in one round; 0 where none is known.
        startup: Of a process of its own.
    """

    job: Job
    series: Series
    operations: int
    startup: Startup

    @property
    def speeds(self) -> list[float]:
        """Of each round: seconds of real sound a second, or samples where there is no sound."""
        return [self.job.amount / seconds for seconds in self.series.seconds]

    @property
    def seconds(self) -> float:
        """Of the median round."""
        return median(self.series.seconds)


def configuration_results(
    bundle: Bundle,
    compared: Sequence[Configuration],
    measured: Sequence[Measured],
    ceilings: Sequence[Ceiling],
    signatures: Sequence[Mapping[str, Any]],
) -> tuple[ConfigurationResult, ...]:
    """All results by configuration.

    Args:
        bundle: That was measured.
        compared: The configurations.
        measured: Their cells, in any order.
        ceilings: One a configuration.
        signatures: Likewise.
    """
    made = []
    for one, ceiling, signature in zip(compared, ceilings, signatures, strict=True):
        cells = [cell for cell in measured if cell.job.configuration is one]
        results = tuple(_result(bundle, cell, ceiling.of(one.precision)) for cell in cells)
        baseline = one.recipe is not None
        made.append(
            ConfigurationResult(
                one.name,
                one.backend,
                one.precision,
                one.network_threads,
                baseline,
                results,
                rank(cells),
                ceiling,
                signature,
            )
        )
    return tuple(made)


def rank(cells: Sequence[Measured]) -> Ranking:
    """The fastest batch size, and those that tie with it."""
    fastest = max(cells, key=lambda cell: median(cell.speeds))
    ties = [
        cell.job.batch_size
        for cell in cells
        if cell is fastest or paired_ratio(cell.speeds, fastest.speeds).verdict == "tie"
    ]
    return Ranking(fastest.job.batch_size, tuple(sorted(ties)))


def ratios_to_first(compared: Sequence[Configuration], measured: Sequence[Measured]) -> tuple[Ratio, ...]:
    """Each further configuration against the first one at the same batch size.

    The recipe knows single samples only; it stands against each batch size of the first.
    """
    first = [cell for cell in measured if cell.job.configuration is compared[0]]
    return tuple(
        Ratio(one.name, compared[0].name, own.job.batch_size, paired_ratio(cell.speeds, own.speeds))
        for one in compared[1:]
        for own in first
        for cell in measured
        if cell.job.configuration is one and (one.recipe is not None or cell.job.batch_size == own.job.batch_size)
    )


def _result(bundle: Bundle, cell: Measured, ceiling: float | None) -> Result:
    job, rounds = cell.job, cell.series.passes
    sound = valid_seconds(job.items)
    speed = cell.operations / cell.seconds if cell.operations else None
    return Result(
        batch_size=job.batch_size,
        rounds=len(rounds),
        settled=cell.series.settled,
        latency_ms=_latency(cell.series),
        items_per_second=len(job.items) / cell.seconds,
        audio_seconds_per_second=None if sound is None else sound / cell.seconds,
        padding_efficiency=job.padding_efficiency,
        stages=_stages(cell),
        startup=cell.startup,
        operations_per_second=speed,
        fraction_of_ceiling=None if speed is None or ceiling is None else speed / ceiling,
        accuracy=accuracy(bundle, job.items, job.dropped, cell.series.warm_up.predictions),
        dropped=tuple(item.sample.id for item in job.dropped),
    )


def _latency(series: Series) -> Quantiles:
    return quantiles([1000 * batch.seconds for one in series.passes for batch in one.batches])


def _stages(cell: Measured) -> Stages:
    """Medians over the rounds; reading and features do not depend on the round."""
    items, amount = cell.job.items, cell.job.amount
    infer = median(sum(batch.infer_seconds for batch in one.batches) for one in cell.series.passes)
    decode = median(sum(batch.decode_seconds for batch in one.batches) for one in cell.series.passes)
    return Stages(
        read=sum(item.read_seconds for item in items) / amount,
        features=sum(item.features_seconds for item in items) / amount,
        infer=infer / amount,
        decode=decode / amount,
    )


def accuracy(
    bundle: Bundle, items: Sequence[Item], dropped: Sequence[Item], predictions: Mapping[str, Prediction]
) -> Accuracy | None:
    """How right answers are, with and without what was dropped; None without references.

    Args:
        bundle: Knows its task and what scoring needs.
        items: Samples that were answered.
        dropped: Samples that were not.
        predictions: By the ids of `items`.

    Raises:
        RunError: A reference is none of this network's.
    """
    task, files = get_task(bundle.manifest.task), bundle.text_files()
    answered = [one for item in items if (one := _answered(item, predictions[item.sample.id])) is not None]
    if not answered:
        return None
    score, stand_in = task.score(answered, files), task.dropped()
    lost = [item for item in dropped if item.sample.reference is not None]
    whole = None
    if stand_in is not None:
        with_lost = [*answered, *(one for item in lost if (one := _answered(item, stand_in)) is not None)]
        whole = task.score(with_lost, files, resamples=1).rates[0].percent
    return Accuracy(score.rates, score.scored, len(lost), whole)


def _answered(item: Item, prediction: Prediction) -> Answered | None:
    """None where nobody says what the sample is."""
    sample = item.sample
    return None if sample.reference is None else Answered(sample.id, sample.reference, prediction.to_json())


def require_references(model: Model, items: Sequence[Item]) -> None:
    """Before the rounds and not after them: every reference must be one of this network's, whatever the answers are.

    Raises:
        RunError: One is not.
    """
    answer = model.decoder.decode(model.run_batch([items[0].features])[0])
    accuracy(model.bundle, items, (), {item.sample.id: answer for item in items})
