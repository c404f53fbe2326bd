import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.errors import SampleError
from inferry.processing.ctc import GreedyCtcDecoder

WAV2VEC2 = ("<pad>", "<s>", "</s>", "<unk>", "|", "H", "E", "L", "O", "'")
DEEPSPEECH = ("_", "'", "H", "E", "L", "O", " ")

HUGGINGFACE_CASES = {
    "repeats merge": ("H H E L L O", "HELO"),
    "a blank keeps both letters": ("H E L <pad> L O", "HELLO"),
    "blanks vanish": ("<pad> H <pad> <pad> E <pad>", "HE"),
    "delimiters become spaces": ("H E | | H E", "HE HE"),
    "delimiters around a blank give two spaces": ("H | <pad> | E", "H  E"),
    "the ends are stripped": ("| <pad> | H | <pad>", "H"),
    "delimiters alone are no text": ("| <pad> |", ""),
    "blanks alone are no text": ("<pad> <pad>", ""),
    "special tokens stay as they are written": ("<s> H <unk> <unk> </s>", "<s>H<unk></s>"),
    "one frame": ("O", "O"),
}
DEEPSPEECH_CASES = {
    "repeats merge": ("H H E L L O", "HELO"),
    "a blank keeps both letters": ("H E L _ L O", "HELLO"),
    "the ends are not stripped": ("~ _ ~ H ~ ~", "  H "),
    "the apostrophe is a letter": ("H ' ' _ '", "H''"),
    "blanks alone are no text": ("_ _ _", ""),
}


def huggingface():
    return GreedyCtcDecoder(WAV2VEC2, "huggingface", blank=0, word_delimiter="|", frame_seconds=0.02)


def deepspeech():
    return GreedyCtcDecoder(DEEPSPEECH, "deepspeech", blank=0, word_delimiter=" ", frame_seconds=0.02)


def one_hot(tokens, frames):
    return {"logits": np.eye(len(tokens), dtype=np.float32)[[tokens.index(token) for token in frames]]}


@pytest.mark.parametrize(("frames", "text"), HUGGINGFACE_CASES.values(), ids=HUGGINGFACE_CASES)
def test_huggingface_style(frames, text):
    decoded = huggingface().decode(one_hot(WAV2VEC2, frames.split()))
    assert decoded.text == text
    assert decoded.frames == len(frames.split())


@pytest.mark.parametrize(("frames", "text"), DEEPSPEECH_CASES.values(), ids=DEEPSPEECH_CASES)
def test_deepspeech_style(frames, text):
    letters = [" " if frame == "~" else frame for frame in frames.split()]
    assert deepspeech().decode(one_hot(DEEPSPEECH, letters)).text == text


def test_the_blank_may_stand_anywhere():
    decoder = GreedyCtcDecoder(("A", "B", "-"), "huggingface", blank=2, word_delimiter="|", frame_seconds=0.02)
    assert decoder.decode(one_hot(("A", "B", "-"), ["A", "-", "A", "B"])).text == "AAB"


def test_the_first_of_equal_logits_wins():
    assert deepspeech().decode({"logits": np.zeros((3, len(DEEPSPEECH)), np.float32)}).text == ""


def test_no_frames():
    outputs = {"logits": np.zeros((0, len(DEEPSPEECH)), np.float32)}
    assert deepspeech().decode(outputs).text == ""
    assert deepspeech().decode(outputs).frames == 0
    assert deepspeech().margin(outputs) == math.inf


def test_the_margin_is_that_of_the_least_certain_frame():
    logits = np.zeros((2, len(DEEPSPEECH)), np.float32)
    logits[0, 3], logits[0, 5] = 4.0, 1.0
    logits[1, 2], logits[1, 1] = 7.0, 6.5
    assert deepspeech().margin({"logits": logits}) == 0.5


def test_a_tie_has_no_margin():
    assert deepspeech().margin({"logits": np.ones((1, len(DEEPSPEECH)), np.float32)}) == 0.0


def test_a_single_token_can_never_change():
    decoder = GreedyCtcDecoder(("_",), "deepspeech", blank=0, word_delimiter=" ", frame_seconds=0.02)
    assert decoder.margin({"logits": np.ones((4, 1), np.float32)}) == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_logits_are_refused(bad):
    logits = np.zeros((2, len(DEEPSPEECH)), np.float32)
    logits[1, 1] = bad
    with pytest.raises(SampleError, match="1 logits are NaN or infinite") as caught:
        deepspeech().decode({"logits": logits})
    assert caught.value.stage == "decode"


def test_a_vocabulary_of_another_size_is_refused():
    with pytest.raises(SampleError, match=r"logits have shape \(2, 5\); expected \(frames, 7 tokens\)"):
        deepspeech().decode({"logits": np.zeros((2, 5), np.float32)})


def test_words_have_the_times_of_their_frames():
    frames = ["<pad>", "H", "H", "<pad>", "E", "|", "|", "<pad>", "O", "'", "|"]
    decoded = huggingface().decode(one_hot(WAV2VEC2, frames), detailed=True)
    assert decoded.text == "HE O'"
    assert [(word.text, round(word.start, 6), round(word.end, 6)) for word in decoded.words] == [
        ("HE", 0.02, 0.1),
        ("O'", 0.16, 0.2),
    ]
    probability = math.e / (math.e + len(WAV2VEC2) - 1)
    assert [word.confidence for word in decoded.words] == pytest.approx([probability] * 2)


def test_words_come_only_when_they_are_asked_for():
    outputs = one_hot(DEEPSPEECH, ["H"])
    assert deepspeech().decode(outputs).words is None
    assert deepspeech().decode({"logits": np.zeros((0, len(DEEPSPEECH)), np.float32)}, detailed=True).words == ()


@pytest.mark.parametrize(("decoder", "tokens"), [(huggingface(), WAV2VEC2), (deepspeech(), DEEPSPEECH)])
@given(data=st.data())
def test_words_are_those_of_the_text(decoder, tokens, data):
    frames = data.draw(st.lists(st.sampled_from(tokens), min_size=1, max_size=20))
    decoded = decoder.decode(one_hot(tokens, frames), detailed=True)
    assert [word.text for word in decoded.words] == decoded.text.split()
    assert decoded.text == decoder.decode(one_hot(tokens, frames)).text
