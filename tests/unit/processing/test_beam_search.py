import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inferry.core.errors import SampleError
from inferry.core.tolerances import LOGITS, NEAR_TIE
from inferry.processing.arpa import END, START, UNKNOWN, NgramModel
from inferry.processing.beam_search import BeamSearchDecoder, PrefixBeamSearch, spelling_letters
from inferry.processing.ctc import GreedyCtcDecoder
from inferry.processing.fusion import LanguageModel, TextScorer, TextState
from inferry.processing.hotwords import Hotwords

WIDE = 10_000
ABC = ("_", "A", "B", " ")
MODEL = NgramModel(
    2,
    {START: -99.0, END: -0.9, UNKNOWN: -1.5, "A": -0.6, "AB": -0.8, "BA": -0.7, "<s> AB": -0.2, "AB A": -0.3},
    {START: -0.3, "AB": -0.5},
)


def search(tokens=ABC, *, model=None, beam=WIDE, hotwords=(), weight=2.0, alpha=0.7, beta=0.5, delimiter=" "):
    fitted = None if model is None else LanguageModel(model, spelling_letters(tokens, 0, delimiter), "test")
    return PrefixBeamSearch(tokens, 0, delimiter, TextScorer(fitted, alpha, beta, Hotwords(hotwords, weight)), beam)


def decoder(**options):
    return BeamSearchDecoder(search(**options), frame_seconds=0.02)


