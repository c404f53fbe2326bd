"""The best of many scores: what classes and answers have in common."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from inferry.core.errors import BundleError, SampleError, UsageError
from inferry.core.protocols import Decoding
from inferry.core.specs import Array

BEST: Final = 5
"""Places that a prediction names."""


def names_of(
    config: Mapping[str, Any], files: Mapping[str, str], decoding: Decoding | None, *, kind: str, file: str
) -> tuple[str, ...]:
    """The classes or answers that a bundle names, one a line.

    Args:
        config: processor.json, with ``{"decode": {"kind": kind}}``.
        files: The bundle's text files.
        decoding: None or the defaults: ranked scores leave no choice.
        kind: Of the decoder.
        file: That names them.

    Raises:
        BundleError: The bundle asks for another decoder, or the file is missing.
        UsageError: Options of speech decoding were given.
    """
    if decoding is not None and not decoding.greedy:
        what = file.removesuffix(".txt")
        raise UsageError(f"a beam, a language model and hotwords are for speech; {what} are decoded without options")
    try:
        found, names = config["decode"]["kind"], tuple(files[file].removesuffix("\n").split("\n"))
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"processor.json or {file} is broken ({type(error).__name__}: {error})") from error
    if found != kind:
        raise BundleError(f"processor.json asks for decoder {found!r}; available: {kind}")
    return names


def checked_scores(outputs: Mapping[str, Array], count: int, what: str) -> Array:
    """The logits of one sample.

    Args:
        outputs: `logits`, float (count,).
        count: How many there must be.
        what: They are scores of, for the message.

    Raises:
        SampleError: Stage ``decode``; a logit is not finite, or there is another number of them.
    """
    logits = outputs["logits"]
    if logits.shape != (count,):
        raise SampleError("decode", f"logits have shape {logits.shape}; expected ({count} {what},)")
    if not np.isfinite(logits).all():
        raise SampleError("decode", f"{np.count_nonzero(~np.isfinite(logits))} logits are NaN or infinite")
    return logits


def best_places(logits: Array) -> list[int]:
    """Places of the greatest logits, best first; of equal ones the lower place goes first."""
    places: list[int] = np.argsort(-logits, kind="stable")[:BEST].tolist()
    return places


def least_gap(logits: Array) -> float:
    """The least gap between neighbours among the best logits; infinite with one logit.

    The one after the last place counts, because it could take that place.
    """
    best = -np.sort(-logits)[: BEST + 1]
    return float(np.min(best[:-1] - best[1:], initial=np.inf))
