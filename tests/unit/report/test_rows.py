import json
from dataclasses import replace

from inferry.report.markup import to_script_json
from inferry.report.rows import LONGEST_TEXT, Absence, Answer, Figure, Mark, Piece, Row, fitting

SCORED = Answer(
    "A X <s>",
    (Piece("A"), Piece("B", Mark.MISSING), Piece("X", Mark.EXTRA), Piece("<s>")),
    error=1,
    share=1 / 3,
    figures=(Figure(1, "1 of 3"),),
    said="1 wrong of 3 words",
)


def plain(text):
    return Answer(text, (Piece(text),))


def row(name, *answers, facts=(1.5, None, None)):
    return Row(name, facts, answers)


WRONG = row("<b>1", SCORED)


def test_rows_are_compact():
    answer = [1, [[1, "1 of 3"]], ["A", ["-", "B"], ["+", "X"], "<s>"]]
    assert WRONG.to_json() == ["<b>1", [1.5, None, None], 0, [answer]]
    absent = row("2", plain("A B"), Absence.QUARANTINED, Absence.ELSEWHERE)
    assert absent.to_json()[2:] == [1, [[None, [], ["A B"]], "quarantined", "not among this run's samples"]]


def test_the_size_of_a_row_is_what_it_takes_in_the_page():
    rows = [WRONG, row("ä", plain("ÖÜ"), Absence.ELSEWHERE, facts=(None, "ß?", "é"))]
    page = to_script_json([one.to_json() for one in rows])
    assert len(page.encode()) == sum(one.size for one in rows) + 1


def test_as_many_rows_as_fit():
    assert fitting([WRONG] * 5, 3 * WRONG.size) == (WRONG,) * 3
    assert fitting([WRONG], WRONG.size - 1) == ()


def test_long_texts_are_cut():
    long = "WORD " * 2000
    many = Answer(long, tuple(Piece("WORD ", mark) for mark in (Mark.MISSING, Mark.EXTRA) * 1000))
    for one in (row("1", plain(long)), row("1", many), row("1", facts=(None, long, None)), row(long)):
        assert len(json.dumps(one.to_json())) < 4 * LONGEST_TEXT
    assert "…" in json.dumps(plain(long).to_json(), ensure_ascii=False)


def test_runs_differ_where_both_have_the_sample():
    assert not row("1", plain("A"), plain("A")).differ
    assert row("1", plain("A"), plain("B")).differ
    assert row("1", plain("A"), Absence.QUARANTINED).differ
    assert not row("1", plain("A"), Absence.ELSEWHERE).differ
    assert not row("1", plain("A")).differ


def test_the_worst_answer_of_a_row_counts():
    right = replace(SCORED, error=0, share=0.0)
    assert row("1", right, SCORED).error == 1
    assert row("1", right, SCORED).badness > row("1", right, right).badness
    longer = row("1", plain("A"), facts=(9.0, None, None))
    assert longer.badness > row("1", plain("A")).badness
