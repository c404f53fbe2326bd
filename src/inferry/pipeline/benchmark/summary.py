"""From measured rounds to the numbers of bench.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from inferry.core.samples import Prediction, Transcription
from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import Utterance
from inferry.metrics.timings import Quantiles, paired_ratio, quantiles
from inferry.pipeline.benchmark.cells import Task
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


@dataclass(frozen=True)
class Measured:
    """One cell with all that was measured of it.

    Attributes:
        task: What ran.
        series: Its rounds.
        operations: Of the graph in one round; 0 where none is known.
        startup: Of a process of its own.
    """

    task: Task
    series: Series
    operations: int
    startup: Startup

    @property
    def speeds(self) -> list[float]:
        """Of each round: seconds of real sound a second, or samples where there is no sound."""
        return [self.task.amount / seconds for seconds in self.series.seconds]

    @property
    def seconds(self) -> float:
        """Of the median round."""
        return median(self.series.seconds)


def configuration_results(
    compared: Sequence[Configuration],
    measured: Sequence[Measured],
    ceilings: Sequence[Ceiling],
    signatures: Sequence[Mapping[str, Any]],
) -> tuple[ConfigurationResult, ...]:
    """All results by configuration.

    Args:
        compared: The configurations.
        measured: Their cells, in any order.
        ceilings: One a configuration.
        signatures: Likewise.
    """
    made = []
    for one, ceiling, signature in zip(compared, ceilings, signatures, strict=True):
        cells = [cell for cell in measured if cell.task.configuration is one]
        results = tuple(_result(cell, ceiling.of(one.precision)) for cell in cells)
        baseline = one.recipe is not None
        made.append(
            ConfigurationResult(
                one.name, one.backend, one.precision, one.threads, baseline, results, rank(cells), ceiling, signature
            )
        )
    return tuple(made)


def rank(cells: Sequence[Measured]) -> Ranking:
    """The fastest batch size, and those that tie with it."""
    fastest = max(cells, key=lambda cell: median(cell.speeds))
    ties = [
        cell.task.batch_size
        for cell in cells
        if cell is fastest or paired_ratio(cell.speeds, fastest.speeds).verdict == "tie"
    ]
    return Ranking(fastest.task.batch_size, tuple(sorted(ties)))


def ratios_to_first(compared: Sequence[Configuration], measured: Sequence[Measured]) -> tuple[Ratio, ...]:
    """Each further configuration against the first one at the same batch size.

    The recipe knows single samples only; it stands against each batch size of the first.
    """
    first = [cell for cell in measured if cell.task.configuration is compared[0]]
    return tuple(
        Ratio(one.name, compared[0].name, own.task.batch_size, paired_ratio(cell.speeds, own.speeds))
        for one in compared[1:]
        for own in first
        for cell in measured
        if cell.task.configuration is one and (one.recipe is not None or cell.task.batch_size == own.task.batch_size)
    )


def _result(cell: Measured, ceiling: float | None) -> Result:
    task, rounds = cell.task, cell.series.passes
    sound = valid_seconds(task.items)
    speed = cell.operations / cell.seconds if cell.operations else None
    return Result(
        batch_size=task.batch_size,
        rounds=len(rounds),
        settled=cell.series.settled,
        latency_ms=_latency(cell.series),
        items_per_second=len(task.items) / cell.seconds,
        audio_seconds_per_second=None if sound is None else sound / cell.seconds,
        padding_efficiency=task.padding_efficiency,
        stages=_stages(cell),
        startup=cell.startup,
        operations_per_second=speed,
        fraction_of_ceiling=None if speed is None or ceiling is None else speed / ceiling,
        accuracy=accuracy(task.items, task.dropped, cell.series.warm_up.predictions),
        dropped=tuple(item.sample.id for item in task.dropped),
    )


def _latency(series: Series) -> Quantiles:
    return quantiles([1000 * batch.seconds for one in series.passes for batch in one.batches])


def _stages(cell: Measured) -> Stages:
    """Medians over the rounds; reading and features do not depend on the round."""
    items, amount = cell.task.items, cell.task.amount
    infer = median(sum(batch.infer_seconds for batch in one.batches) for one in cell.series.passes)
    decode = median(sum(batch.decode_seconds for batch in one.batches) for one in cell.series.passes)
    return Stages(
        read=sum(item.read_seconds for item in items) / amount,
        features=sum(item.features_seconds for item in items) / amount,
        infer=infer / amount,
        decode=decode / amount,
    )


def accuracy(items: Sequence[Item], dropped: Sequence[Item], predictions: Mapping[str, Prediction]) -> Accuracy | None:
    """Error rates of transcripts, with and without what was dropped; None without references."""
    answered = [
        Utterance(item.sample.id, item.sample.reference, prediction.text)
        for item in items
        if item.sample.reference is not None and isinstance(prediction := predictions[item.sample.id], Transcription)
    ]
    lost = [
        Utterance(item.sample.id, item.sample.reference, "") for item in dropped if item.sample.reference is not None
    ]
    if not answered:
        return None
    score, whole = score_speech(answered), score_speech([*answered, *lost])
    return Accuracy(score.wer.rate, score.cer.rate, len(answered), len(lost), whole.wer.rate)
