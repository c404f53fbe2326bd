"""Words in the sound: worked by hand, against all paths there are, and within bounded memory."""

import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inferry.core.errors import SampleError
from inferry.core.samples import Word
from inferry.processing import alignment
from inferry.processing.alignment import align_words

LETTERS = ["_", " ", "A", "B"]


def scores_of(*rows):
    """Logits of frames with these probabilities of the blank, the space, A and B; any offset is allowed in logits."""
    return np.log(np.array(rows)) + 3.0


def words_of(logits, text, **options):
    options = {"letters": LETTERS, "blank": 0, "frame_seconds": 0.5} | options
    return align_words(logits, [LETTERS.index(letter) for letter in text], **options)


def test_a_text_worked_by_hand():
    logits = scores_of(
        [0.70, 0.10, 0.10, 0.10],
        [0.10, 0.10, 0.70, 0.10],  # A
        [0.10, 0.10, 0.50, 0.30],  # A again
        [0.20, 0.10, 0.10, 0.60],  # B
        [0.25, 0.15, 0.10, 0.50],  # B
        [0.30, 0.60, 0.05, 0.05],
        [0.10, 0.10, 0.60, 0.20],  # A
        [0.85, 0.05, 0.05, 0.05],
    )
    ab, a = words_of(logits, "AB A")
    assert (ab.text, ab.start, ab.end) == ("AB", 0.5, 2.5)
    assert ab.confidence == pytest.approx(np.sqrt(0.7 * 0.6))
    assert (a.text, a.start, a.end) == ("A", 3.0, 3.5)
    assert a.confidence == pytest.approx(0.6)


def test_a_text_that_is_not_the_best_one_of_each_frame():
    # The best tokens are A _ _ _. With B in its best frame, A _ _ B has 0.8 · 0.6 · 0.6 · 0.2 = 0.0576; the last blank
    # costs more than it brings: A _ B _ has 0.8 · 0.6 · 0.1 · 0.7 = 0.0336.
    logits = scores_of(
        [0.10, 0.05, 0.80, 0.05], [0.60, 0.05, 0.30, 0.05], [0.60, 0.20, 0.10, 0.10], [0.70, 0.05, 0.05, 0.20]
    )
    (word,) = words_of(logits, "AB")
    assert (word.text, word.start, word.end) == ("AB", 0.0, 2.0)
    assert word.confidence == pytest.approx(np.sqrt(0.8 * 0.2))


def test_equal_tokens_keep_a_blank_between_them():
    # A A A is more probable than A _ A, but it is one A.
    logits = scores_of([0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.7, 0.1])
    (word,) = words_of(logits, "AA")
    assert (word.text, word.start, word.end) == ("AA", 0.0, 1.5)
    (word,) = words_of(logits, "A")
    assert word == Word("A", 0.0, 1.5, pytest.approx(0.7))


def test_delimiters_at_the_ends_and_in_a_row_make_no_words():
    logits = np.zeros((9, 4))
    assert [word.text for word in words_of(logits, " A  B ")] == ["A", "B"]
    assert words_of(logits, "  ") == ()


def test_special_tokens_print_as_themselves():
    logits = np.eye(4)[[1, 0, 2, 3]] * 9
    letters = ["_", "<unk>", "A", " "]
    (word,) = align_words(logits, [1, 2, 3], letters=letters, blank=0, frame_seconds=0.5)
    assert (word.text, word.start, word.end) == ("<unk>A", 0.0, 1.5)


def test_no_text_has_no_words():
    assert words_of(np.zeros((5, 4)), "") == ()
    assert words_of(np.zeros((0, 4)), "") == ()


def test_a_text_that_needs_more_frames_is_refused():
    assert words_of(np.zeros((3, 4)), "AA")[0].end == 1.5
    with pytest.raises(SampleError, match="a text of 2 tokens needs 3 frames; there are 2") as caught:
        words_of(np.zeros((2, 4)), "AA")
    assert caught.value.stage == "decode"


def test_certainty_is_never_greater_than_one():
    logits = np.float32(1e4) * np.eye(4, dtype=np.float32)[[2, 1, 3]]
    assert [word.confidence for word in words_of(logits, "A B")] == [1.0, 1.0]


def collapsed(path, blank):
    return [one for index, one in enumerate(path) if one != blank and (index == 0 or path[index - 1] != one)]


@given(data=st.data())
def test_no_path_is_better(data):
    frames, tokens = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 3))
    blank = data.draw(st.integers(0, tokens - 1))
    logits = data.draw(arrays(np.float32, (frames, tokens), elements=st.floats(-5, 5, width=32)))
    others = [token for token in range(tokens) if token != blank]
    text = data.draw(st.lists(st.sampled_from(others), min_size=1, max_size=4))
    assume(len(text) + sum(one == two for one, two in pairwise(text)) <= frames)
    scores = alignment.log_softmax(logits)

    def total(path):
        return sum(scores[frame, token] for frame, token in enumerate(path))

    best = max(total(path) for path in product(range(tokens), repeat=frames) if collapsed(path, blank) == text)
    states = np.full(2 * len(text) + 1, blank)
    states[1::2] = text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "_BLOCK", data.draw(st.sampled_from([1, 2, 3, 1024])))
        found = states[alignment._viterbi(scores, np.array(text), blank)].tolist()
    assert collapsed(found, blank) == text
    assert total(found) == pytest.approx(best, abs=1e-9)


@given(data=st.data())
def test_words_follow_one_another(data):
    frames = data.draw(st.integers(8, 30))
    logits = data.draw(arrays(np.float32, (frames, 4), elements=st.floats(-9, 9, width=32)))
    text = data.draw(st.text("AB ", max_size=5))
    words = words_of(logits, text)
    assert [word.text for word in words] == text.split()
    times = [time for word in words for time in (word.start, word.end)]
    assert all(word.start < word.end for word in words)
    assert times == sorted(times)
    assert all(0 <= time <= frames * 0.5 for time in times)
    assert all(0 <= word.confidence <= 1 for word in words)


@given(arrays(np.float32, (12, 4), elements=st.integers(-4, 4).map(float)))
def test_the_short_way_for_greedy_texts_finds_a_best_path(logits):
    scores = alignment.log_softmax(logits)
    best = scores.argmax(axis=-1)
    text = np.array(collapsed(best.tolist(), 0), dtype=np.intp)
    assume(len(text))
    owners = alignment._owners(scores, text, 0)
    assert np.where(owners < 0, 0, text[owners]).tolist() == best.tolist()
    states = np.zeros(2 * len(text) + 1, dtype=np.intp)
    states[1::2] = text
    searched = states[alignment._viterbi(scores, text, 0)]
    assert scores[np.arange(12), searched].sum() == pytest.approx(scores.max(axis=-1).sum())


def test_memory_grows_far_slower_than_frames_times_tokens():
    frames, count = 4000, 1900
    random = np.random.default_rng(0)
    logits, text = random.standard_normal((frames, 8), np.float32), random.integers(1, 8, count)
    tracemalloc.start()
    path = alignment._viterbi(alignment.log_softmax(logits), text, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(np.diff(path)) <= {0, 1, 2}
    assert peak < frames * (2 * count + 1) / 3  # one byte a cell would be three times as much
