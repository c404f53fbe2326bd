import json

import pytest

from inferry.core.errors import RunError
from inferry.metrics.vqa import AnsweredQuestion, Labels, labels_of, leave_one_out, score_answers
from inferry.metrics.vqa_scores import VqaScore

INDEX = {"yes": 2, "no": 3, "red": 4}


def lower(text):
    return text.lower()


def question(predicted, given, labels, accuracy=None):
    indices, weights = zip(*labels, strict=True)
    return AnsweredQuestion("q", predicted, tuple(given), Labels(indices, weights), accuracy)


def test_labels_weigh_distinct_answers():
    labels = labels_of(["Yes", "yes", "maybe", "no", "no", "no", "NO"], INDEX, lower)
    assert labels == Labels((2, 1, 3), (2 / 3, 1 / 3, 1.0))


@pytest.mark.parametrize(
    ("answer", "people", "expected"),
    [
        ("yes", ["yes"] * 10, 1.0),
        ("yes", ["yes"] * 3 + ["no"] * 7, (3 * 2 / 3 + 7 * 1) / 10),
        ("yes", ["yes"] + ["no"] * 9, 9 / 30),
        ("yes", ["Yes"] * 10, 0.0),  # nobody disagrees, so nothing is normalised
        ("yes", ["Yes"] * 9 + ["no"], 1.0),
        ("yes", [" yes\n"] * 10, 1.0),
        ("yes", [], 0.0),
    ],
)
def test_the_official_accuracy_leaves_each_person_out(answer, people, expected):
    assert leave_one_out(answer, people, lower) == pytest.approx(expected)


def test_counts_pool_and_ignore_padding_and_unknown():
    score = score_answers(
        [
            question(2, [0, 1, 2, 3], [(2, 1.0), (1, 1 / 3)]),
            question(4, [], [(3, 1.0), (4, 0.0)]),
            question(1, [4], [(1, 1 / 3), (1, 1 / 3), (4, 1.0)]),
        ]
    )
    assert (score.right, score.given, score.expected) == (2, 3, 3)
    assert score.precision.rate == score.recall.rate == score.f1.rate == pytest.approx(200 / 3)
    assert score.vqa_score.rate == pytest.approx(100 * (1 + 0 + 2 / 3) / 3)
    assert score.vqa_score.low <= score.vqa_score.rate <= score.vqa_score.high
    assert score.vqa_accuracy is None


def test_the_official_accuracy_stands_under_its_own_name():
    rows = [question(2, [2], [(2, 1.0)], 0.9), question(3, [3], [(2, 1.0)], 0.0)]
    score = score_answers(rows)
    assert score.vqa_accuracy.rate == pytest.approx(45.0)
    assert "leave-one-out" in score.vqa_accuracy.signature
    assert score_answers([*rows, question(3, [3], [(2, 1.0)])]).vqa_accuracy is None


def test_nothing_to_divide_by_is_zero_as_in_the_original():
    score = score_answers([])
    assert (score.vqa_score.rate, score.precision.rate, score.f1.rate, score.questions) == (0.0, 0.0, 0.0, 0)
    assert score.vqa_score.low is None


def test_a_score_survives_json():
    score = score_answers([question(2, [2], [(2, 1.0)], 0.9), question(3, [], [(2, 1 / 3)], 0.0)])
    assert VqaScore.from_json(json.loads(json.dumps(score.to_json()))) == score
    assert "rows" not in score.to_json(rows=False)
    assert VqaScore.from_json(score.to_json(rows=False)).rows == ()
    with pytest.raises(RunError, match="broken"):
        VqaScore.from_json({})


def test_the_same_questions_give_the_same_interval():
    rows = [question(2 + i % 2, [2], [(2, 1.0)]) for i in range(20)]
    assert score_answers(rows, seed=3) == score_answers(rows, seed=3)
    assert score_answers(rows, seed=3).signature != score_answers(rows, seed=4).signature
