"""Logits to the best classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inferry.core.errors import BundleError, SampleError, UsageError
from inferry.core.protocols import Decoder, Decoding
from inferry.core.samples import Classification, Ranked
from inferry.core.specs import Array

BEST: Final = 5
"""Classes that an answer names."""


@dataclass(frozen=True, slots=True)
class ClassificationDecoder:
    """The five best classes of a picture; of equal logits the lower index goes first.

    Attributes:
        labels: Names of the classes in index order.
    """

    labels: tuple[str, ...]

    def decode(self, outputs: Mapping[str, Array], *, detailed: bool = False) -> Classification:
        """The best classes.

        Args:
            outputs: `logits`, float (classes,).
            detailed: With the probability of each (softmax over all classes).

        Raises:
            SampleError: A logit is not finite, or the number of classes is another one.
        """
        logits = self._checked(outputs)
        best = np.argsort(-logits, kind="stable")[:BEST].tolist()
        scores = softmax(logits) if detailed else None
        return Classification(
            tuple(Ranked(i, self.labels[i], None if scores is None else float(scores[i])) for i in best)
        )

    def margin(self, outputs: Mapping[str, Array]) -> float:
        """The least gap between neighbours among the six best logits; infinite with one class.

        The sixth counts, because it could take the place of the fifth.

        Raises:
            SampleError: As for `decode`.
        """
        best = -np.sort(-self._checked(outputs))[: BEST + 1]
        return float(np.min(best[:-1] - best[1:])) if len(best) > 1 else float("inf")

    def _checked(self, outputs: Mapping[str, Array]) -> Array:
        logits = outputs["logits"]
        if logits.shape != (len(self.labels),):
            raise SampleError("decode", f"logits have shape {logits.shape}; expected ({len(self.labels)} classes,)")
        if not np.isfinite(logits).all():
            raise SampleError("decode", f"{np.count_nonzero(~np.isfinite(logits))} logits are NaN or infinite")
        return logits


def softmax(logits: Array) -> Array:
    """Probabilities of (classes,) logits, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(powers / powers.sum())


def decoder(config: Mapping[str, Any], files: Mapping[str, str], decoding: Decoding | None = None) -> Decoder:
    """The decoder that a bundle's processor.json and labels.txt describe.

    Args:
        config: processor.json, with ``{"decode": {"kind": "classification"}}``.
        files: The bundle's text files; ``labels.txt`` names one class a line.
        decoding: None or the defaults: classes leave no choice.

    Raises:
        BundleError: They describe something else.
        UsageError: Options of speech decoding were given.
    """
    if decoding is not None and not decoding.greedy:
        raise UsageError("a beam, a language model and hotwords are for speech; classes are decoded without options")
    try:
        kind = config["decode"]["kind"]
        labels = tuple(files["labels.txt"].splitlines())
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"processor.json or labels.txt is broken ({type(error).__name__}: {error})") from error
    if kind != "classification":
        raise BundleError(f"processor.json asks for decoder {kind!r}; available: classification")
    if not labels:
        raise BundleError("labels.txt names no class: export the bundle again")
    return ClassificationDecoder(labels)
