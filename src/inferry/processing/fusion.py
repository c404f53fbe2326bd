"""What a search adds to the acoustic score of a text: language model, word bonus, hotwords (shallow fusion)."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from inferry.core.errors import UsageError
from inferry.processing.arpa import END, START, UNKNOWN, NgramModel, read_arpa
from inferry.processing.hotwords import Hotwords, Matches

UNKNOWN_LOG10: Final = -10.0
"""Added to the model's log10 probability of ``<unk>``: that is the probability of all unknown words together, and this
is the share of a certain one. The same as in pyctcdecode (``unk_score_offset``)."""

_SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "as written": str,
    "upper case": str.upper,
    "lower case": str.lower,
}


class LanguageModel:
    """An n-gram model over words that a network can spell.

    A model may be written in another case than the network's letters: it is used as written, in upper or in lower case,
    whichever lets the network spell most of its words; as written where that is as good.

    Args:
        model: As read.
        letters: What the network can write.
        name: For errors: where the model comes from.

    Attributes:
        spelling: ``as written``, ``upper case`` or ``lower case``.

    Raises:
        UsageError: The network cannot spell a single word of the model.
    """

    def __init__(self, model: NgramModel, letters: frozenset[str], name: str) -> None:
        spelled = {how: _spelled(map(spell, model.words), letters) for how, spell in _SPELLINGS.items()}
        self.spelling = max(spelled, key=lambda how: len(spelled[how]))
        self._words = sorted(spelled[self.spelling])
        self._known = frozenset(self._words)
        if not self._words:
            some = ", ".join(sorted(model.words)[:5])
            raise UsageError(
                f"the network cannot spell any word of the language model {name} ({some} ...): its letters are "
                f"{''.join(sorted(letters))}; give a model of the language that the network was trained for"
            )
        self._model = model if self.spelling == "as written" else model.respelled(_SPELLINGS[self.spelling])

    def knows(self, word: str) -> bool:
        """Whether the word is in the vocabulary."""
        return word in self._known

    def knows_beginning(self, letters: str) -> bool:
        """Whether a word of the vocabulary begins so."""
        place = bisect_left(self._words, letters)
        return place < len(self._words) and self._words[place].startswith(letters)

    def log10(self, context: tuple[str, ...], word: str) -> float:
        """log10 of the probability of a word, `END` or `UNKNOWN` after others."""
        return self._model.log10(context, word)

    def shortened(self, context: tuple[str, ...]) -> tuple[str, ...]:
        """The words that the next probability can depend on."""
        return context[max(0, len(context) - self._model.order + 1) :]


class TextState(NamedTuple):
    """What is known of a text that is being written.

    Attributes:
        context: Its last finished words, as the language model knows them.
        word: The letters of its unfinished word.
        words: Score of the finished words, natural logarithm.
        matches: Of the hotwords.
        score: All that is added to the acoustic score so far: what is settled, what hotwords have begun, and the
            penalty of a word that can no longer become a known one.
    """

    context: tuple[str, ...] = (START,)
    word: str = ""
    words: float = 0.0
    matches: Matches = Matches()
    score: float = 0.0


class TextScorer:
    """Scores texts as they grow, as in Hannun et al. 2014 (arXiv:1408.2873).

    Each word adds ``alpha * ln p(word | words before it) + beta`` when it ends; the end of the text adds
    ``alpha * ln p(</s> | ...)``. A word outside the vocabulary costs ``alpha * ln(10) * UNKNOWN_LOG10`` beside the
    probability of ``<unk>``, and costs it from the first letter on that no known word continues with. The words of
    hotwords are free of that penalty. Without a language model words add nothing.

    Args:
        model: Language model, None for none.
        alpha: Its weight.
        beta: Added for each word.
        hotwords: What to prefer.
    """

    def __init__(self, model: LanguageModel | None, alpha: float, beta: float, hotwords: Hotwords) -> None:
        self._model = model
        self._scale = alpha * math.log(10)
        self._beta = beta
        self._hotwords = hotwords

    def letter(self, state: TextState, letter: str) -> TextState:
        """The text with one more letter of a word."""
        matches = self._hotwords.read(state.matches, letter, begins_word=not state.word)
        word = state.word + letter
        score = state.words + matches.earned + matches.hoped
        if self._model is not None and not (
            self._model.knows_beginning(word) or self._hotwords.have_word_beginning(word)
        ):
            score += self._scale * UNKNOWN_LOG10
        return TextState(state.context, word, state.words, matches, score)

    def end_word(self, state: TextState) -> TextState:
        """The text with its last word finished."""
        matches = self._hotwords.read(state.matches, " ", begins_word=False)
        context, words = state.context, state.words
        if self._model is not None:
            known = self._model.knows(state.word)
            word = state.word if known else UNKNOWN
            penalty = 0.0 if known or self._hotwords.have_word(state.word) else UNKNOWN_LOG10
            words += self._scale * (self._model.log10(context, word) + penalty) + self._beta
            context = self._model.shortened((*context, word))
        return TextState(context, "", words, matches, words + matches.earned + matches.hoped)

    def end_text(self, state: TextState) -> float:
        """The score of the text if nothing follows."""
        if state.word:
            state = self.end_word(state)
        end = 0.0 if self._model is None else self._scale * self._model.log10(state.context, END)
        return state.words + state.matches.earned + end


def read_language_model(path: Path, letters: frozenset[str]) -> LanguageModel:
    """A language model for a network.

    Args:
        path: An ARPA file, plain or compressed with gzip.
        letters: What the network can write.

    Raises:
        UsageError: It cannot be read, or the network cannot spell a single word of it.
    """
    return LanguageModel(read_arpa(path), letters, str(path))


def spelled_hotwords(phrases: Sequence[str], letters: frozenset[str], weight: float) -> Hotwords:
    """Hotwords in the case that the network can write.

    Raises:
        UsageError: One is empty, or the network cannot spell it.
    """
    found = []
    for phrase in phrases:
        words = phrase.split()
        if not words:
            raise UsageError("a hotword is empty: name a word, or leave out --hotword")
        spellings = [" ".join(map(spell, words)) for spell in _SPELLINGS.values()]
        fitting = [text for text in spellings if letters.issuperset(text.replace(" ", ""))]
        if not fitting:
            raise UsageError(
                f"the network cannot spell the hotword {phrase!r}: its letters are {''.join(sorted(letters))}"
            )
        found.append(fitting[0])
    return Hotwords(tuple(dict.fromkeys(found)), weight)


def _spelled(words: Iterable[str], letters: frozenset[str]) -> set[str]:
    return {word for word in words if letters.issuperset(word)}
