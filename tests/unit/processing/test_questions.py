import json

import numpy as np
import pytest

from inferry.checkpoints.wordpiece_tokenizer import make_tokenizer
from inferry.core.errors import BundleError, SampleError
from inferry.core.samples import Question, Regions
from inferry.processing.questions import QuestionSettings, QuestionTokenizer, question_features, region_inputs

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "it", "red", "##dish", "?", "Red"]
SETTINGS = QuestionSettings(feature_size=3, max_tokens=8)


def tokenizer(model_name="bert-base-uncased", **texts):
    made = make_tokenizer({"vocab.txt": "\n".join(WORDS), **texts}, model_name)
    assert made.problems == ()
    return QuestionTokenizer(made.json, SETTINGS.max_tokens)


def words_of(tokens):
    return [WORDS[index] for index in tokens.ids]


def regions(boxes, **changes):
    arrays = {
        "box_features": np.ones((boxes, 3), np.float64),
        "box_coordinates": np.ones((boxes, 4), np.int64),
        "box_mask": None,
    }
    return Regions(**{**arrays, **changes})


def test_words_are_cut_into_pieces_between_special_tokens():
    tokens = tokenizer().encode(Question(text=" Is it RÉDdish?"))
    assert words_of(tokens) == ["[CLS]", "is", "it", "red", "##dish", "?", "[SEP]"]
    assert tokens.types.tolist() == [0] * 7
    assert tokens.ids.dtype == np.int64


def test_a_special_token_in_a_text_stands_for_itself():
    assert words_of(tokenizer().encode(Question(text="it [MASK] zzz"))) == ["[CLS]", "it", "[MASK]", "[UNK]", "[SEP]"]


@pytest.mark.parametrize(
    ("name", "texts", "expected"),
    [
        ("bert-base-cased", {}, "Red"),
        ("bert-base-uncased", {}, "red"),
        ("bert-base-uncased", {"tokenizer_config.json": '{"do_lower_case": false}'}, "Red"),
        ("bert-base-uncased", {"tokenizer_config.json": "broken"}, "red"),
    ],
)
def test_capitals_stay_where_the_text_model_has_them(name, texts, expected):
    assert words_of(tokenizer(name, **texts).encode(Question(text="Red"))) == ["[CLS]", expected, "[SEP]"]


def test_a_guess_about_capitals_is_told():
    assert "lower-cased" in make_tokenizer({"vocab.txt": "\n".join(WORDS)}, "").notes[0]


def test_a_tokenizer_file_neither_pads_nor_cuts():
    text = json.loads(make_tokenizer({"vocab.txt": "\n".join(WORDS)}, "").json)
    text |= {"truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}}
    made = make_tokenizer({"tokenizer.json": json.dumps(text)}, "")
    assert len(QuestionTokenizer(made.json, 8).encode(Question(text="it is red ?")).ids) == 6


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Question(), "needs a text or token_ids"),
        (Question(text="  "), "needs a text or token_ids"),
        (Question(text="it " * 7), "has 9 tokens; the network takes at most 8"),
        (Question(token_ids=np.zeros((1, 3), np.int64)), "expected a row of integers"),
        (Question(token_ids=np.zeros(0, np.int64)), "expected a row of integers"),
        (Question(token_ids=np.zeros(3)), "token_ids have .*float64; expected a row of integers"),
        (Question(token_ids=np.array([2, 3]), type_ids=np.zeros(2)), "type_ids have .*float64; expected a row"),
        (Question(text=3), "the text of a question is a str, not int"),
        (Question(token_ids=np.array([2, 11, 3])), "reach from 2 to 11; the tokenizer has 11 tokens"),
        (Question(token_ids=np.array([2, 3]), type_ids=np.array([0])), "expected that of token_ids"),
        (Question(token_ids=np.array([2, 3]), type_ids=np.array([0, 2])), "expected 0 or 1"),
    ],
)
def test_a_question_that_cannot_be_used(question, reason):
    with pytest.raises(SampleError, match=reason):
        tokenizer().encode(question)


def test_ready_made_tokens_are_taken_as_they_are():
    tokens = tokenizer().encode(Question(token_ids=np.array([2, 7, 3], np.int32), type_ids=np.array([0, 1, 1])))
    assert (tokens.ids.tolist(), tokens.types.tolist()) == ([2, 7, 3], [0, 1, 1])


def test_a_broken_tokenizer_file():
    with pytest.raises(BundleError, match=r"tokenizer\.json cannot be read"):
        QuestionTokenizer("{}", 8)


def test_all_inputs_of_the_network():
    tokens = tokenizer().encode(Question(text="red?"))
    features = question_features(tokens, regions(2, box_mask=np.array([1.0, 0.0])), SETTINGS)
    assert {name: (array.shape, str(array.dtype)) for name, array in features.inputs.items()} == {
        "box_features": ((2, 3), "float32"),
        "box_coordinates": ((2, 4), "float32"),
        "box_mask": ((2,), "bool"),
        "token_ids": ((4,), "int64"),
        "mask": ((4,), "bool"),
        "type_ids": ((4,), "int64"),
    }
    assert features.length == 2
    assert features.inputs["box_mask"].tolist() == [True, False]


@pytest.mark.parametrize("found", [regions(0), regions(4, box_mask=np.zeros(4, bool))], ids=["none", "none valid"])
def test_a_picture_without_regions_has_one_box_that_is_not_valid(found):
    inputs = region_inputs(found, 3)
    assert inputs["box_mask"].tolist() == [False]
    assert not inputs["box_features"].any()
    assert inputs["box_coordinates"].shape == (1, 4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"box_features": np.ones((2, 5))}, r"box_features has shape \(2, 5\), expected \(2, 3\)"),
        ({"box_features": np.ones(3)}, r"^process: box_features has shape \(3,\), expected \(boxes, 3\)$"),
        ({"box_features": np.ones((1, 2, 3))}, r"box_features has shape \(1, 2, 3\), expected \(boxes, 3\)"),
        ({"box_coordinates": np.ones((3, 4))}, "box_coordinates has shape"),
        ({"box_mask": np.ones(3, bool)}, "box_mask has shape"),
        ({"box_features": np.full((2, 3), np.nan)}, "not finite"),
        ({"box_features": np.full((2, 3), 1e300)}, "not finite in float32"),
        ({"box_features": np.full((2, 3), "x")}, "box_features holds <U1, expected numbers"),
        ({"box_mask": np.array([0.5, 1.0])}, "box_mask holds other numbers than 0 and 1"),
    ],
)
def test_regions_that_cannot_be_used(changes, reason):
    with pytest.raises(SampleError, match=reason):
        region_inputs(regions(2, **changes), 3)


@pytest.mark.parametrize("row", [{}, {"kind": "question-and-regions"}, {"kind": "waveform"}], ids=str)
def test_a_broken_processor_file(row):
    with pytest.raises(BundleError, match=r"processor\.json"):
        QuestionSettings.from_json(row)
