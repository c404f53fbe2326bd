"""How often the best class, or one of the five best, is right."""

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from inferry.core.errors import RunError
from inferry.metrics.bootstrap import RESAMPLES, Interval, bootstrap_intervals
from inferry.metrics.class_numbering import find_mix_up
from inferry.metrics.classification_scores import (
    Accuracy,
    ClassificationScore,
    ClassScore,
    Confusion,
    PictureResult,
)


class Picture(NamedTuple):
    """What a picture shows and what was recognised.

    Attributes:
        id: Unique within the data set.
        reference: The right classes: indices of the network's output from 0 on, joined by ``|`` where any is right.
        best: Indices of the best classes, best first; at least one, five for the top-5 accuracy.
    """

    id: str
    reference: str
    best: Sequence[int]


def score_classification(
    pictures: Iterable[Picture], labels: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> ClassificationScore:
    """Top-1 and top-5 accuracy in percent with 95 % bootstrap intervals, classes, confusions, and a mix-up of numbers.

    Args:
        pictures: Any number.
        labels: Names of the network's classes in index order.
        resamples: Of the bootstrap over pictures.
        seed: Of the bootstrap.

    Raises:
        RunError: A reference is no class of the network.
        UsageError: Fewer than one resample, or a negative seed.
    """
    rows = tuple(map(_result, pictures))
    single = [(row.reference[0], row.best) for row in rows if len(row.reference) == 1]
    mix_up = find_mix_up(single, len(labels))
    # Labels from 1 on have one class that the network lacks: shown to be that, they are scored, and it is named.
    _require_classes(rows, len(labels), len(labels) if mix_up is not None and mix_up.offset == -1 else len(labels) - 1)
    hits = np.array([[row.top1, row.top5] for row in rows], np.int64).reshape(len(rows), 2)
    intervals = bootstrap_intervals(hits, np.ones_like(hits), resamples, seed)
    made = f"bootstrap:{resamples},seed:{seed}|inferry:{version('inferry')}"
    top1, top5 = (
        _accuracy(name, f"{name}|{made}", int(hits[:, column].sum()), len(rows), intervals[column])
        for column, name in enumerate(("top1", "top5"))
    )
    return ClassificationScore(top1, top5, _classes(rows, labels), _confusions(rows, labels), mix_up, rows)


def parse_reference(reference: str, classes: int) -> tuple[int, ...]:
    """The classes of a reference such as ``65`` or ``65|66``.

    Args:
        reference: As in `inferry.core.samples.Sample`.
        classes: How many the network has.

    Raises:
        ValueError: It names none, or one that the network does not have.
    """
    numbers = _numbers(reference)
    if max(numbers) >= classes:
        raise ValueError(_foreign(max(numbers), classes))
    return numbers


def _numbers(reference: str) -> tuple[int, ...]:
    parts = reference.split("|")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{reference!r} is no class index, nor several joined by |")
    return tuple(dict.fromkeys(map(int, parts)))


def _foreign(number: int, classes: int) -> str:
    return f"class {number} is none of the network's {classes} (0 to {classes - 1})"


def _require_classes(rows: Sequence[PictureResult], classes: int, last: int) -> None:
    """Refuse labels of another network."""
    wrong = next((row for row in rows if max(row.reference) > last), None)
    if wrong is None:
        return
    highest = max(max(row.reference) for row in rows)
    from_one = highest == classes and all(min(row.reference) > 0 for row in rows)
    hint = f". The labels go up to {highest} and none is 0: do they count from 1 on?" if from_one else ""
    raise RunError(
        f"the reference of {wrong.id}: {_foreign(max(wrong.reference), classes)}."
        f" The labels of the data set are not those of this network{hint}"
    )


def _result(picture: Picture) -> PictureResult:
    try:
        reference = _numbers(picture.reference)
    except ValueError as error:
        raise RunError(
            f"the reference of {picture.id}: {error}. The labels of the data set are not those of this network"
        ) from error
    rank = next((place for place, index in enumerate(picture.best[:5], 1) if index in reference), None)
    return PictureResult(picture.id, reference, picture.best[0], rank)


def _accuracy(name: str, signature: str, correct: int, pictures: int, interval: Interval | None) -> Accuracy:
    return Accuracy(
        name=name,
        rate=100.0 * correct / pictures if pictures else None,
        correct=correct,
        pictures=pictures,
        low=None if interval is None else 100.0 * interval.low,
        high=None if interval is None else 100.0 * interval.high,
        signature=signature,
    )


def _name(classes: Sequence[int], labels: Sequence[str]) -> str:
    return " | ".join(labels[index] if index < len(labels) else f"class {index}" for index in classes)


def _classes(rows: Sequence[PictureResult], labels: Sequence[str]) -> tuple[ClassScore, ...]:
    """One row for each reference that occurs, in order of its classes."""
    totals = Counter(row.reference for row in rows)
    top1 = Counter(row.reference for row in rows if row.top1)
    top5 = Counter(row.reference for row in rows if row.top5)
    return tuple(ClassScore(key, _name(key, labels), totals[key], top1[key], top5[key]) for key in sorted(totals))


def _confusions(rows: Sequence[PictureResult], labels: Sequence[str]) -> tuple[Confusion, ...]:
    """Every wrong pair of reference and best class, the most frequent first."""
    pairs = Counter((row.reference, row.best) for row in rows if not row.top1)
    return tuple(
        Confusion(reference, _name(reference, labels), best, labels[best], count)
        for (reference, best), count in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    )
