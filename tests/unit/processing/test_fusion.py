import math

import pytest

from inferry.core.errors import UsageError
from inferry.processing.arpa import END, START, UNKNOWN, NgramModel
from inferry.processing.fusion import UNKNOWN_LOG10, LanguageModel, TextScorer, TextState, spelled_hotwords
from inferry.processing.hotwords import Hotwords

LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")
UNIGRAMS = {START: -99.0, END: -1.0, UNKNOWN: -2.0, "ONE": -0.5, "TWO": -0.6, "TOO": -0.9}
BIGRAMS = NgramModel(2, UNIGRAMS | {"<s> ONE": -0.3, "ONE TWO": -0.2, "TWO </s>": -0.1}, {START: -0.4, "ONE": -0.7})


def scorer(model=BIGRAMS, alpha=0.5, beta=2.0, hotwords=(), weight=3.0):
    fitted = None if model is None else LanguageModel(model, LETTERS, "test")
    return TextScorer(fitted, alpha, beta, Hotwords(hotwords, weight))


def state_of(scoring, text):
    state = TextState()
    for letter in text:
        state = scoring.end_word(state) if letter == " " else scoring.letter(state, letter)
    return state


def nats(*log10):
    return 0.5 * math.log(10) * sum(log10)


TEXTS = {
    "": nats(-0.4, -1.0),
    "ONE": nats(-0.3) + 2 + nats(-0.7, -1.0),
    "ONE TWO": nats(-0.3, -0.2) + 4 + nats(-0.1),
    "TWO ONE": nats(-0.4, -0.6, -0.5) + 4 + nats(-0.7, -1.0),
    "SIX TWO": nats(-0.4, -2.0 + UNKNOWN_LOG10, -0.6) + 4 + nats(-0.1),
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items(), ids=TEXTS)
def test_a_text_costs_what_the_model_says_and_gains_for_each_word(text, expected):
    scoring = scorer()
    assert scoring.end_text(state_of(scoring, text)) == pytest.approx(expected)
    if text:
        assert scoring.end_text(state_of(scoring, text + " ")) == pytest.approx(expected), "a delimiter changes nothing"


def test_a_word_pays_when_it_ends_and_an_unknown_one_before():
    scoring = scorer()
    assert state_of(scoring, "TWO").score == 0
    assert state_of(scoring, "TWO ").score == pytest.approx(nats(-0.4, -0.6) + 2)
    penalty = nats(UNKNOWN_LOG10)
    assert [state_of(scoring, text).score for text in ("T", "TO", "TX", "TXY")] == [0, 0, penalty, penalty]
    assert state_of(scoring, "TO ").score == pytest.approx(nats(-0.4, -2.0) + penalty + 2), "no beginning is a word"


def test_hotwords_are_free_of_the_penalty_for_unknown_words():
    scoring = scorer(hotwords=["TXY"])
    assert state_of(scoring, "TX").score == pytest.approx(3 * 2 / 3)
    assert state_of(scoring, "TXY ").score == pytest.approx(nats(-0.4, -2.0) + 2 + 3)
    assert scoring.end_text(state_of(scoring, "TX")) == pytest.approx(nats(-0.4, -2.0 + UNKNOWN_LOG10, -1.0) + 2)


def test_without_a_language_model_only_hotwords_add():
    scoring = scorer(model=None, hotwords=["ONE"])
    assert scoring.end_text(state_of(scoring, "TWO TWO")) == 0
    assert scoring.end_text(state_of(scoring, "TWO ONE")) == 3


@pytest.mark.parametrize(
    ("words", "spelling", "known"),
    [
        (["ONE", "TWO"], "as written", "ONE"),
        (["one", "two"], "upper case", "ONE"),
        (["One", "I", "may", "Mai"], "upper case", "MAY"),
        (["ONE", "naïve"], "as written", "ONE"),
    ],
)
def test_a_model_is_read_in_the_case_that_fits_the_network(words, spelling, known):
    model = NgramModel(1, {START: -99.0, END: -1.0, UNKNOWN: -2.0} | dict.fromkeys(words, -0.7), {})
    fitted = LanguageModel(model, LETTERS, "test")
    assert fitted.spelling == spelling
    assert fitted.knows(known)
    assert fitted.log10((START,), known) == -0.7
    assert fitted.log10((START,), END) == -1.0


def test_lower_case_networks_read_upper_case_models():
    fitted = LanguageModel(BIGRAMS, frozenset("abcdefghijklmnopqrstuvwxyz"), "test")
    assert fitted.spelling == "lower case"
    assert fitted.log10((START, "one"), "two") == -0.2
    assert fitted.shortened((START, "one", "two")) == ("two",)


def test_beginnings_of_known_words():
    fitted = LanguageModel(BIGRAMS, LETTERS, "test")
    assert [fitted.knows_beginning(text) for text in ("T", "TW", "TWO", "TWOS", "Z", "A")] == [True] * 3 + [False] * 3


def test_a_model_of_another_alphabet_is_refused_with_both_sides():
    model = NgramModel(1, {START: -99.0, END: -1.0, UNKNOWN: -2.0, "один": -0.7, "два": -0.7}, {})
    with pytest.raises(UsageError, match=r"any word of the language model ru.arpa \(два, один .*letters are 'ABC"):
        LanguageModel(model, LETTERS, "ru.arpa")


def test_hotwords_take_the_network_s_case():
    hotwords = spelled_hotwords(["anna", "New  York", "O'NEIL", "Anna"], LETTERS, 1.0)
    assert hotwords._phrases == ("ANNA", "NEW YORK", "O'NEIL")
    assert [hotwords.have_word(word) for word in ("ANNA", "NEW", "YORK", "O'NEIL")] == [True] * 4


@pytest.mark.parametrize("phrase", ["naïve", "X-RAY"])
def test_a_hotword_that_cannot_be_spelled_is_refused(phrase):
    with pytest.raises(UsageError, match=f"cannot spell the hotword {phrase!r}: its letters are 'ABC"):
        spelled_hotwords([phrase], LETTERS, 1.0)


@pytest.mark.parametrize("phrase", ["", "  "])
def test_an_empty_hotword_is_refused(phrase):
    with pytest.raises(UsageError, match="a hotword is empty"):
        spelled_hotwords(["ANNA", phrase], LETTERS, 1.0)
