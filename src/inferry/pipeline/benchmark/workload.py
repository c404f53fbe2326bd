"""What a round of `inferry bench` runs: samples of the data set's real length mix, or noise of one length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np

from inferry.core.bundle import PROCESSOR, Bundle
from inferry.core.errors import BackendError, DatasetError, SampleError, UsageError
from inferry.core.protocols import OldRecipe
from inferry.core.samples import Audio, Features, Rejected, Sample
from inferry.datasets.registry import open_dataset
from inferry.pipeline.compiled_plan import compiled_plan
from inferry.pipeline.engine import rejected
from inferry.pipeline.execution import axis_name
from inferry.pipeline.model import Model
from inferry.pipeline.plan import first, measure_lengths, most_padded
from inferry.planning.batches import pack_batches
from inferry.planning.make import make_plan

SEED: Final = 0
"""Of the choice of samples and of the noise."""

_MOST_NOISE: Final = 36_000
"""Seconds of noise in all: 2.3 GB at 16 kHz."""


@dataclass(frozen=True, eq=False)
class Item:
    """One sample of the workload, ready to run.

    Attributes:
        sample: Its id, source and reference.
        features: The network's inputs.
        read_seconds: What reading took.
        features_seconds: What the features took.
    """

    sample: Sample
    features: Features
    read_seconds: float
    features_seconds: float


@dataclass(frozen=True)
class Pool:
    """Samples that a workload can be chosen from.

    Attributes:
        samples: By index, each with a readable length.
        lengths: Along the planned axis, by the same index.
        left_out: Those without a readable length.
        description: For people.
    """

    samples: Mapping[int, Sample]
    lengths: Mapping[int, int]
    left_out: tuple[Rejected, ...]
    description: str


@dataclass(frozen=True)
class Workload:
    """What every round runs.

    Attributes:
        items: In data set order.
        left_out: Samples of the data set that cannot be measured with, each a sentence.
        description: What it is, for people.
    """

    items: tuple[Item, ...]
    left_out: tuple[str, ...]
    description: str

    @property
    def valid_seconds(self) -> float | None:
        """Seconds of real sound; None where there is no sound."""
        return valid_seconds(self.items)


def valid_seconds(items: Sequence[Item]) -> float | None:
    """Seconds of real sound in some samples; None where any has none."""
    seconds = [item.features.seconds for item in items]
    known = [one for one in seconds if one is not None]
    return sum(known) if len(known) == len(seconds) else None


def data_pool(model: Model, data: Path, limit: int | None = None, kind: str | None = None) -> Pool:
    """The samples of a data set that run whole; `inferry infer` cuts longer ones into windows of their own lengths.

    Raises:
        DatasetError: The data set cannot be read, or no sample has a readable length.
    """
    dataset = first(open_dataset(data, kind), limit)
    lengths, bad = measure_lengths(model, dataset.items, range(len(dataset.items)))
    samples = {i: item for i in lengths if isinstance(item := dataset.items[i], Sample)}
    for index, sample in list(samples.items()):
        if len(model.cut(sample.source)) > 1:
            problem = SampleError("process", "it is too long to run whole, and its windows are not measured")
            bad.append(rejected(samples.pop(index), problem))
            del lengths[index]
    if not lengths:
        raise DatasetError(f"{data}: none of its {len(dataset.items)} samples can be measured with: {bad[0].reason}")
    return Pool(samples, lengths, tuple(bad), str(data))


def noise_pool(model: Model, seconds: float, count: int) -> Pool:
    """So many sounds of seeded noise, each of the same duration.

    Raises:
        UsageError: The bundle takes no sounds, or the duration is not above 0, too short for the network, or too long
            for the memory.
    """
    rate = sampling_rate(model.bundle)
    if rate is None:
        raise UsageError(
            f"--seconds is for sounds, and the task of this bundle is {model.bundle.manifest.task}:"
            " name a data set with --data PATH"
        )
    if not seconds > 0:
        raise UsageError(f"--seconds must be above 0, not {seconds:g}")
    if seconds * count > _MOST_NOISE:
        raise UsageError(
            f"--seconds {seconds:g}: {count:,} samples of it are more than the {_MOST_NOISE:,} s that fit into memory;"
            " make --seconds, --samples or the largest of --batch-sizes smaller"
        )
    samples = {index: Sample(f"noise-{index:03}", noise(seconds, rate, index)) for index in range(count)}
    try:
        length = model.processor.measure(samples[0].source)
    except SampleError as error:
        raise UsageError(f"--seconds {seconds:g} does not do: {error.reason}") from error
    return Pool(samples, dict.fromkeys(samples, length), (), f"noise of {seconds:g} s")


def noise(seconds: float, rate: int, index: int) -> Audio:
    """Seeded noise of that duration, mono float32, another one for each index."""
    generator = np.random.default_rng((SEED, index))
    count = max(1, round(seconds * rate))
    return Audio((0.1 * generator.standard_normal(count)).astype(np.float32), rate)


def sampling_rate(bundle: Bundle) -> int | None:
    """Samples a second that the bundle's network takes; None where it takes no sounds."""
    rate = bundle.read_json(PROCESSOR).get("input", {}).get("sampling_rate")
    return None if rate is None else int(rate)


