"""Logits to the best classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferry.core.errors import BundleError
from inferry.core.protocols import Decoder, Decoding
from inferry.core.samples import Classification, Ranked
from inferry.core.specs import Array
from inferry.processing.ranking import best_places, checked_scores, least_gap, names_of


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
        logits = checked_scores(outputs, len(self.labels), "classes")
        best = best_places(logits)
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
        return least_gap(checked_scores(outputs, len(self.labels), "classes"))


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
    labels = names_of(config, files, decoding, kind="classification", file="labels.txt")
    if not any(labels):
        raise BundleError("labels.txt names no class: export the bundle again")
    return ClassificationDecoder(labels)
