"""Scores of answers to questions about pictures: the original's, and the official one beside them.

Sources: allennlp-models b1f37224, vision/metrics/vqa.py, vision/models/vilbert_vqa.py and
vision/dataset_readers/vqav2.py; allennlp 80fb6061, training/metrics/fbeta_multi_label_measure.py;
Antol et al., arXiv:1505.00468, and the evaluation code of visualqa.org.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Final, NamedTuple

import numpy as np

from inferry.metrics.bootstrap import RESAMPLES, bootstrap_intervals
from inferry.metrics.vqa_scores import AnswerRate, QuestionResult, VqaScore

UNKNOWN: Final = 1
"""The class of every answer outside the vocabulary; 0 is the padding class."""

_AGREEMENT: Final = 3
"""People who must give an answer before it counts as fully right."""

_UNIT: Final = 7560
"""The bootstrap sums integers: parts of a question's score. Divisible by 3 n for every number n of people up to 10."""

Normalise = Callable[[str], str]


class Labels(NamedTuple):
    """What people answered.

    Attributes:
        indices: Classes, one for each distinct answer; several may be `UNKNOWN`.
        weights: Of each, 0 to 1.
    """

    indices: tuple[int, ...]
    weights: tuple[float, ...]


class AnsweredQuestion(NamedTuple):
    """What the network answered to a question, and what people did.

    Attributes:
        id: Unique within the data set.
        predicted: Class with the greatest logit.
        given: Classes with a logit of at least 0.5.
        labels: What people answered.
        accuracy: See `leave_one_out`; None where it is not asked for.
    """

    id: str
    predicted: int
    given: tuple[int, ...]
    labels: Labels
    accuracy: float | None = None


def label_weight(people: int) -> float:
    """How right an answer is that so many people gave."""
    return min(1.0, people / _AGREEMENT)


def labels_of(answers: Iterable[str], index_of: Mapping[str, int], normalise: Normalise) -> Labels:
    """The labels of a question, in the order in which the answers first occur.

    Args:
        answers: Of people, ten in VQA v2.
        index_of: Class of each answer in the vocabulary.
        normalise: How answers are written; `inferry.processing.answers.normalise_answer`.
    """
    people = Counter(normalise(answer) for answer in answers)
    indices = tuple(index_of.get(answer, UNKNOWN) for answer in people)
    return Labels(indices, tuple(label_weight(count) for count in people.values()))


def leave_one_out(answer: str, answers: Sequence[str], normalise: Normalise) -> float:
    """The official VQA accuracy of one answer, 0 to 1.

    Each person is left out in turn; the answer is as right as a third of the others who gave it, at most 1. Answers are
    normalised only where people disagree, as in the official code.

    Args:
        answer: Of the network.
        answers: Of people, ten in VQA v2.
        normalise: How answers are written.
    """
    answer, *people = [one.replace("\n", " ").replace("\t", " ").strip() for one in (answer, *answers)]
    if len(set(people)) > 1:
        people, answer = [normalise(one) for one in people], normalise(answer)
    if not people:
        return 0.0
    same = [one == answer for one in people]
    return sum(label_weight(sum(same) - own) for own in same) / len(same)


def score_answers(questions: Iterable[AnsweredQuestion], *, resamples: int = RESAMPLES, seed: int = 0) -> VqaScore:
    """VQA score, precision, recall and F1 as the original computes them, and the official accuracy where it is given.

    Precision, recall and F1 pool all answers but the padding class and the unknown answer. The best answer may be the
    unknown one: it scores where people gave answers outside the vocabulary.

    Args:
        questions: Any number; the official accuracy is left out unless all of them have one.
        resamples: Of the bootstrap over questions.
        seed: Of the bootstrap.

    Raises:
        UsageError: Fewer than one resample, or a negative seed.
    """
    counts: list[tuple[int, int, int]] = []
    rows = []
    for question in questions:
        counts.append(_counts(question))
        rows.append(QuestionResult(question.id, _score(question), question.accuracy))
    table = np.array(counts, np.int64).reshape(len(rows), 3)
    right, given, expected = table.T
    official = bool(rows) and all(row.accuracy is not None for row in rows)
    scores = [_parts(row.score for row in rows), right, right, 2 * right]
    units = [np.full(len(rows), _UNIT, np.int64), given, expected, given + expected]
    if official:
        scores.append(_parts(row.accuracy or 0.0 for row in rows))
        units.append(units[0])
    rates = _rates(np.stack(scores, axis=1), np.stack(units, axis=1), resamples, seed)
    totals = [int(total) for total in table.sum(axis=0)]
    return VqaScore(
        vqa_score=rates["vqa_score"],
        precision=rates["precision"],
        recall=rates["recall"],
        f1=rates["f1"],
        vqa_accuracy=rates.get("vqa_accuracy"),
        questions=len(rows),
        given=totals[1],
        expected=totals[2],
        right=totals[0],
        rows=tuple(rows),
    )


def _score(question: AnsweredQuestion) -> float:
    """Weight of the predicted answer; all labels of that class count, as in the original."""
    pairs = zip(question.labels.indices, question.labels.weights, strict=True)
    return sum(weight for index, weight in pairs if index == question.predicted)


def _counts(question: AnsweredQuestion) -> tuple[int, int, int]:
    """Right, given and expected answers that are in the vocabulary."""
    pairs = zip(question.labels.indices, question.labels.weights, strict=True)
    expected = {index for index, weight in pairs if index > UNKNOWN and weight > 0}
    given = {index for index in question.given if index > UNKNOWN}
    return len(given & expected), len(given), len(expected)


def _parts(scores: Iterable[float]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([round(score * _UNIT) for score in scores], np.int64)


def _rates(
    scores: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    units: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    resamples: int,
    seed: int,
) -> dict[str, AnswerRate]:
    """One rate a column, each with its interval, by name; the official one only where it has a column."""
    made = f"pooled|bootstrap:{resamples},seed:{seed}|inferry:{version('inferry')}"
    heads = {
        "vqa_score": "vqa_score|allennlp",
        "precision": "precision|allennlp|logit:0.5",
        "recall": "recall|allennlp|logit:0.5",
        "f1": "f1|allennlp|logit:0.5",
        "vqa_accuracy": "vqa_accuracy|official|leave-one-out",
    }
    intervals = bootstrap_intervals(scores, units, resamples, seed)
    totals = zip(scores.sum(axis=0).tolist(), units.sum(axis=0).tolist(), strict=True)
    return {
        name: AnswerRate(
            name=name,
            rate=100.0 * score / unit if unit else 0.0,
            low=None if interval is None else 100.0 * interval.low,
            high=None if interval is None else 100.0 * interval.high,
            signature=f"{head}|{made}",
        )
        for (name, head), (score, unit), interval in zip(heads.items(), totals, intervals, strict=False)
    }
