"""The self-check of an export: does the graph give what the original gives, alone and in any batch?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from inferry.core.errors import MissingDependencyError, ParityError
from inferry.core.machine import signature
from inferry.core.protocols import Checkpoint, Recipe, Reference
from inferry.core.samples import Features
from inferry.core.specs import Array
from inferry.core.tolerances import LOGITS
from inferry.pipeline.comparison.hops import Hop, Meter
from inferry.pipeline.comparison.part_hops import compare_part
from inferry.pipeline.execution import planned_axis
from inferry.pipeline.model import Model
from inferry.pipeline.tasks.registry import get_task

_FAR = 2  # times the longest probe: padding that no batch of the probes has by itself

Outputs = dict[str, Array]


@dataclass(frozen=True)
class ParityReport:
    """What was compared at export, and the result."""

    hops: tuple[Hop, ...]
    signature: dict[str, str] = field(default_factory=dict)

    @property
    def original_compared(self) -> bool:
        """Whether the original network was part of it."""
        return not self.hops[0].skipped

    def require(self) -> None:
        """Raise for the first hop that changed the answer.

        Raises:
            ParityError: Names the hop.
        """
        for hop in self.hops:
            if not hop.passed:
                raise ParityError(f"parity broke at the hop {hop.name!r}: {hop.problem}")

    def to_json(self) -> dict[str, Any]:
        """The content of parity.json."""
        return {"hops": [hop.to_json() for hop in self.hops], "signature": self.signature}


def self_check(model: Model, recipe: Recipe, checkpoint: Checkpoint, *, reference: bool) -> ParityReport:
    """Compare the original, the graph alone, in a mixed batch, and padded far where the inputs have lengths.

    Each further network is then compared with its own original.

    Args:
        model: The freshly written bundle.
        recipe: Of its family.
        checkpoint: What it was written from.
        reference: Whether to run the original network.

    Returns:
        The report. The truth is the original alone; without it, the graph alone.
    """
    features = [model.processor.process(probe) for probe in recipe.probes(checkpoint.processor)]
    alone = [model.run_batch([one])[0] for one in features]
    truth, versions, skipped = _original(recipe, checkpoint, features, wanted=reference)
    first = "original → ONNX, alone"
    hops = [Hop(first, skipped=skipped) if truth is None else _compare(first, truth, alone, model)]
    base, label = (alone, "ONNX alone") if truth is None else (truth, "original alone")
    mixed = model.run_batch(features)
    name = f"{label} → ONNX, mixed batch of {len(features)}"
    hops.append(_compare(name, base, mixed, model, alone))
    if planned_axis(model.bundle.manifest.inputs) is not None:
        far = _FAR * max(one.length for one in features)
        padded = model.run_batch(features, pad_to=far)
        name = f"{label} → ONNX, the batch padded to {far}"
        hops.append(_compare(name, base, padded, model, mixed))
    further, made_by = _part_hops(model, recipe, checkpoint, wanted=reference)
    return ParityReport((*hops, *further), {**signature(), **versions, **made_by})


def _original(
    recipe: Recipe, checkpoint: Checkpoint, features: Sequence[Features], *, wanted: bool
) -> tuple[list[Outputs] | None, dict[str, str], str]:
    network, skipped = _network(recipe.reference, checkpoint, wanted=wanted)
    if network is None:
        return None, {}, skipped
    return [network.infer(one.inputs) for one in features], network.signature(), ""


def _part_hops(
    model: Model, recipe: Recipe, checkpoint: Checkpoint, *, wanted: bool
) -> tuple[list[Hop], dict[str, str]]:
    """A hop for each further network, and what computed the originals."""
    hops: list[Hop] = []
    versions: dict[str, str] = {}
    for name, trained in checkpoint.parts.items():
        part, label = recipe.parts[name], f"original {name} → ONNX"
        network, skipped = _network(part.reference, trained, wanted=wanted)
        if network is None:
            hops.append(Hop(label, skipped=skipped))
            continue
        hops.append(compare_part(label, part, trained, network, model.parts[name]))
        versions |= {f"{name} {key}": value for key, value in network.signature().items()}
    return hops, versions


def _network(
    make: Callable[[Checkpoint], Reference], checkpoint: Checkpoint, *, wanted: bool
) -> tuple[Reference | None, str]:
    """The original network, or why there is none."""
    if not wanted:
        return None, "left out by --no-reference"
    try:
        return make(checkpoint), ""
    except MissingDependencyError as error:
        return None, str(error)


def _compare(
    name: str,
    expected: Sequence[Outputs],
    found: Sequence[Outputs],
    model: Model,
    previous: Sequence[Outputs] | None = None,
) -> Hop:
    bundle = model.bundle
    meter = Meter(name, model.decoder, LOGITS["fp32"], get_task(bundle.manifest.task), bundle.text_files())
    before: Sequence[Outputs | None] = previous or [None] * len(found)
    for index, (want, have, last) in enumerate(zip(expected, found, before, strict=True)):
        meter.add(f"probe {index}", want, have, previous=last)
    return meter.hop()
