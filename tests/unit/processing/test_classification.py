import json

import numpy as np
import pytest

from inferry.core.errors import BundleError, SampleError, UsageError
from inferry.core.protocols import Decoding
from inferry.processing.classification import ClassificationDecoder, decoder

CONFIG = {"decode": {"kind": "classification"}}
SEVEN = ClassificationDecoder(tuple("abcdefg"))


def logits(*values):
    return {"logits": np.array(values, np.float32)}


def test_the_five_best_without_scores():
    answer = SEVEN.decode(logits(0, 6, 2, 5, 1, 4, 3))
    assert [(one.index, one.label) for one in answer.best] == [(1, "b"), (3, "d"), (5, "f"), (6, "g"), (2, "c")]
    assert answer.to_json()["label"] == "b"
    assert "score" not in answer.to_json()["best"][0]


def test_equal_logits_keep_the_order_of_the_classes():
    assert [one.index for one in SEVEN.decode(logits(1, 2, 2, 1, 1, 1, 1)).best] == [1, 2, 0, 3, 4]


def test_detailed_gives_probabilities_over_all_classes():
    two = ClassificationDecoder(("no", "yes"))
    best = two.decode(logits(0, np.log(3)), detailed=True).best
    assert [one.score for one in best] == pytest.approx([0.75, 0.25])
    assert two.decode(logits(0, 30_000), detailed=True).best[0].score == 1.0


def test_the_margin_is_the_least_gap_among_six():
    assert SEVEN.margin(logits(9, 8, 7, 6, 5, 4.5, 4.49)) == 0.5
    assert SEVEN.margin(logits(9, 8.75, 7, 6, 5, 4, 4)) == 0.25
    assert SEVEN.margin(logits(1, 1, 0, 0, 0, 0, 0)) == 0.0
    assert ClassificationDecoder(("a", "b")).margin(logits(-1, 1)) == 2.0
    assert ClassificationDecoder(("a",)).margin(logits(3)) == float("inf")


def test_golden_classes(shared):
    folder = shared / "golden" / "beit"
    truth = json.loads((folder / "expected_top.json").read_text())
    numbers = ClassificationDecoder(tuple(map(str, range(24))))
    rows = np.load(folder / "expected.npz")["logits"]
    assert [[one.index for one in numbers.decode({"logits": row}).best] for row in rows] == truth["top5"]


@pytest.mark.parametrize("use", ["decode", "margin"])
@pytest.mark.parametrize(
    ("values", "reason"), [([1.0] * 6, r"\(6,\); expected \(7 classes,\)"), ([np.nan] + [1.0] * 6, "1 logits are NaN")]
)
def test_bad_logits(use, values, reason):
    with pytest.raises(SampleError, match=reason):
        getattr(SEVEN, use)(logits(*values))


def test_the_decoder_of_a_bundle():
    made = decoder(CONFIG, {"labels.txt": "tench, Tinca tinca\ngold\u2028fish\n"}, Decoding())
    assert made == ClassificationDecoder(("tench, Tinca tinca", "gold\u2028fish")), "a line ends as scoring reads it"


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        ({}, {"labels.txt": "a"}, "KeyError"),
        (CONFIG, {}, "labels.txt"),
        (CONFIG, {"labels.txt": ""}, "names no class"),
        ({"decode": {"kind": "ctc-greedy"}}, {"labels.txt": "a"}, "available: classification"),
    ],
)
def test_a_broken_bundle(config, files, message):
    with pytest.raises(BundleError, match=message):
        decoder(config, files)


def test_options_of_speech_are_refused():
    with pytest.raises(UsageError, match="speech"):
        decoder(CONFIG, {"labels.txt": "a"}, Decoding(beam=4))
