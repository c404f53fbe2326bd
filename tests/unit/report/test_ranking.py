"""Ranked labels on the screen: bars that say what the scores say, in 80 columns, whatever the labels are."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from inferry.core.samples import Answer, Classification, Ranked
from inferry.report.ranking import FORMATS, Ranking, bars, shortened

BEST = (Ranked(7, "tabby cat", 0.75), Ranked(2, "dog", 0.2), Ranked(0, "owl", 0.0))
TEXT = (
    "  tabby cat  ██████████████████████▌         75.0 %\n"
    "  dog        ██████                          20.0 %\n"
    "  owl                                         0.0 %\n"
)


def test_a_picture_letter_by_letter():
    assert Ranking(Path("a.jpg"), Classification(BEST)).render("text") == TEXT


def test_a_question_stands_before_its_answers():
    ranking = Ranking(Path("a.jpg"), Answer(BEST), "who is it?")
    assert ranking.heading + ranking.render("text") == f"a.jpg: who is it?\n{TEXT}"


def test_a_screen_of_several_pictures_has_a_line_for_each_name():
    assert Ranking(Path("b/\udcff.jpg"), Classification(BEST)).heading == "b/\\udcff.jpg\n"


def test_json_has_scores_and_what_was_asked():
    picture = json.loads(FORMATS["json"](Ranking(Path("a.jpg"), Classification(BEST))))
    assert list(picture) == ["file", "label", "best"]
    assert picture["label"] == "tabby cat"
    assert picture["best"][1] == {"index": 2, "label": "dog", "score": 0.2}
    asked = json.loads(FORMATS["json"](Ranking(Path("a.jpg"), Answer(BEST, (7,)), "who?")))
    assert list(asked) == ["file", "question", "answer", "best", "given"]
    assert (asked["question"], asked["answer"]) == ("who?", "tabby cat")


@pytest.mark.parametrize(("number", "stem"), [(None, "a.b"), (2, "a.b.2")])
def test_each_of_several_questions_has_its_own_file(number, stem):
    assert Ranking(Path("x/a.b.jpg"), Answer(BEST), "who?", number).stem == stem


@given(st.lists(st.tuples(st.text(min_size=1), st.floats(0, 1)), min_size=1, max_size=5))
def test_every_line_fits(rows):
    lines = bars([Ranked(0, label, score) for label, score in rows]).split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(rows)
    assert all(cell_len(line) <= 80 for line in lines)
    assert len({cell_len(line) for line in lines}) == 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_greater_score_has_no_shorter_bar(one, other):
    low, high = (
        line.count("█")
        for line in bars([Ranked(0, "a", min(one, other)), Ranked(1, "b", max(one, other))]).splitlines()
    )
    assert low <= high


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("black-and-tan coonhound", "black-and-tan coonhound"),
        ("Great Dane, a very large dog", "Great Dane, a very large…"),
        ("hippopotamus, river horse", "hippopotamus, river horse"),
        ("hippopotamus, river horses", "hippopotamus, river…"),
        ("Pneumonoultramicroscopicsilicovolcanoconiosis", "Pneumonoultramicroscopic…"),
        ("a pneumonoultramicroscopicsilicovolcanoconiosis", "a pneumonoultramicroscop…"),
        ("猫" * 12, "猫" * 12),
        ("猫" * 13, "猫" * 12 + "…"),
    ],
)
def test_long_labels_end_after_a_word(label, expected):
    assert shortened(label, 25) == expected
    assert cell_len(expected) <= 25


def test_a_label_cannot_command_the_terminal():
    assert bars([Ranked(0, "\x1b[31mred\n", 0.5)]).startswith("  �[31mred�  █")


def test_scores_must_be_there():
    with pytest.raises(ValueError, match="'dog' has no score"):
        bars([Ranked(0, "dog")])
