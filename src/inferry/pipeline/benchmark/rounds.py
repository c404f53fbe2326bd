"""The rounds of `inferry bench`: everything in turn, until the medians settle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Final

from inferry.core.samples import Prediction
from inferry.metrics.timings import LEAST_ROUNDS, is_settled

Clock = Callable[[], float]

_REST_SECONDS: Final = 0.1
"""ONNX Runtime's threads look out for more work for some 40 ms after a run, each on a processor of its own."""


def rest() -> None:
    """Let the threads of the session that ran last fall asleep: they would slow down whatever runs next."""
    sleep(_REST_SECONDS)


@dataclass(frozen=True, slots=True)
class Answers:
    """One batch.

    Attributes:
        predictions: By sample id.
        infer_seconds: In the network.
        decode_seconds: In the decoder.
    """

    predictions: Mapping[str, Prediction]
    infer_seconds: float
    decode_seconds: float

    @property
    def seconds(self) -> float:
        """Latency: from features in memory to answers."""
        return self.infer_seconds + self.decode_seconds


@dataclass(frozen=True, slots=True)
class Pass:
    """The workload once at one batch size.

    Attributes:
        batches: In the order in which they ran.
    """

    batches: tuple[Answers, ...]

    @property
    def seconds(self) -> float:
        """Of all batches."""
        return sum(batch.seconds for batch in self.batches)

    @property
    def predictions(self) -> dict[str, Prediction]:
        """Of all batches, by sample id."""
        return {key: value for batch in self.batches for key, value in batch.predictions.items()}


Cell = Callable[[], Pass]
"""Runs the workload once: one configuration at one batch size."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When the rounds end.

    Attributes:
        most: Rounds at most.
        seconds: After these no further round begins, once there are `LEAST_ROUNDS`.
    """

    most: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Series:
    """All measured rounds of one cell.

    Attributes:
        warm_up: The first pass, which counts for nothing but its predictions.
        passes: The rounds.
    """

    warm_up: Pass
    passes: tuple[Pass, ...]

    @property
    def seconds(self) -> list[float]:
        """Of each round."""
        return [one.seconds for one in self.passes]

    @property
    def settled(self) -> bool:
        """Whether the median of the rounds had settled."""
        return is_settled(self.seconds)


def in_turn(groups: Sequence[Sequence[int]], count: int) -> list[int]:
    """The order of round `count`: members of a group run next to each other, begun by another member each time.

    Every second round takes the groups backwards, so that none always follows the same one.
    """
    order = list(groups) if count % 2 == 0 else list(reversed(groups))
    return [group[(place + count) % len(group)] for group in order for place in range(len(group))]


def run_rounds(
    cells: Sequence[Cell],
    groups: Sequence[Sequence[int]],
    rules: Rules,
    *,
    beside: Callable[[], None] = lambda: None,
    pause: Callable[[], None] = lambda: None,
    progress: Callable[[str], None] = lambda _: None,
    clock: Clock = perf_counter,
) -> list[Series]:
    """Run every cell once to warm up, then in rounds until all have settled or the rules end it.

    Args:
        cells: What to run.
        groups: Places in `cells` that are compared with each other; every place stands in one group.
        rules: When to end.
        beside: Runs once in each round too (the ceiling).
        pause: Goes before each pass.
        progress: Is told what goes on.
        clock: Seconds.
    """
    progress("warming up")
    warm = {place: cells[place]() for place in in_turn(groups, 0)}
    passes: list[list[Pass]] = [[] for _ in cells]
    start = clock()
    for count in range(rules.most):
        for done, place in enumerate(in_turn(groups, count)):
            progress(f"round {count + 1} of at most {rules.most}, {done + 1}/{len(cells)}")
            pause()
            passes[place].append(cells[place]())
        beside()
        late = clock() - start >= rules.seconds and count + 1 >= LEAST_ROUNDS
        if late or all(is_settled([one.seconds for one in series]) for series in passes):
            break
    return [Series(warm[place], tuple(series)) for place, series in enumerate(passes)]
