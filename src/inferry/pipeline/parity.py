"""The self-check of an export: does the graph give what the original gives, alone and in any batch?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inferry.core.errors import MissingDependencyError, ParityError
from inferry.core.machine import signature
from inferry.core.protocols import Checkpoint, Recipe
from inferry.core.samples import Features
from inferry.core.specs import Array
from inferry.core.tolerances import LOGITS, NEAR_TIE
from inferry.pipeline.model import Model

_SCORES = "logits"
_FAR = 2  # times the longest probe: padding that no batch of the probes has by itself


@dataclass(frozen=True)
class Hop:
    """One comparison.

    Attributes:
        name: What was compared with what.
        samples: Number of samples; 0 if nothing was compared.
        max_abs: Greatest absolute difference on logits.
        mean_abs: Mean absolute difference.
        tolerance: What `max_abs` may be.
        texts_changed: Samples whose decoded answer differs, near ties not counted.
        near_ties: Samples with two scores nearer than `NEAR_TIE`.
        skipped: Why nothing was compared; empty otherwise.
    """

    name: str
    samples: int = 0
    max_abs: float = 0.0
    mean_abs: float = 0.0
    tolerance: float = 0.0
    texts_changed: int = 0
    near_ties: int = 0
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether the hop changed nothing; True as well for one that was not compared (see `skipped`)."""
        return bool(self.skipped) or (self.max_abs <= self.tolerance and self.texts_changed == 0)

    def to_json(self) -> dict[str, Any]:
        """A row of parity.json."""
        if self.skipped:
            return {"name": self.name, "compared": False, "reason": self.skipped}
        return {
            "name": self.name,
            "compared": True,
            "passed": self.passed,
            "samples": self.samples,
            "max_abs": self.max_abs,
            "mean_abs": self.mean_abs,
            "tolerance": self.tolerance,
            "texts_changed": self.texts_changed,
            "near_ties": self.near_ties,
        }


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
                raise ParityError(
                    f"parity broke at the hop {hop.name!r}: logits differ by up to {hop.max_abs:.3g}"
                    f" (tolerance {hop.tolerance:g}), {hop.texts_changed} of {hop.samples} texts changed"
                )

    def to_json(self) -> dict[str, Any]:
        """The content of parity.json."""
        return {"hops": [hop.to_json() for hop in self.hops], "signature": self.signature}


def self_check(model: Model, recipe: Recipe, checkpoint: Checkpoint, *, reference: bool) -> ParityReport:
    """Compare the original, the graph alone, in a mixed batch, and padded far.

    Args:
        model: The freshly written bundle.
        recipe: Of its family.
        checkpoint: What it was written from.
        reference: Whether to run the original network.

    Returns:
        The report. The truth is the original alone; without it, the graph alone.
    """
    features = [model.processor.process(sound) for sound in recipe.probes(checkpoint.processor)]
    alone = [model.run_batch([one])[0] for one in features]
    truth, versions, skipped = _original(recipe, checkpoint, features, wanted=reference)
    first = "original → ONNX, alone"
    hops = [Hop(first, skipped=skipped) if truth is None else _compare(first, truth, alone, model)]
    base, label = (alone, "ONNX alone") if truth is None else (truth, "original alone")
    mixed = model.run_batch(features)
    hops.append(_compare(f"{label} → ONNX, mixed batch of {len(features)}", base, mixed, model))
    far = _FAR * max(one.length for one in features)
    padded = model.run_batch(features, pad_to=far)
    hops.append(_compare(f"{label} → ONNX, the batch padded to {far}", base, padded, model))
    return ParityReport(tuple(hops), {**signature(), **versions})


def _original(
    recipe: Recipe, checkpoint: Checkpoint, features: Sequence[Features], *, wanted: bool
) -> tuple[list[dict[str, Array]] | None, dict[str, str], str]:
    if not wanted:
        return None, {}, "left out by --no-reference"
    try:
        network = recipe.reference(checkpoint)
    except MissingDependencyError as error:
        return None, {}, str(error)
    return [network.infer(one.inputs) for one in features], network.signature(), ""


def _compare(name: str, expected: Sequence[dict[str, Array]], found: Sequence[dict[str, Array]], model: Model) -> Hop:
    greatest, total, count, changed, ties = 0.0, 0.0, 0, 0, 0
    for want, have in zip(expected, found, strict=True):
        a, b = want[_SCORES], have[_SCORES]
        if a.shape != b.shape:
            raise ParityError(f"parity broke at the hop {name!r}: shape {b.shape} instead of {a.shape}")
        difference = np.abs(a.astype(np.float64) - b)
        # A NaN must never pass as "not greater".
        worst = float(difference.max(initial=0.0))
        greatest = max(greatest, worst) if np.isfinite(worst) else float("inf")
        total, count = total + float(difference.sum()), count + difference.size
        near = model.decoder.margin(want) <= NEAR_TIE
        ties += near
        changed += not near and model.decoder.decode(want) != model.decoder.decode(have)
    mean = total / count if np.isfinite(total) else float("inf")
    return Hop(name, len(expected), greatest, mean, LOGITS["fp32"], changed, ties)
