import json

import pytest

from inferry.core.errors import RunError
from inferry.metrics import ErrorRate, SpeechScore, Utterance, UtteranceErrors, score_speech

SCORE = score_speech(
    [
        Utterance("right", "GO ON", "GO ON"),
        Utterance("close", "STOP IT", "STOP AT"),
        Utterance("far", "ONE TWO THREE", ""),
        Utterance("closer", "STOP THIS", "STOP THAT"),
    ]
)


def test_a_score_survives_json():
    assert SpeechScore.from_json(json.loads(json.dumps(SCORE.to_json()))) == SCORE


def test_without_rows_the_totals_survive():
    value = SCORE.to_json(rows=False)
    assert "rows" not in value
    again = SpeechScore.from_json(value)
    assert (again.rows, again.wer, again.cer) == ((), SCORE.wer, SCORE.cer)


def test_json_says_the_unit_and_the_derived_numbers():
    value = SCORE.to_json()
    assert value["unit"] == value["wer"]["unit"] == "percent"
    assert value["character_accuracy"] == 100 - value["cer"]["rate"]
    assert value["character_accuracy_without_spaces"] == 100 - value["cer_without_spaces"]["rate"]


def test_worst_rows_first_and_no_right_ones():
    assert [row.id for row in SCORE.worst(10)] == ["far", "closer", "close"]
    assert [row.id for row in SCORE.worst(1)] == ["far"]


@pytest.mark.parametrize("kind", [SpeechScore, ErrorRate, UtteranceErrors])
def test_missing_fields_are_named(kind):
    with pytest.raises(RunError, match=r"lacks .*; found other. Evaluate again"):
        kind.from_json({"other": 1})
