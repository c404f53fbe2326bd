"""Error rates against deepspeech.pytorch's own and against the recorded totals of the trained checkpoints."""

import json

import pytest

from inferry.metrics import Utterance, score_speech

CHECKPOINTS = ("wav2vec2-an4-small", "data2vec-audio-an4-small", "deepspeech2-an4-small", "deepspeech2-an4-medium")


def test_string_pairs_score_as_deepspeech_pytorch_scores_them(shared):
    golden = json.loads((shared / "golden/deepspeech/metrics.json").read_text(encoding="utf-8"))
    pairs = golden["pairs"]
    score = score_speech(Utterance(str(i), pair["ref"], pair["hyp"]) for i, pair in enumerate(pairs))
    assert [row.word_edits for row in score.rows] == [pair["word_edits"] for pair in pairs]
    assert [row.words for row in score.rows] == [pair["ref_words"] for pair in pairs]
    assert [row.character_edits_without_spaces for row in score.rows] == [pair["char_edits"] for pair in pairs]
    assert [row.characters_without_spaces for row in score.rows] == [pair["ref_chars"] for pair in pairs]
    # The original divides in float32.
    assert score.wer.rate == pytest.approx(golden["WER"], rel=1e-6)
    assert score.cer_without_spaces.rate == pytest.approx(golden["CER"], rel=1e-6)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_totals_of_the_trained_checkpoints(shared, checkpoint):
    expected = json.loads((shared / "checkpoints" / checkpoint / "expected.json").read_text(encoding="utf-8"))
    rows = expected["utterances"]
    score = score_speech(Utterance(row["id"], row["reference"], row["text"]) for row in rows)
    bare = "chars_without_spaces" in expected
    character = score.cer_without_spaces if bare else score.cer
    assert (score.wer.edits, score.wer.reference_units) == (expected["word_edits"], expected["words"])
    assert character.edits == expected["char_edits"]
    assert character.reference_units == expected["chars_without_spaces" if bare else "chars"]
    assert score.wer.rate == pytest.approx(expected["WER"], abs=5e-5)
    assert character.rate == pytest.approx(expected["CER"], abs=5e-5)
    if "CER_without_spaces" in expected:
        assert score.cer_without_spaces.rate == pytest.approx(expected["CER_without_spaces"], abs=5e-5)
    assert [row.word_edits for row in score.rows] == [row["word_edits"] for row in rows]
    edits = [row.character_edits_without_spaces if bare else row.character_edits for row in score.rows]
    assert edits == [row["char_edits"] for row in rows]
