"""Prefix beam search for connectionist temporal classification, with a language model and hotwords.

The algorithm is that of Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using
bi-directional recurrent DNNs" (arXiv:1408.2873): each prefix of a text gathers the probability of all its paths, in two
parts, those that end in a blank and those that end in its last token.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferry.core.samples import Transcription
from inferry.core.specs import Array
from inferry.processing.alignment import align_words, log_softmax
from inferry.processing.ctc import checked_logits
from inferry.processing.fusion import TextScorer, TextState

DEFAULT_BEAM: Final = 64
"""Prefixes that are kept from frame to frame where the user names no other number."""
TOKEN_THRESHOLD: Final = 6.0
"""A frame's tokens that are less probable than its best one by more than this natural logarithm are left out."""

_SPECIAL: Final = re.compile(r"[<\[].+[>\]]")
_IMPOSSIBLE: Final = -math.inf


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One text that the search found.

    Attributes:
        text: Words joined by single spaces.
        tokens: Its token indices, one delimiter between words.
        acoustic: Natural logarithm of its probability, summed over all its paths that were not pruned.
        score: With what language model, words and hotwords add.
    """

    text: str
    tokens: tuple[int, ...]
    acoustic: float
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        hypotheses: At least one, best first; texts of equal score in alphabetical order.
        margin: How far each logit may move before another text can win; see `BeamSearchDecoder.margin`.
    """

    hypotheses: tuple[Hypothesis, ...]
    margin: float


class _Prefix:
    """A text that is being written: a node of the tree of all of them, so that each text exists once."""

    __slots__ = ("children", "parent", "slack", "state", "token")

    def __init__(self, parent: "_Prefix | None", token: int, state: TextState) -> None:
        self.parent = parent
        self.token = token
        self.state = state
        self.children: dict[int, _Prefix] = {}
        self.slack: float = math.inf if parent is None else parent.slack

    def tokens(self) -> tuple[int, ...]:
        found = []
        node = self
        while node.parent is not None:
            found.append(node.token)
            node = node.parent
        return tuple(reversed(found))


_Beam = dict[_Prefix, list[float]]
"""Per prefix: log probability of its paths that end in a blank, and of those that end in its last token."""


class PrefixBeamSearch:
    """Finds the texts that are most probable given a network's outputs and what a scorer adds.

    A prefix stands for all paths that read the same: delimiters at the ends and doubled ones are no text. Special
    tokens such as ``<s>`` and ``<unk>`` are never proposed; their probability is no one's.

    Args:
        tokens: The vocabulary in index order.
        blank: Index of the blank.
        delimiter: The token that stands for a space; without one in the vocabulary a text is one word.
        scorer: What is added for the text.
        beam: Prefixes that are kept from frame to frame.

    Attributes:
        letters: What each token prints.
        blank: Index of the blank.
    """

    def __init__(self, tokens: Sequence[str], blank: int, delimiter: str, scorer: TextScorer, beam: int) -> None:
        self.letters = tuple(" " if token == delimiter else token for token in tokens)
        self.blank = blank
        self._delimiter = tokens.index(delimiter) if delimiter in tokens else None
        self._proposed = [index for index, token in enumerate(tokens) if index == blank or not is_special(token)]
        self._scorer = scorer
        self._beam = beam

    def search(self, logits: Array) -> SearchResult:
        """The best texts.

        Args:
            logits: Float (frames, vocabulary), finite.
        """
        scores = log_softmax(logits)[:, self._proposed]
        limits = scores.max(axis=-1) - TOKEN_THRESHOLD
        distance = float(np.abs(scores - limits[:, None]).min(initial=math.inf))
        beam: _Beam = {_Prefix(None, -1, TextState()): [0.0, _IMPOSSIBLE]}
        for frame, (row, limit) in enumerate(zip(scores, limits.tolist(), strict=True), 1):
            pairs = zip(self._proposed, row.tolist(), strict=True)
            tokens = [(token, score) for token, score in pairs if score >= limit]
            beam = self._pruned(beam, self._extended(beam, tokens), frame)
        return self._result(beam, len(scores), distance)

    def _extended(self, beam: _Beam, tokens: Sequence[tuple[int, float]]) -> _Beam:
        """All prefixes that one more frame leads to."""
        reached: _Beam = {}
        for prefix, (blank, other) in beam.items():
            both = _added(blank, other)
            for token, score in tokens:
                if token == self.blank:
                    _gather(reached, prefix, 0, both + score)
                elif token == prefix.token:
                    if other > _IMPOSSIBLE:
                        _gather(reached, prefix, 1, other + score)
                    # Only a blank between them makes two equal tokens two.
                    if blank > _IMPOSSIBLE:
                        _gather(reached, self._child(prefix, token), 1, blank + score)
                else:
                    _gather(reached, self._child(prefix, token), 1, both + score)
        return reached

    def _child(self, prefix: _Prefix, token: int) -> _Prefix:
        """The prefix with one more token."""
        child = prefix.children.get(token)
        if child is not None:
            return child
        if token != self._delimiter:
            state = self._scorer.letter(prefix.state, self.letters[token])
        elif prefix.state.word:
            state = self._scorer.end_word(prefix.state)
        else:
            return prefix
        child = prefix.children[token] = _Prefix(prefix, token, state)
        return child

    def _pruned(self, old: _Beam, reached: _Beam, frame: int) -> _Beam:
        """The best prefixes; all others leave the tree, unless one that stays begins with them."""
        scored = [(_added(*masses) + prefix.state.score, prefix) for prefix, masses in reached.items()]
        scored.sort(key=lambda pair: -pair[0])
        kept = {prefix: reached[prefix] for _, prefix in scored[: self._beam]}
        if len(scored) > self._beam:
            dropped = scored[self._beam][0]
            for score, prefix in scored[: self._beam]:
                prefix.slack = min(prefix.slack, (score - dropped) / frame)
        for leaf in (*old, *reached):
            node = leaf
            while node not in kept and not node.children and node.parent is not None:
                node.parent.children.pop(node.token, None)
                node = node.parent
        return kept

    def _result(self, beam: _Beam, frames: int, distance: float) -> SearchResult:
        acoustic: dict[tuple[int, ...], float] = {}
        added: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, masses in beam.items():
            tokens = prefix.tokens()
            if tokens and tokens[-1] == self._delimiter:
                tokens = tokens[:-1]
            acoustic[tokens] = _added(acoustic.get(tokens, _IMPOSSIBLE), _added(*masses))
            added[tokens] = (self._scorer.end_text(prefix.state), prefix.slack)
        hypotheses = [
            Hypothesis("".join(self.letters[token] for token in tokens), tokens, mass, mass + added[tokens][0])
            for tokens, mass in acoustic.items()
        ]
        hypotheses.sort(key=lambda one: (-one.score, one.text))
        margin = min(distance, added[hypotheses[0].tokens][1])
        if len(hypotheses) > 1:
            margin = min(margin, (hypotheses[0].score - hypotheses[1].score) / frames)
        return SearchResult(tuple(hypotheses), margin)


