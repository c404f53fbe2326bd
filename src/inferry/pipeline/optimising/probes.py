"""A bundle's own probes: what its graph is proven on, and the answers that a rewritten graph must give again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferry.core.bundle import PROCESSOR, Bundle
from inferry.core.errors import UsageError
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Features
from inferry.core.specs import BATCH, Array, TensorSpec
from inferry.core.tolerances import LOGITS
from inferry.models.registry import get_recipe
from inferry.pipeline.comparison.hops import Hop, Meter
from inferry.pipeline.execution import collate, planned_axis, separate
from inferry.pipeline.model import Model
from inferry.pipeline.optimising.cases import Case
from inferry.pipeline.tasks.registry import get_task

_BACKEND: Final = "onnxruntime"
_FAR: Final = 2  # times the longest probe: padding that no batch of the probes has by itself


@dataclass(frozen=True)
class Batch:
    """Some probes together, as a graph takes them.

    Attributes:
        name: For people.
        rows: Indices of the probes; the batch may have further rows, which repeat them.
        case: The inputs.
    """

    name: str
    rows: tuple[int, ...]
    case: Case


@dataclass(frozen=True)
class BundleProbes:
    """What a bundle was asked.

    Attributes:
        bundle: That was asked.
        batches: Each probe alone, all in a mixed batch, and that padded far; as far as sizes leave a choice.
        truth: The bundle's outputs on each probe alone and unpadded, with the runtime's own rewrites.
        left_out: How many probes are larger than the sizes that were asked for.
    """

    bundle: Bundle
    batches: tuple[Batch, ...]
    truth: tuple[Mapping[str, Array], ...]
    left_out: int = 0

    @property
    def cases(self) -> tuple[Case, ...]:
        """The inputs that a pass is proven on: where there are batches, one probe alone stands for all of them."""
        several = tuple(batch.case for batch in self.batches if len(batch.rows) > 1)
        return (self.batches[0].case, *several) if several else tuple(batch.case for batch in self.batches)


def ask(bundle: Bundle, sizes: Mapping[str, int]) -> BundleProbes:
    """Open a bundle as users do, and have it answer its recipe's probes.

    Args:
        bundle: Any.
        sizes: Of dynamic dimensions, by name, that are to be the only ones.

    Raises:
        UsageError: No probe fits the sizes.
    """
    recipe = get_recipe(bundle.manifest.family)
    with Model(bundle, _BACKEND, SessionOptions()) as model:
        all_of_them = [model.processor.process(probe) for probe in recipe.probes(bundle.read_json(PROCESSOR))]
        needed = [_sizes([one], bundle.manifest.inputs) for one in all_of_them]
        fits = [
            one
            for one, own in zip(all_of_them, needed, strict=True)
            if all(size <= sizes.get(name, size) for name, size in own.items())
        ]
        if not fits:
            raise UsageError(f"no probe of {recipe.family} fits --sizes: {_smallest(needed, sizes)}")
        truth = tuple(model.run_batch([one])[0] for one in fits)
        batches = tuple(_batches(fits, bundle.manifest.inputs, sizes))
        return BundleProbes(bundle, batches, truth, len(all_of_them) - len(fits))


def compare_answers(probes: BundleProbes, written: Bundle) -> tuple[Hop, ...]:
    """Ask a rewritten bundle the same, as users run it, alone and in batches.

    Raises:
        ParityError: Its outputs have another shape.
    """
    manifest = probes.bundle.manifest
    task, files = get_task(manifest.task), written.text_files()
    meters: dict[str, Meter] = {}
    with Model(written, _BACKEND, SessionOptions()) as model:
        for batch in probes.batches:
            if batch.name not in meters:
                meters[batch.name] = Meter(batch.name, model.decoder, LOGITS["fp32"], task, files)
            # The old manifest: it still says which dimension the lengths belong to.
            outputs = separate(model.run(batch.case.inputs), manifest.outputs)
            for index, found in zip(batch.rows, outputs, strict=False):
                meters[batch.name].add(f"probe {index}", probes.truth[index], found)
    return tuple(meter.hop() for meter in meters.values())


def _batches(features: Sequence[Features], specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> Iterable[Batch]:
    """Each alone, then together, then padded beyond the longest of them."""
    for index, one in enumerate(features):
        yield _batch("alone", [index], [one], specs, sizes)
    rows = sizes.get(BATCH, len(features))
    several = list(range(min(rows, len(features))))
    chosen = [features[index] for index in several]
    if len(several) > 1:
        yield _batch(f"mixed batch of {len(several)}", several, chosen, specs, sizes)
    planned = planned_axis(specs)
    if planned is not None and planned not in sizes:
        far = {planned: _FAR * _sizes(chosen, specs)[planned], **sizes}
        yield _batch(f"mixed batch of {len(several)}, padded far", several, chosen, specs, far)


def _batch(
    name: str, rows: Sequence[int], features: Sequence[Features], specs: Sequence[TensorSpec], sizes: Mapping[str, int]
) -> Batch:
    filled = [features[place % len(features)] for place in range(sizes.get(BATCH, len(features)))]
    inputs = _stretched(collate(filled, specs), specs, sizes)
    found = {
        BATCH: len(filled),
        **{n: s for spec in specs for n, s in zip(spec.dims, inputs[spec.name].shape, strict=True)},
    }
    phrase = ", ".join(f"{key}={size}" for key, size in found.items() if isinstance(key, str))
    return Batch(name, tuple(rows), Case(f"probes ({phrase})", inputs))


def _stretched(inputs: Mapping[str, Array], specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> dict[str, Array]:
    """Zero padded to the sizes of the dimensions that are named."""
    stretched = {}
    for spec in specs:
        array = inputs[spec.name]
        wanted = [sizes.get(str(dim), size) for dim, size in zip(spec.dims, array.shape, strict=True)]
        stretched[spec.name] = np.pad(array, [(0, more - has) for more, has in zip(wanted, array.shape, strict=True)])
    return stretched


def _sizes(features: Sequence[Features], specs: Sequence[TensorSpec]) -> dict[str, int]:
    """The greatest size along each named dimension but the batch."""
    sizes: dict[str, int] = {}
    for spec in specs:
        for one in features:
            for dim, size in zip(spec.dims[1:], one.inputs[spec.name].shape, strict=True):
                if isinstance(dim, str):
                    sizes[dim] = max(size, sizes.get(dim, 0))
    return sizes


def _smallest(needed: Sequence[Mapping[str, int]], sizes: Mapping[str, int]) -> str:
    """What the smallest probe needs of each dimension that is too small."""
    least = {name: min(own[name] for own in needed) for name in needed[0] if name in sizes}
    return ", ".join(f"{name}={sizes[name]}, the shortest needs {size}" for name, size in least.items())