def logarithms(*columns):
    """Logits (frames, tokens) of a table with a row for each token."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(np.transpose(columns)), -50.0)


def probabilities(result):
    return {one.text: math.exp(one.acoustic) for one in result.hypotheses}


def every_labelling(logits, tokens=ABC):
    """The exact probability of each text: the sum over all paths, words joined by single spaces."""
    logits = logits.astype(np.float64)
    scores = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = {}
    for path in itertools.product(range(len(tokens)), repeat=len(logits)):
        letters = [tokens[token] for token, _ in itertools.groupby(path) if token]
        text = " ".join("".join(letters).split())
        score = sum(scores[frame, token] for frame, token in enumerate(path))
        found[text] = np.logaddexp(found.get(text, -np.inf), score)
    return found


def test_graves_2012():
    """Supervised Sequence Labelling with Recurrent Neural Networks, chapter 7, on the failure of best path decoding."""
    logits = logarithms([0.7, 0.6], [0.3, 0.4])
    assert probabilities(search(("_", "A")).search(logits)) == pytest.approx({"A": 0.58, "": 0.42})


def test_scheidl_s_mini_example():
    """github.com/githubharald/CTCDecoder: best path decoding gives the empty text with 0.36."""
    logits = logarithms([0.6, 0.6], [0.4, 0.4], [0.0, 0.0])
    result = search(("_", "a", "b")).search(logits)
    assert result.hypotheses[0].text == "a"
    assert probabilities(result) == pytest.approx({"a": 0.64, "": 0.36})
    greedy = GreedyCtcDecoder(("_", "a", "b"), "huggingface", 0, " ", 0.02)
    assert greedy.decode({"logits": logits}).text == ""


def test_the_table_of_compare_ctc_decoder():
    """github.com/wangershi/compareCTCDecoder: all labellings of three frames, where the best path gives 11."""
    logits = logarithms([0.25, 0.4, 0.1], [0.4, 0.35, 0.5], [0.35, 0.25, 0.4])
    expected = {"21": 0.2185, "12": 0.2050, "1": 0.2025, "2": 0.1290, "11": 0.0800}
    expected |= {"22": 0.0560, "121": 0.0500, "212": 0.0490, "": 0.0100}
    result = search(("_", "1", "2")).search(logits)
    assert probabilities(result) == pytest.approx(expected)
    assert [one.text for one in result.hypotheses] == list(expected)


LOGIT = st.floats(-2.5, 2.5, width=32)
FEW_FRAMES = st.integers(0, 4).flatmap(lambda n: arrays.arrays(np.float32, (n, len(ABC)), elements=LOGIT))


@given(FEW_FRAMES)
def test_each_text_has_the_probability_of_all_its_paths(logits):
    result = search().search(logits)
    assert {one.text: one.acoustic for one in result.hypotheses} == pytest.approx(every_labelling(logits), abs=1e-9)


@given(FEW_FRAMES, st.sampled_from([(), ("AB",), ("B A", "BB")]))
def test_a_wide_beam_finds_the_best_of_all_texts(logits, hotwords):
    beam = search(model=MODEL, hotwords=hotwords)
    scorer = beam._scorer

    def added(text):
        state = TextState()
        for letter in text:
            state = scorer.end_word(state) if letter == " " else scorer.letter(state, letter)
        return scorer.end_text(state)

    expected = {text: score + added(text) for text, score in every_labelling(logits).items()}
    result = beam.search(logits)
    assert {one.text: one.score for one in result.hypotheses} == pytest.approx(expected, abs=1e-9)
    assert result.hypotheses[0].score == pytest.approx(max(expected.values()), abs=1e-9)


@given(arrays.arrays(np.float32, (5, len(ABC)), elements=LOGIT), st.integers(0, 1_000_000))
def test_noise_below_the_tolerance_changes_no_settled_text_where_nothing_is_cut_off(logits, seed):
    """What a narrow beam cuts off early can change everything later: there the margin is no proof (decision 15)."""
    made = decoder(model=MODEL, beam=1000)
    if made.margin({"logits": logits}) > NEAR_TIE:
        noise = np.random.default_rng(seed).choice([-1, 1], logits.shape) * LOGITS["fp32"]
        noisy = (logits + noise).astype(np.float32)
        assert made.decode({"logits": noisy}).text == made.decode({"logits": logits}).text


def test_the_margin_is_the_difference_of_two_texts_for_each_frame():
    logits = logarithms([0.6, 0.6], [0.4, 0.4])
    assert decoder(tokens=("_", "A")).margin({"logits": logits}) == pytest.approx(math.log(0.64 / 0.36) / 2)


def test_a_tie_has_no_margin_and_is_settled_by_the_alphabet():
    tied = np.array([[0.0, 1.0, 1.0, 0.0]])
    result = search().search(tied)
    assert result.margin == 0
    assert [one.text for one in result.hypotheses][:2] == ["A", "B"]


def test_a_token_at_the_threshold_lowers_the_margin():
    logits = np.array([[0.0, 10.0, 3.99995, -20.0]])
    assert decoder().margin({"logits": logits}) == pytest.approx(5e-5)


def test_a_text_that_was_nearly_pruned_lowers_the_margin():
    """A beam of one keeps either letter of the first frame; nothing later says how near that was."""
    logits = np.array([[-20.0, 1.0, 1.00001, -20.0], [20.0, 0.0, 0.0, 0.0]])
    assert decoder(beam=1).margin({"logits": logits}) < NEAR_TIE


def test_nothing_decides_where_there_are_no_frames():
    none = {"logits": np.zeros((0, len(ABC)), np.float32)}
    assert decoder().decode(none).text == ""
    assert decoder().margin(none) == math.inf


def test_delimiters_at_the_ends_and_doubled_ones_are_no_text():
    frames = [" ", "_", " ", "A", " ", "_", " ", "B", "_", " "]
    logits = 20.0 * np.eye(len(ABC))[[ABC.index(frame) for frame in frames]]
    assert decoder().decode({"logits": logits}).text == "A B"


WAV2VEC2 = ("<pad>", "<s>", "</s>", "<unk>", "|", "C", "A", "T", "R")


def test_special_tokens_are_never_proposed():
    frames = ["<s>", "C", "<unk>", "A", "</s>", "T", "<s>"]
    logits = 5.0 * np.eye(len(WAV2VEC2))[[WAV2VEC2.index(frame) for frame in frames]]
    logits[:, 0] += 1.0
    text = decoder(tokens=WAV2VEC2, delimiter="|", beam=64).decode({"logits": logits}).text
    assert text == "CAT"
    assert spelling_letters(WAV2VEC2, 0, "|") == set("CATR")


HEARD = np.log(
    [
        # pad, <s>, </s>, <unk>, |, C, A, T, R
        [0.02, 1e-9, 1e-9, 1e-9, 0.01, 0.90, 0.02, 0.02, 0.03],
        [0.02, 1e-9, 1e-9, 1e-9, 0.01, 0.01, 0.92, 0.02, 0.02],
        [0.02, 1e-9, 1e-9, 1e-9, 0.01, 0.01, 0.02, 0.70, 0.24],
    ]
)


def test_a_language_model_settles_what_the_sound_leaves_open():
    words = {"CAR": -0.2, "CAT": -2.0}
    model = NgramModel(1, {START: -99.0, END: -1.0, UNKNOWN: -3.0} | words, {})
    texts = [decoder(tokens=WAV2VEC2, delimiter="|", model=m).decode({"logits": HEARD}).text for m in (None, model)]
    assert texts == ["CAT", "CAR"]


def test_a_hotword_is_found_where_greedy_decoding_misses_it():
    greedy = GreedyCtcDecoder(WAV2VEC2, "huggingface", 0, "|", 0.02)
    assert greedy.decode({"logits": HEARD}).text == "CAT"
    for beam in (4, 64):
        named = decoder(tokens=WAV2VEC2, delimiter="|", hotwords=["CAR"], beam=beam)
        assert named.decode({"logits": HEARD}).text == "CAR"
    other = decoder(tokens=WAV2VEC2, delimiter="|", hotwords=["TAR", "CARAT"])
    assert other.decode({"logits": HEARD}).text == "CAT", "hotwords that were not said are not found"


def test_words_can_be_had_with_their_times():
    frames = ["C", "A", "<pad>", "T", "|", "A", "<pad>"]
    logits = 20.0 * np.eye(len(WAV2VEC2))[[WAV2VEC2.index(frame) for frame in frames]]
    made = decoder(tokens=WAV2VEC2, delimiter="|", beam=64)
    plain, detailed = made.decode({"logits": logits}), made.decode({"logits": logits}, detailed=True)
    assert (plain.text, plain.frames, plain.words) == ("CAT A", 7, None)
    assert detailed.words is not None
    found = [(word.text, word.start, word.end) for word in detailed.words]
    assert found == [("CAT", 0.0, pytest.approx(0.08)), ("A", pytest.approx(0.1), pytest.approx(0.12))]


def test_margin_and_decode_search_once(monkeypatch):
    made, calls = decoder(), []
    original = made._search.search
    monkeypatch.setattr(made._search, "search", lambda logits: calls.append(1) or original(logits))
    outputs = {"logits": np.random.default_rng(0).standard_normal((4, len(ABC))).astype(np.float32)}
    made.margin(outputs)
    made.decode(outputs)
    made.decode(outputs, detailed=True)
    assert len(calls) == 1
    made.decode({"logits": outputs["logits"].copy()})
    assert len(calls) == 2


def test_prefixes_that_are_dropped_are_forgotten(monkeypatch):
    """Of each frame's candidates only the beam and what it begins with stay in the tree."""
    made, sizes = search(beam=8), []
    pruned = made._pruned

    def counted(old, reached, frame):
        kept = pruned(old, reached, frame)
        root = next(iter(kept))
        while root.parent is not None:
            root = root.parent
        sizes.append((size_of(root), len({node for leaf in kept for node in lineage(leaf)})))
        return kept

    monkeypatch.setattr(made, "_pruned", counted)
    made.search(np.random.default_rng(0).standard_normal((300, len(ABC))))
    assert len(sizes) == 300
    assert all(size == needed for size, needed in sizes)


def lineage(node):
    while node is not None:
        yield node
        node = node.parent


def size_of(root):
    count, waiting = 0, [root]
    while waiting:
        node = waiting.pop()
        count += 1
        waiting += node.children.values()
    return count


@pytest.mark.parametrize("bad", [np.zeros((3, 7)), np.zeros(4), np.full((2, len(ABC)), np.nan)])
def test_other_shapes_and_values_are_refused(bad):
    for ask in (decoder().decode, decoder().margin):
        with pytest.raises(SampleError, match="logits"):
            ask({"logits": bad})