class BeamSearchDecoder:
    """The text that a prefix beam search finds best.

    Args:
        search: Over the network's vocabulary.
        frame_seconds: From one frame to the next.
    """

    def __init__(self, search: PrefixBeamSearch, frame_seconds: float) -> None:
        self._search = search
        self._frame_seconds = frame_seconds
        self._last: tuple[Array, SearchResult] | None = None

    def decode(self, outputs: Mapping[str, Array], *, detailed: bool = False) -> Transcription:
        """The text of one utterance: words joined by single spaces.

        Args:
            outputs: `logits`, float (frames, vocabulary), cut to the true frames.
            detailed: With the words of the text; see `align_words`.

        Raises:
            SampleError: A logit is not finite, or the vocabulary has another size.
        """
        logits = checked_logits(outputs, len(self._search.letters))
        best = self._found(logits).hypotheses[0]
        words = None
        if detailed:
            letters, blank = self._search.letters, self._search.blank
            words = align_words(logits, best.tokens, letters=letters, blank=blank, frame_seconds=self._frame_seconds)
        return Transcription(best.text, len(logits), words)

    def margin(self, outputs: Mapping[str, Array]) -> float:
        """How far apart the best text and the second best are, as a difference of two logits.

        If no logit moves by more than e, the logarithm of the probability of a path of n frames moves by at most n e,
        beside a term that all paths share; so does that of a sum over paths. The difference of two texts then moves by
        at most 2 n e, that of two logits by 2 e. Divided by n, the difference of two texts is on the scale of a greedy
        decoder's margin: where it is greater than 2 e, the best text stays the best.

        Pruning decides as well. A token near the threshold and a best text that was once nearly pruned lower the margin
        likewise. A better text that was pruned by less than the rounding leaves no trace in it: the beam has to be so
        wide that texts at its edge cannot win.

        Raises:
            SampleError: As for `decode`.
        """
        return self._found(checked_logits(outputs, len(self._search.letters))).margin

    def _found(self, logits: Array) -> SearchResult:
        """The search's result; `margin` and then `decode` of the same logits search once."""
        if self._last is None or self._last[0] is not logits:
            self._last = (logits, self._search.search(logits))
        return self._last[1]


def is_special(token: str) -> bool:
    """Whether a token such as ``<s>``, ``<unk>`` or ``[PAD]`` stands for something else than letters."""
    return _SPECIAL.fullmatch(token) is not None


def spelling_letters(tokens: Sequence[str], blank: int, delimiter: str) -> frozenset[str]:
    """The characters that words can be written with."""
    spelling = (t for i, t in enumerate(tokens) if i != blank and t != delimiter and not is_special(t))
    return frozenset("".join(spelling))


def _gather(beam: _Beam, prefix: _Prefix, part: int, score: float) -> None:
    masses = beam.get(prefix)
    if masses is None:
        masses = beam[prefix] = [_IMPOSSIBLE, _IMPOSSIBLE]
    masses[part] = _added(masses[part], score)


def _added(one: float, two: float) -> float:
    """log(exp(one) + exp(two))."""
    if one < two:
        one, two = two, one
    return one if two == _IMPOSSIBLE else one + math.log1p(math.exp(two - one))
