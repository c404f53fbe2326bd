"""Words found again in the sound: forced alignment under connectionist temporal classification (Graves et al. 2006)."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from inferry.core.errors import SampleError
from inferry.core.samples import Word
from inferry.core.specs import Array

Integers = npt.NDArray[np.intp]
Scores = npt.NDArray[np.float64]
_BLOCK: Final = 1024
"""Frames between two kept columns of scores; an hour of sound then needs some 150 MB and not 20 GB."""


def align_words(
    logits: Array, tokens: Sequence[int], *, letters: Sequence[str], blank: int, frame_seconds: float
) -> tuple[Word, ...]:
    """Where each word of a decoded text lies, on the most probable path of the text through the frames.

    A word begins with the first frame of its first token and ends with the last frame of its last one, as in
    ``Wav2Vec2CTCTokenizer.decode(output_word_offsets=True)`` of transformers. Its confidence is the geometric mean,
    over its tokens, of the greatest probability of the token in one of its frames.

    Args:
        logits: Scores of one utterance, float (frames, vocabulary), finite.
        tokens: The text: token indices without blanks, repeated where the text repeats them.
        letters: What each token prints; white space ends a word.
        blank: Index of the blank.
        frame_seconds: From one frame to the next.

    Returns:
        One `Word` for each of ``text.split()``, in order; they do not overlap.

    Raises:
        SampleError: The text needs more frames than there are.
    """
    text = np.asarray(tokens, dtype=np.intp)
    needed = len(text) + sum(one == two for one, two in pairwise(tokens))
    if needed > len(logits):
        raise SampleError("decode", f"a text of {len(text)} tokens needs {needed} frames; there are {len(logits)}")
    if not len(text):
        return ()
    scores = log_softmax(logits)
    owners = _owners(scores, text, blank)
    frames = np.flatnonzero(owners >= 0)
    first = np.flatnonzero(np.diff(owners[frames], prepend=-1))
    peaks = np.maximum.reduceat(scores[frames, text[owners[frames]]], first)
    begins, ends = frames[first], frames[np.append(first[1:], len(frames)) - 1] + 1
    return tuple(
        Word(
            text=word,
            start=float(begins[part.start] * frame_seconds),
            end=float(ends[part.stop - 1] * frame_seconds),
            confidence=float(np.exp(peaks[part].mean())),
        )
        for word, part in _words([letters[token] for token in tokens])
    )


def _words(letters: Sequence[str]) -> Iterator[tuple[str, slice]]:
    """Each word of the text and its tokens' places."""
    start = 0
    for delimits, group in groupby(letters, key=str.isspace):
        word = list(group)
        if not delimits and any(word):
            yield "".join(word), slice(start, start + len(word))
        start += len(word)


def log_softmax(logits: Array) -> Scores:
    """Natural logarithms of the probabilities, (frames, vocabulary)."""
    # In place: an hour has 180,000 frames.
    scores: Scores = logits.astype(np.float64)
    scores -= scores.max(axis=-1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    return np.minimum(scores, 0.0, out=scores)  # rounding must not make a probability greater than one


def _owners(scores: Scores, tokens: Integers, blank: int) -> Integers:
    """Which place of the text each frame belongs to; -1 for blank frames."""
    best = scores.argmax(axis=-1)
    begins = (best != blank) & (np.diff(best, prepend=blank) != 0)
    if np.array_equal(best[begins], tokens):
        # A greedy text: nothing is more probable than the best token of each frame.
        return np.where(best == blank, -1, np.cumsum(begins) - 1)
    path = _viterbi(scores, tokens, blank)
    return np.where(path % 2 == 1, path // 2, -1)


def _viterbi(scores: Scores, tokens: Integers, blank: int) -> Integers:
    """The best path through the text with a blank before, between and after its tokens.

    Scores are kept for every `_BLOCK`-th frame only. On the way back each block is computed again, and no more of it
    than the path can have come through: two states a frame.

    Args:
        scores: Logarithms of probabilities, (frames, vocabulary).
        tokens: The text.
        blank: Index of the blank.

    Returns:
        The state of each frame: even ones are blanks, ``2 i + 1`` is token ``i``. Of equal paths it is the one that
        reaches each state earliest.
    """
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    # The blank between two tokens may be left out where they differ.
    skips = np.zeros(len(states), dtype=bool)
    skips[3::2] = tokens[1:] != tokens[:-1]
    column = np.where(np.arange(len(states)) == 0, 0.0, -np.inf)
    kept = []
    for frame, row in enumerate(scores):
        if frame % _BLOCK == 0:
            kept.append(column)
        column = _moves(column, skips).max(axis=0) + row[states]
    state = len(states) - 1 - int(column[-2] > column[-1])
    path = np.empty(len(scores), dtype=np.intp)
    for block in reversed(range(len(kept))):
        part = slice(block * _BLOCK, min((block + 1) * _BLOCK, len(scores)))
        lowest = max(0, state - 2 * (part.stop - part.start))
        window = slice(lowest, state + 1)
        backward = _backpointers(kept[block][window], scores[part], states[window], skips[window])
        for frame in reversed(range(part.start, part.stop)):
            path[frame] = state
            state -= int(backward[frame - part.start, state - lowest])
    return path


def _moves(column: Scores, skips: npt.NDArray[np.bool_]) -> Scores:
    """Scores of coming from the same state, the one before and the second one before: (3, states)."""
    moves = np.full((3, len(column)), -np.inf)
    moves[0] = column
    moves[1, 1:] = column[:-1]
    moves[2, 2:] = np.where(skips[2:], column[:-2], -np.inf)
    return moves


def _backpointers(
    column: Scores, scores: Scores, states: Integers, skips: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """How many states each state came up by, for each frame of a block: (frames, states)."""
    backward = np.empty((len(scores), len(states)), dtype=np.uint8)
    for frame, row in enumerate(scores):
        moves = _moves(column, skips)
        backward[frame] = moves.argmax(axis=0)
        column = moves.max(axis=0) + row[states]
    return backward
