"""Answers to questions: how they are written, and how logits become the best of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inferry.core.errors import BundleError
from inferry.core.protocols import Decoder, Decoding
from inferry.core.samples import Answer, Ranked
from inferry.core.specs import Array
from inferry.processing.ranking import best_places, checked_scores, least_gap, names_of

THRESHOLD: Final = 0.5
"""Logits from here on count as given answers in precision, recall and F1: the original's default for probabilities,
which it applies to logits."""

_PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS: Final = {
    "none": "0",
    **{
        word: str(number)
        for number, word in enumerate(
            ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
        )
    },
}
_ARTICLES: Final = frozenset({"a", "an", "the"})
_CONTRACTED: Final = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't
wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_COMMA_IN_NUMBER: Final = re.compile(r"\d,\d")
_PERIOD: Final = re.compile(r"\.(?!\d)")
_PERIODS: Final = 32
"""Removed at most: the original passes re.UNICODE, which is 32, where the count belongs."""


def _without_one_apostrophe(word: str) -> set[str]:
    return {word[:place] + word[place + 1 :] for place, character in enumerate(word) if character == "'"}


_CONTRACTIONS: Final = {
    # The one entry of the original's table that goes the other way.
    "somebody'd": "somebodyd",
    **{short: word for word in _CONTRACTED.split() for short in _without_one_apostrophe(word)},
}


def normalise_answer(answer: str) -> str:
    """An answer as the original compares it, with the original's quirks.

    Punctuation goes, or becomes a space where it joins two words; number words become digits; articles go; apostrophes
    return to contractions. Source: allennlp-models b1f37224, vision/dataset_readers/utils.py, preprocess_answer, which
    follows the official VQA evaluation.
    """
    text = answer
    for mark in _PUNCTUATION:
        gone = f"{mark} " in answer or f" {mark}" in answer or _COMMA_IN_NUMBER.search(answer) is not None
        text = text.replace(mark, "" if gone else " ")
    text = _PERIOD.sub("", text, count=_PERIODS)
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def given_answers(logits: Array) -> tuple[int, ...]:
    """Classes that count as given in precision, recall and F1: those with a logit of `THRESHOLD` or more.

    Args:
        logits: Float (answers,).
    """
    return tuple(np.flatnonzero(logits >= THRESHOLD).tolist())


@dataclass(frozen=True, slots=True)
class AnswerDecoder:
    """The five best answers to a question; of equal logits the lower index goes first, as in the original's argmax.

    Attributes:
        answers: In index order; 0 is the padding class and 1 the unknown answer, which the original may both give.
    """

    answers: tuple[str, ...]

    def decode(self, outputs: Mapping[str, Array], *, detailed: bool = False) -> Answer:
        """The best answers.

        Args:
            outputs: `logits`, float (answers,).
            detailed: With the probability of each (a sigmoid: they do not sum to one).

        Raises:
            SampleError: A logit is not finite, or the number of answers is another one.
        """
        logits = checked_scores(outputs, len(self.answers), "answers")
        best = best_places(logits)
        ranked = (Ranked(i, self.answers[i], _sigmoid(float(logits[i])) if detailed else None) for i in best)
        return Answer(tuple(ranked), given_answers(logits))

    def margin(self, outputs: Mapping[str, Array]) -> float:
        """The least gap between neighbours among the six best logits, and between any logit and the threshold.

        Raises:
            SampleError: As for `decode`.
        """
        logits = checked_scores(outputs, len(self.answers), "answers")
        return min(least_gap(logits), float(np.abs(logits - THRESHOLD).min()))


def _sigmoid(logit: float) -> float:
    return float(0.5 * (1.0 + np.tanh(0.5 * logit)))  # this form never overflows


def decoder(config: Mapping[str, Any], files: Mapping[str, str], decoding: Decoding | None = None) -> Decoder:
    """The decoder that a bundle's processor.json and answers.txt describe.

    Args:
        config: processor.json, with ``{"decode": {"kind": "answers"}}``.
        files: The bundle's text files; ``answers.txt`` names one answer a line, from index 0 on.
        decoding: None or the defaults: answers leave no choice.

    Raises:
        BundleError: They describe something else.
        UsageError: Options of speech decoding were given.
    """
    answers = names_of(config, files, decoding, kind="answers", file="answers.txt")
    if len(answers) < 2:
        raise BundleError("answers.txt names no answer: export the bundle again")
    return AnswerDecoder(answers)
