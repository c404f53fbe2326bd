"""One configuration at one batch size: what it runs in each round, and what of it is sound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from inferry.core.errors import DatasetError
from inferry.core.protocols import OldRecipe
from inferry.pipeline.benchmark.configurations import Configuration
from inferry.pipeline.benchmark.recipe import recipe_features, recipe_outputs
from inferry.pipeline.benchmark.rounds import Answers, Cell, Clock, Pass
from inferry.pipeline.benchmark.workload import Item, Workload, pack, valid_seconds
from inferry.pipeline.execution import require_finite
from inferry.pipeline.model import Model

BatchAnswer = Callable[[Sequence[Item]], Answers]


@dataclass(frozen=True)
class Job:
    """What one cell of the measurement is.

    Attributes:
        configuration: How the bundle is opened.
        batch_size: Most samples a batch.
        batches: Of the workload, the longest first.
        padded: Rows and length that each batch is padded to.
        dropped: Samples that the recipe refuses.
        run: Does it once.
    """

    configuration: Configuration
    batch_size: int
    batches: tuple[tuple[Item, ...], ...]
    padded: tuple[tuple[int, int], ...]
    dropped: tuple[Item, ...]
    run: Cell

    @property
    def items(self) -> tuple[Item, ...]:
        """All that run."""
        return tuple(item for batch in self.batches for item in batch)

    @property
    def amount(self) -> float:
        """What speeds are compared by: seconds of real sound, or samples where there is no sound."""
        return valid_seconds(self.items) or float(len(self.items))

    @property
    def padding_efficiency(self) -> float:
        """Real over padded elements."""
        valid = sum(item.features.length for item in self.items)
        return valid / sum(rows * length for rows, length in self.padded)


def own_job(
    configuration: Configuration, model: Model, workload: Workload, batch_size: int, clock: Clock = perf_counter
) -> Job:
    """The workload as `inferry infer` runs it with that batch size."""
    batches = pack(model, workload.items, batch_size)
    padded = tuple(model.padded_size([item.features for item in batch]) for batch in batches)
    run = partial(_pass_over, batches, partial(_answer, model, clock))
    return Job(configuration, batch_size, batches, padded, (), run)


def recipe_job(
    configuration: Configuration, model: Model, workload: Workload, recipe: OldRecipe, clock: Clock = perf_counter
) -> Job:
    """The workload as the published recipe runs it: one sample at a time, padded; without those that are too long.

    Raises:
        DatasetError: All are too long.
    """
    kept = [item for item in workload.items if item.features.length <= recipe.length]
    dropped = tuple(item for item in workload.items if item.features.length > recipe.length)
    if not kept:
        raise DatasetError(
            f"the recipe drops all {len(dropped)} samples: it takes no more than {recipe.length:,} elements;"
            " use data with shorter samples, or leave --baseline out"
        )
    batches = tuple((item,) for item in kept)
    run = partial(_pass_over, batches, partial(_answer_as_recipe, model, recipe, clock))
    return Job(configuration, 1, batches, ((1, recipe.length),) * len(kept), dropped, run)


def _pass_over(batches: Sequence[tuple[Item, ...]], answer: BatchAnswer) -> Pass:
    return Pass(tuple(answer(batch) for batch in batches))


def _answer(model: Model, clock: Clock, batch: Sequence[Item]) -> Answers:
    """As in `inferry infer`: near ties are run again alone, and that counts."""
    start = clock()
    outputs = model.run_batch([item.features for item in batch])
    infer = clock() - start
    predictions = {}
    decode = 0.0
    for item, output in zip(batch, outputs, strict=True):
        begin = clock()
        require_finite(output)
        settled = len(batch) == 1 or model.is_settled(output)
        decode += clock() - begin
        begin = clock()
        final = output if settled else model.run_batch([item.features])[0]
        infer += clock() - begin
        begin = clock()
        predictions[item.sample.id] = model.decoder.decode(final)
        decode += clock() - begin
    return Answers(predictions, infer, decode)


def _answer_as_recipe(model: Model, recipe: OldRecipe, clock: Clock, batch: Sequence[Item]) -> Answers:
    (item,) = batch
    start = clock()
    (outputs,) = model.run_batch([recipe_features(model, item.features, recipe)])
    ran = clock()
    cut = recipe_outputs(model, outputs, item.features, recipe)
    prediction = model.decoder.decode(cut)
    return Answers({item.sample.id: prediction}, ran - start, clock() - ran)
