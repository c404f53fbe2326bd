"""Words and phrases that a search prefers, matched letter by letter."""

from collections.abc import Sequence
from typing import NamedTuple


class Matches(NamedTuple):
    """How far a text has come in the hotwords.

    Attributes:
        begun: Hotwords that the end of the text may become: their index and the letters that are there.
        earned: Bonus for the hotwords in the text.
        hoped: Part of the bonus of the hotword that is furthest on its way; lost when the text goes on differently.
    """

    begun: tuple[tuple[int, int], ...] = ()
    earned: float = 0.0
    hoped: float = 0.0


class Hotwords:
    """Each hotword in a text adds its weight for each of its words.

    A hotword that has only begun adds its part already, letter for letter, or its beginning would not survive the
    search (as in pyctcdecode's ``HotwordScorer``). One that stands within another counts beside it.

    Args:
        phrases: Words or phrases; words of a phrase have one space between them.
        weight: Natural logarithm, added for each word of a hotword.
    """

    def __init__(self, phrases: Sequence[str], weight: float) -> None:
        self._phrases = tuple(phrases)
        self._bonus = [weight * len(phrase.split()) for phrase in self._phrases]
        self._words = frozenset(word for phrase in self._phrases for word in phrase.split())

    def have_word(self, word: str) -> bool:
        """Whether it is a word of a hotword."""
        return word in self._words

    def have_word_beginning(self, letters: str) -> bool:
        """Whether a word of a hotword begins so."""
        return any(word.startswith(letters) for word in self._words)

    def read(self, matches: Matches, letter: str, *, begins_word: bool) -> Matches:
        """The matches after one more letter.

        Args:
            matches: Before it.
            letter: A letter, or a space: the end of a word.
            begins_word: Whether it is the first letter of a word.
        """
        if not self._phrases:
            return matches
        earned = matches.earned
        candidates = [*matches.begun, *((index, 0) for index in range(len(self._phrases)) if begins_word)]
        begun = []
        for index, length in candidates:
            phrase = self._phrases[index]
            if length < len(phrase):
                if phrase[length] == letter:
                    begun.append((index, length + 1))
            elif letter == " ":
                earned += self._bonus[index]
        parts = (self._bonus[index] * length / len(self._phrases[index]) for index, length in begun)
        return Matches(tuple(begun), earned, max(parts, default=0.0))
