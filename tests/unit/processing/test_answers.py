import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.errors import BundleError, SampleError, UsageError
from inferry.core.protocols import Decoding
from inferry.core.samples import Ranked
from inferry.processing.answers import AnswerDecoder, decoder, given_answers, normalise_answer

ANSWERS = ("@@PADDING@@", "@@UNKNOWN@@", "yes", "no", "red", "blue", "2")
PROCESSOR = {"decode": {"kind": "answers"}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("shouldntve", "shouldntve"),
        ("shouldn'tve", "shouldn't've"),
        ("shouldnt've", "shouldn't've"),
        ("somebody'd", "somebodyd"),
        ("Ive", "ive"),  # the original's table has a capital that no lower-cased word meets
        ("yall'd've", "y'all'd've"),
        ("1,000 red/blue", "1000 redblue"),  # a comma in a number makes all marks vanish
        ("red/ blue", "red blue"),
        ("." * 40, "." * 8),  # only 32 periods go
        ("3.5.", "3.5"),
        ("the a an", ""),
        ("  ", ""),
    ],
)
def test_quirks_of_the_original(answer, expected):
    assert normalise_answer(answer) == expected


@given(st.text(max_size=40))
def test_any_text_becomes_words_without_articles(text):
    words = normalise_answer(text).split(" ")
    assert not {"a", "an", "the"} & set(words)


def test_the_best_answers_first_with_ties_in_order():
    logits = np.array([-9, 0, 2, 2, 3, -1, 1], np.float32)
    answer = AnswerDecoder(ANSWERS).decode({"logits": logits})
    assert [one.label for one in answer.best] == ["red", "yes", "no", "2", "@@UNKNOWN@@"]
    assert answer.best[0] == Ranked(4, "red", None)
    detailed = AnswerDecoder(ANSWERS).decode({"logits": logits}, detailed=True)
    assert detailed.best[0].score == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert answer.given == given_answers(logits) == (2, 3, 4, 6)
    assert answer.to_json()["given"] == [2, 3, 4, 6]


def test_a_margin_guards_the_order_and_the_threshold():
    decode = AnswerDecoder(ANSWERS)
    assert decode.margin({"logits": np.array([9, 7, 5, 4, 3, 2.5, -4], np.float32)}) == pytest.approx(0.5)
    assert decode.margin({"logits": np.array([9, 7, 5, 4, 3, 2, 0.49], np.float32)}) == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize("logits", [np.zeros(3, np.float32), np.full(7, np.nan, np.float32)], ids=["shape", "nan"])
def test_bad_logits_are_refused(logits):
    with pytest.raises(SampleError, match="logits"):
        AnswerDecoder(ANSWERS).decode({"logits": logits})


def test_a_decoder_from_a_bundle():
    files = {"answers.txt": "".join(f"{answer}\n" for answer in ANSWERS)}
    assert decoder(PROCESSOR, files, Decoding()) == AnswerDecoder(ANSWERS)
    with pytest.raises(UsageError, match="answers are decoded without options"):
        decoder(PROCESSOR, files, Decoding(beam=4))


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ({}, {"answers.txt": "a\nb\n"}),
        (PROCESSOR, {}),
        (PROCESSOR, {"answers.txt": ""}),
        ({"decode": {"kind": "x"}}, {"answers.txt": "a\nb\n"}),
    ],
    ids=["no section", "no file", "no answers", "another kind"],
)
def test_a_broken_bundle(config, files):
    with pytest.raises(BundleError):
        decoder(config, files)
