import json

import numpy as np
import pytest

from inferry.core.errors import ParityError
from inferry.core.samples import Transcription
from inferry.pipeline.comparison.hops import Hop, Meter


class Letters:
    def decode(self, outputs):
        return Transcription(" ".join("ab"[index] for index in outputs["logits"].argmax(-1)), len(outputs["logits"]))

    def margin(self, outputs):
        best = np.sort(outputs["logits"], axis=-1)
        return float((best[:, -1] - best[:, -2]).min())


def logits(*rows):
    return {"logits": np.array(rows, np.float32)}


def measured(*pairs, task="speech-recognition", references=None):
    meter = Meter("a → b", Letters(), 1e-4, task)
    for index, (expected, found) in enumerate(pairs):
        reference = None if references is None else references[index]
        meter.add(f"s{index}", logits(*expected), logits(*found), reference=reference)
    return meter


def test_a_hop_counts_frames_texts_and_ties():
    same, near, other = (
        [[0.0, 1.0]],
        ([[0.0, 1e-4]], [[1e-4, 0.0]]),
        ([[5.0, 0.0], [5.0, 0.0]], [[0.0, 5.0], [5.0, 0.0]]),
    )
    meter = measured((same, same), near, other)
    hop = meter.hop()
    assert (hop.samples, hop.max_abs, hop.texts_changed, hop.near_ties) == (3, 5.0, 1, 1)
    assert (hop.frames, hop.frames_changed) == (4, 2)
    assert meter.worst == "s2"
    assert not hop.passed


def test_word_errors_against_the_originals_texts_and_the_references():
    pairs = [([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]), ([[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2)]
    hop = measured(*pairs, references=["b b", None]).hop()
    assert hop.wer_to_original == 25.0
    assert hop.wer == 50.0
    assert measured(*pairs).hop().wer is None
    other_task = measured(*pairs, task="something-else").hop()
    assert other_task.wer_to_original is None
    assert other_task.texts_changed == 1


def test_what_the_hop_itself_added():
    meter = Meter("b → c", Letters(), 1e-4, "speech-recognition")
    meter.add("a", logits([0.0, 1.0]), logits([0.0, 1.5]), previous=logits([0.0, 1.25]))
    assert (meter.hop().max_abs, meter.hop().added_max_abs) == (0.5, 0.25)
    assert measured(([[0.0, 1.0]], [[0.0, 1.0]])).hop().added_max_abs is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_never_passes(value):
    meter = measured(([[0.0, 1.0]], [[0.0, 1.0]]), ([[0.0, 1.0], [0.0, 1.0]], [[0.0, value], [0.0, 1.0]]))
    hop = meter.hop()
    assert hop.max_abs == np.inf
    assert (hop.texts_changed, hop.frames_changed, meter.worst) == (1, 1, "s1")
    assert not hop.passed
    assert "not finite" in hop.problem
    row = json.loads(json.dumps(hop.to_json(), allow_nan=False))
    assert row["max_abs"] is None
    assert not row["passed"]


def test_a_changed_text_breaks_a_hop_within_its_tolerance():
    meter = Meter("a → b", Letters(), 10.0, "speech-recognition")
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
    expected |= {"tolerance", "added_max_abs", "frames", "frames_changed", "texts_changed", "near_ties"}
    assert set(Hop("a").to_json()) == expected | {"wer_to_original", "wer"}