def stratified(lengths: Mapping[int, int], count: int, seed: int = SEED) -> list[int]:
    """So many indices whose lengths are spread as those of all are, in ascending order.

    The indices, sorted by length, are cut into `count` strata of equal size; one is drawn from each. All are taken if
    there are no more than `count`.
    """
    ordered = sorted(lengths, key=lambda index: (lengths[index], index))
    if count >= len(ordered):
        return sorted(ordered)
    edges = np.linspace(0, len(ordered), count + 1).round().astype(int).tolist()
    generator = np.random.default_rng(seed)
    return sorted(ordered[int(generator.integers(low, high))] for low, high in pairwise(edges))


def make_workload(model: Model, pool: Pool, count: int) -> Workload:
    """Read and process the chosen samples.

    A sample that cannot be processed, or that is answered without the network (silence), is left out and named.

    Raises:
        DatasetError: None is left.
    """
    left_out = [f"{row.id}: {row.reason}" for row in pool.left_out]
    items = []
    chosen = stratified(pool.lengths, count)
    for index in chosen:
        sample = pool.samples[index]
        try:
            item = load_item(model, sample)
            model.padded_size([item.features])  # Refuses what no compiled shape takes.
        except SampleError as error:
            left_out.append(f"{sample.id}: {rejected(sample, error).reason}")
            continue
        except BackendError as error:
            left_out.append(f"{sample.id}: {error}")
            continue
        if item.features.answer is not None:
            left_out.append(f"{sample.id}: it is answered without the network")
            continue
        items.append(item)
    if not items:
        raise DatasetError(f"{pool.description}: no sample of {len(chosen)} can be measured with; {left_out[-1]}")
    return Workload(tuple(items), tuple(left_out), _describe(pool, items))


def load_item(model: Model, sample: Sample) -> Item:
    """One sample, read twice and processed once.

    The second reading counts, when the system has the file in memory. The first processing counts: a processor may keep
    what took it long (the regions of a picture, for the next question about it).

    Raises:
        SampleError: The sample is bad.
    """
    model.processor.read(sample.source)
    start = perf_counter()
    in_memory = model.processor.read(sample.source)
    read = perf_counter()
    features = model.processor.process(in_memory)
    return Item(sample, features, read - start, perf_counter() - read)


def _describe(pool: Pool, items: Sequence[Item]) -> str:
    ids = [item.sample.id for item in items]
    if len(items) == len(pool.samples):
        return f"{pool.description}: " + ("its only sample" if len(items) == 1 else f"all {len(items):,} samples")
    shown = ", ".join(chain(ids[:3], ["…"] if len(ids) > 3 else []))
    over = "all lengths" if len(set(pool.lengths.values())) > 1 else "the data set"
    return f"{pool.description}: {len(items)} of {len(pool.samples)} samples, spread over {over}, seed {SEED} ({shown})"


def pack(model: Model, items: Sequence[Item], batch_size: int) -> tuple[tuple[Item, ...], ...]:
    """The items in the batches that `inferry infer` makes of them, the longest first.

    Raises:
        UsageError: The bundle was compiled for smaller batches only.
    """
    axis = axis_name(model.bundle.manifest.inputs)
    lengths = {index: item.features.length for index, item in enumerate(items)}
    if model.compiled is not None:
        plan = compiled_plan(model.compiled, axis, list(lengths.values()), batch_size)
        if plan.batch_size < batch_size:
            raise UsageError(
                f"--batch-sizes {batch_size}: {model.compiled.key} was compiled for batches of at most"
                f" {plan.batch_size}: name smaller ones, or compile for it"
            )
    else:
        cap = most_padded(axis, lengths, automatic=False)
        plan = make_plan(lengths.values(), axis=axis, batch_size=batch_size, max_padded=cap)
    packing = pack_batches(lengths.values(), plan)
    return tuple(tuple(items[index] for index in batch.indices) for batch in packing.batches)


def fitting_count(
    model: Model, pool: Pool, seconds: float, *, passes: int, recipe: OldRecipe | None, multiple: int
) -> int:
    """How many samples let a round last about so long: a multiple of the largest batch size, at least one such batch.

    Judged by one sample of middle length, run twice; the first run does not count.

    Args:
        model: Runs it.
        pool: The samples.
        seconds: Of a round.
        passes: How often a round runs the workload.
        recipe: Whether the recipe runs it once more, and how long its samples are.
        multiple: The largest batch size.
    """
    ordered = sorted(pool.lengths, key=lambda index: pool.lengths[index])
    try:
        features = load_item(model, pool.samples[ordered[len(ordered) // 2]]).features
    except SampleError:
        # Whoever makes the workload meets it again and says so.
        return multiple
    model.run_batch([features])
    start = perf_counter()
    model.run_batch([features])
    per_element = (perf_counter() - start) / features.length
    mean = sum(pool.lengths.values()) / len(pool.lengths)
    once = per_element * (passes * mean + (0 if recipe is None else recipe.length))
    return max(1, int(seconds / once) // multiple) * multiple
