"""Metrics against those of the original code, and against the recorded totals of the trained checkpoints."""

import json

import numpy as np
import pytest

from inferry.metrics import Utterance, score_speech
from inferry.metrics.vqa import AnsweredQuestion, Labels, label_weight, labels_of, score_answers
from inferry.processing.answers import given_answers, normalise_answer

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


def test_answers_score_as_allennlp_scores_them(shared):
    golden = json.loads((shared / "golden/vilbert/metrics.json").read_text(encoding="utf-8"))
    with np.load(shared / "golden/vilbert/metrics.npz") as arrays:
        questions = [
            AnsweredQuestion(
                str(row), int(logits.argmax()), given_answers(logits), Labels(tuple(labels), tuple(weights))
            )
            for row, (logits, labels, weights) in enumerate(
                zip(arrays["logits"], arrays["labels"].tolist(), arrays["label_weights"].tolist(), strict=True)
            )
        ]
    for count, expected in zip((4, 8), golden["cumulative_after_each_batch_of_4"], strict=True):
        score = score_answers(questions[:count])
        found = {"precision": score.precision, "recall": score.recall, "fscore": score.f1, "vqa_score": score.vqa_score}
        # The original divides in float32.
        assert {name: rate.rate / 100 for name, rate in found.items()} == pytest.approx(expected, rel=1e-6)
    assert score.vqa_accuracy is None


def test_a_padded_label_scores_nothing(shared):
    golden = json.loads((shared / "golden/vilbert/metrics.json").read_text(encoding="utf-8"))["model_full"]
    with (
        np.load(shared / "golden/vilbert/metrics.npz") as arrays,
        np.load(shared / "golden/vilbert/expected.npz") as outputs,
    ):
        labels, weights = arrays["model_full_labels"].tolist(), arrays["model_full_label_weights"].tolist()
        score = score_answers(
            AnsweredQuestion("", int(row.argmax()), given_answers(row), Labels(tuple(labels[i]), tuple(weights[i])))
            for i, row in enumerate(outputs["full__logits"])
        )
    found = [score.precision.rate, score.recall.rate, score.f1.rate, score.vqa_score.rate]
    expected = [golden[name] * 100 for name in ("precision", "recall", "fscore", "vqa_score")]
    assert found == pytest.approx(expected, rel=1e-6)


def test_label_weights_are_allennlp_s(shared):
    golden = json.loads((shared / "golden/vilbert/metrics.json").read_text(encoding="utf-8"))["get_score"]
    assert {str(people): label_weight(people) for people in range(11)} == golden


def test_answers_are_written_as_allennlp_writes_them(shared):
    table = json.loads((shared / "golden/vilbert/metrics.json").read_text(encoding="utf-8"))["preprocess_answer"]
    assert len(table) == 27
    assert [[answer, normalise_answer(answer)] for answer, _ in table] == table


def test_labels_of_the_annotations_are_the_original_reader_s(shared):
    folder = shared / "golden/vilbert"
    annotations = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))["annotations"]
    instances = json.loads((folder / "reader.json").read_text(encoding="utf-8"))["instances"]
    index_of = {answer: index for index, answer in enumerate(json.loads((folder / "answers.json").read_text()))}
    for annotation, instance in zip(annotations, instances, strict=True):
        labels = labels_of((row["answer"] for row in annotation["answers"]), index_of, normalise_answer)
        assert list(labels.indices) == instance["labels"]
        assert list(labels.weights) == pytest.approx(instance["label_weights"], rel=1e-6)
