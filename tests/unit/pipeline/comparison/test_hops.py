import json

import numpy as np
import pytest

from inferry.core.errors import ParityError, RunError
from inferry.core.samples import Transcription
from inferry.pipeline.comparison.hops import Figure, Hop, Meter
from inferry.pipeline.tasks.registry import get_task
from inferry.processing.classification import ClassificationDecoder

SPEECH = get_task("speech-recognition")
PICTURES = get_task("image-classification")


class Letters:
    def decode(self, outputs):
        return Transcription(" ".join("ab"[index] for index in outputs["logits"].argmax(-1)), len(outputs["logits"]))

    def margin(self, outputs):
        best = np.sort(outputs["logits"], axis=-1)
        return float((best[:, -1] - best[:, -2]).min())


def logits(*rows):
    return {"logits": np.array(rows, np.float32)}


def measured(*pairs, references=None):
    meter = Meter("a → b", Letters(), 1e-4, SPEECH, {})
    for index, (expected, found) in enumerate(pairs):
        reference = None if references is None else references[index]
        meter.add(f"s{index}", logits(*expected), logits(*found), reference=reference)
    return meter


def test_a_hop_counts_frames_answers_and_ties():
    same, near, other = (
        [[0.0, 1.0]],
        ([[0.0, 1e-4]], [[1e-4, 0.0]]),
        ([[5.0, 0.0], [5.0, 0.0]], [[0.0, 5.0], [5.0, 0.0]]),
    )
    meter = measured((same, same), near, other)
    hop = meter.hop()
    assert (hop.samples, hop.max_abs, hop.answers_changed, hop.near_ties) == (3, 5.0, 1, 1)
    assert (hop.frames, hop.frames_changed) == (4, 2)
    assert meter.worst == "s2"
    assert not hop.passed


def test_word_errors_against_the_originals_texts_and_the_references():
    pairs = [([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]), ([[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2)]
    hop = measured(*pairs, references=["b b", None]).hop()
    assert hop.agreement == Figure("WER to the truth's texts", 25.0)
    assert hop.accuracy == Figure("WER to the references", 50.0)
    assert hop.to_json()["accuracy"] == {"name": "WER to the references", "percent": 50.0}
    assert measured(*pairs).hop().accuracy is None
    assert measured(*pairs, references=["", None]).hop().accuracy is None, "no word to divide by"


class Words(Letters):
    """The first letter is silence."""

    def decode(self, outputs):
        text = " ".join("b" for index in outputs["logits"].argmax(-1) if index)
        return Transcription(text, len(outputs["logits"]))


def test_the_truths_words_are_those_that_count():
    """One of two is missing. The other way round one would be too many beside one, which is 100 %."""
    meter = Meter("a → b", Words(), 1e-4, SPEECH, {})
    meter.add("a", logits([0.0, 1.0], [0.0, 1.0]), logits([0.0, 1.0], [1.0, 0.0]))
    assert meter.hop().agreement == Figure("WER to the truth's texts", 50.0)


def pictures_meter():
    return Meter(
        "a → b", ClassificationDecoder(("cat", "dog", "owl")), 10.0, PICTURES, {"labels.txt": "cat\ndog\nowl\n"}
    )


def scores(*values):
    return {"logits": np.array(values, np.float32)}


def test_pictures_have_classes_and_no_frames():
    meter = pictures_meter()
    meter.add("same", scores(3, 2, 1), scores(3, 2, 1), reference="0")
    meter.add("other", scores(3, 2, 1), scores(2, 3, 1), reference="0|2")
    meter.add("tie", scores(2, 2, 1), scores(1, 2, 1), reference="1")
    meter.add("unknown", scores(1, 2, 3), scores(1, 2, 3))
    hop = meter.hop()
    assert hop.agreement == Figure("same class as the truth", 50.0)
    assert hop.accuracy == Figure("top-1 to the references", pytest.approx(200 / 3))
    assert (hop.answers_changed, hop.near_ties) == (1, 1)
    assert (hop.frames, hop.samples) == (4, 4)


@pytest.mark.parametrize("reference", ["3", "A CAT", ("cat",)])
def test_references_of_another_data_set_are_an_error(reference):
    meter = pictures_meter()
    meter.add("a", scores(3, 2, 1), scores(3, 2, 1), reference=reference)
    with pytest.raises(RunError, match="the reference of a"):
        meter.hop()


def test_what_the_hop_itself_added():
    meter = Meter("b → c", Letters(), 1e-4, SPEECH, {})
    meter.add("a", logits([0.0, 1.0]), logits([0.0, 1.5]), previous=logits([0.0, 1.25]))
    assert (meter.hop().max_abs, meter.hop().added_max_abs) == (0.5, 0.25)
    assert measured(([[0.0, 1.0]], [[0.0, 1.0]])).hop().added_max_abs is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_never_passes(value):
    meter = measured(([[0.0, 1.0]], [[0.0, 1.0]]), ([[0.0, 1.0], [0.0, 1.0]], [[0.0, value], [0.0, 1.0]]))
    hop = meter.hop()
    assert hop.max_abs == np.inf
    assert (hop.answers_changed, hop.frames_changed, meter.worst) == (1, 1, "s1")
    assert not hop.passed
    assert "not finite" in hop.problem
    row = json.loads(json.dumps(hop.to_json(), allow_nan=False))
    assert row["max_abs"] is None
    assert not row["passed"]


def test_a_changed_answer_breaks_a_hop_within_its_tolerance():
    meter = Meter("a → b", Letters(), 10.0, SPEECH, {})
    meter.add("big", logits([0.0, 5.0]), logits([0.0, 9.0]))
    meter.add("flipped", logits([0.0, 1.0]), logits([1.0, 0.0]))
    assert meter.hop().max_abs == 4.0
    assert not meter.hop().passed
    assert meter.worst == "flipped"


def test_another_shape_never_passes():
    with pytest.raises(ParityError, match=r"logits of s0 have shape \(1, 3\) instead of \(1, 2\)"):
        measured(([[0.0, 1.0]], [[0.0, 1.0, 2.0]]))


def test_a_skipped_hop_says_so():
    skipped = Hop("a → b", skipped="no torch")
    assert skipped.passed
    assert skipped.to_json() == {"name": "a → b", "compared": False, "reason": "no torch"}


def test_a_row_has_what_the_report_reads():
    expected = {"name", "compared", "passed", "samples", "max_abs", "mean_abs", "p999_abs", "cosine", "just_passes"}
    expected |= {"tolerance", "added_max_abs", "frames", "frames_changed", "answers_changed", "near_ties"}
    assert set(Hop("a").to_json()) == expected | {"agreement", "accuracy"}
