import json

from inferry.metrics.word_diff import word_diff
from inferry.report.markup import to_script_json
from inferry.report.utterances import LONGEST_TEXT, Answer, Exhibit, Row, Utterances, fitting, utterances_section


def scored(reference, text):
    diff = word_diff(reference, text)
    return Answer(text, diff.spans, diff.edits, diff.words)


def row(name, *answers):
    return Row(name, 1.5, answers)


WRONG = row("<b>1", scored("A B <s>", "A X <s>"))


def section(rows, exhibits=(), labels=("run",), total=None):
    shown = Utterances(tuple(rows), len(rows) if total is None else total, "worst first", tuple(exhibits), "all.jsonl")
    return utterances_section(labels, shown, rows)


def test_rows_are_compact():
    assert WRONG.to_json() == ["<b>1", 1.5, 0, [[1, 3, ["A", ["B", "X"], "<s>"]]]]
    assert row("2", Answer("A B"), None).to_json() == ["2", 1.5, 1, [[None, None, ["A B"]], None]]


def test_the_size_of_a_row_is_what_it_takes_in_the_page():
    rows = [WRONG, row("ä", Answer("ÖÜ"), None)]
    page = to_script_json([one.to_json() for one in rows])
    assert len(page.encode()) == sum(one.size for one in rows) + 1


def test_as_many_rows_as_fit():
    assert fitting([WRONG] * 5, 3 * WRONG.size) == (WRONG,) * 3
    assert fitting([WRONG], WRONG.size - 1) == ()


def test_long_texts_are_cut():
    long = "WORD " * 2000
    for answer in (Answer(long), scored(long, "X " * 2000), scored(long, long)):
        assert len(json.dumps(answer.to_json())) < 3 * LONGEST_TEXT
        assert "…" in json.dumps(answer.to_json(), ensure_ascii=False)


def test_exhibits_are_escaped_and_show_what_changed():
    page = section([WRONG], [Exhibit(WRONG, None, "It is <gone>.")])
    assert "<del>B</del> <ins>X</ins>" in page
    assert "&lt;s&gt;" in page
    assert "<s>" not in page
    assert "&lt;b&gt;1" in page
    assert "It is &lt;gone&gt;." in page
    assert "1 wrong of 3 words" in page


def test_a_page_that_does_not_show_all_says_so():
    page = section([WRONG], total=1_000_000)
    assert "1 of 1,000,000 samples" in page
    assert "all.jsonl has all" in page


def test_without_references_there_are_no_differences_to_explain():
    page = section([row("1", Answer("A"), Answer("B"))], [Exhibit(row("1", Answer("A"), None), None)], ("x", "y"))
    assert "not recognised" not in page
    assert "data-scored" not in page
    assert "<i>no answer</i>" in page


def test_no_sample_at_all():
    assert "No sample has an answer." in section([])


def test_runs_that_say_the_same_do_not_differ():
    assert not row("1", Answer("A"), Answer("A")).differ
    assert row("1", Answer("A"), None).differ
    assert row("1", scored("A B", "A"), scored("A B", "")).edits == 2
