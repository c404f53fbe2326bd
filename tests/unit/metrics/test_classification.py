import json

import numpy as np
import pytest

from inferry.core.errors import RunError, UsageError
from inferry.metrics.classification import Picture, parse_reference, score_classification
from inferry.metrics.classification_scores import ClassificationScore

LABELS = ("cat", "dog", "fish", "bird", "ant", "bee", "cow")
PICTURES = [
    Picture("a", "0", (0, 1, 2, 3, 4)),
    Picture("b", "0", (1, 0, 2, 3, 4)),
    Picture("c", "0", (1, 2, 3, 4, 5)),
    Picture("d", "1|2", (2, 0, 3, 4, 5)),
    Picture("e", "1|2", (6, 5, 4, 3, 1)),
    Picture("f", "6", (5, 6, 4, 3, 1)),
    Picture("g", "6", (0, 1, 2, 3, 4, 6)),
]


def test_counts_by_hand():
    score = score_classification(PICTURES, LABELS)
    assert (score.top1.correct, score.top5.correct, score.top1.pictures) == (2, 5, 7)
    assert score.top1.rate == pytest.approx(200 / 7)
    assert score.top5.rate == pytest.approx(500 / 7)
    assert [row.rank for row in score.rows] == [1, 2, None, 1, 5, 2, None]
    assert score.mix_up is None


def test_the_table_of_classes():
    table = score_classification(PICTURES, LABELS).classes
    assert [(row.reference, row.label, row.pictures, row.top1, row.top5) for row in table] == [
        ((0,), "cat", 3, 1, 2),
        ((1, 2), "dog | fish", 2, 1, 2),
        ((6,), "cow", 2, 0, 1),
    ]
    worst = score_classification(PICTURES, LABELS).worst_classes(2)
    assert [row.label for row in worst] == ["cow", "cat"]


def test_confusions_by_frequency():
    confusions = score_classification(PICTURES, LABELS).confusions
    assert [(row.label, row.answer_label, row.pictures) for row in confusions] == [
        ("cat", "dog", 2),
        ("dog | fish", "cow", 1),
        ("cow", "cat", 1),
        ("cow", "bee", 1),
    ]


def test_the_interval_holds_the_rate_and_has_the_width_of_a_binomial():
    random = np.random.default_rng(0)
    pictures = [Picture(str(i), "0", (0,) if random.random() < 0.8 else (1,)) for i in range(2000)]
    top1 = score_classification(pictures, LABELS).top1
    assert top1.low < top1.rate < top1.high
    expected = 2 * 1.96 * 100 * np.sqrt(0.8 * 0.2 / 2000)
    assert top1.high - top1.low == pytest.approx(expected, rel=0.15)
    assert top1.signature.startswith("top1|bootstrap:1000,seed:0|inferry:")


def test_json_and_back():
    score = score_classification(iter(PICTURES), LABELS)
    assert ClassificationScore.from_json(json.loads(json.dumps(score.to_json()))) == score
    assert ClassificationScore.from_json(score.to_json(rows=False)).rows == ()
    with pytest.raises(RunError, match="Evaluate again"):
        ClassificationScore.from_json({"top1": {}})


def test_a_mix_up_is_part_of_the_score():
    pictures = [Picture(str(i), str(i % 7), ((i * 3 + 1) % 7,)) for i in range(70)]
    score = score_classification(pictures, LABELS)
    assert score.mix_up.kind == "permutation"
    assert ClassificationScore.from_json(score.to_json()).mix_up == score.mix_up


def test_labels_from_one_on_are_scored_and_named_though_the_network_lacks_the_last():
    pictures = [Picture(str(i), str(i % 7 + 1), (i % 7,)) for i in range(70)]
    score = score_classification(pictures, LABELS)
    assert (score.mix_up.kind, score.mix_up.offset, score.mix_up.rate) == ("shift", -1, 100)
    assert (score.top1.correct, score.classes[-1].label, score.confusions[-1].label) == (0, "class 7", "class 7")
    assert "they count from 1 on" in score.remarks[0]
    with pytest.raises(RunError, match=r"class 8 is none of the network's 7"):
        score_classification([*pictures, Picture("x", "8", (0,))], LABELS)


def test_labels_that_may_count_from_one_on_are_asked_about():
    few = [Picture(str(i), str(i + 1), (0,)) for i in range(7)]
    with pytest.raises(RunError, match=r"class 7 is none .* none is 0: do they count from 1 on\?"):
        score_classification(few, LABELS)
    with pytest.raises(RunError, match=r"not those of this network$"):
        score_classification([*few, Picture("zero", "0", (0,))], LABELS)


def test_no_picture_at_all():
    score = score_classification([], LABELS)
    assert (score.top1.rate, score.top1.low, score.classes) == (None, None, ())


@pytest.mark.parametrize(("text", "numbers"), [("65", (65,)), ("65|66", (65, 66)), ("7|7|3", (7, 3))])
def test_references(text, numbers):
    assert parse_reference(text, 100) == numbers


@pytest.mark.parametrize(
    ("text", "reason"), [("cat", "no class index"), ("", "no class index"), ("1|", "no class"), ("-1", "no class"),
                         ("7", r"none of the network's 7 \(0 to 6\)")],
)  # fmt: skip
def test_a_reference_that_is_no_class(text, reason):
    with pytest.raises(RunError, match=f"the reference of x: .*{reason}"):
        score_classification([Picture("x", text, (0,))], LABELS)


def test_bad_bootstrap():
    with pytest.raises(UsageError, match="resamples=0"):
        score_classification(PICTURES, LABELS, resamples=0)


def test_the_trained_checkpoint_has_the_published_counts(shared):
    folder = shared / "checkpoints" / "beit-small"
    truth = json.loads((folder / "expected.json").read_text())
    labels = [row["class"] for row in truth["test"][::10]]
    score = score_classification(
        (Picture(row["file"], str(row["label"]), row["top5"]) for row in truth["test"]), labels
    )
    assert (score.top1.correct, score.top1.rate, score.top5.rate) == (truth["correct"], truth["top1"], truth["top5"])
    assert {row.label: row.top1 for row in score.classes} == truth["correct_of_10_per_class"]
    assert score.mix_up is None
