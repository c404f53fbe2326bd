from inferry.report.markup import Markup
from inferry.report.rows import Absence, Answer, Column, Figure, Layout, Mark, Piece, Row
from inferry.report.samples import Exhibit, Samples, samples_section

LAYOUT = Layout(
    facts=(Column("seconds", digits=1, unit=" s"), Column("question", heads=True), Column("right class")),
    figures=(Column("wrong", digits=0),),
    answer="text",
    against="text against its reference",
    legend=(Piece("not recognised", Mark.MISSING),),
    order="worst first",
    unscored="longest first",
    search="Search",
    differ="texts differ",
)
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


def section(rows, exhibits=(), labels=("run",), total=None):
    found = len(rows) if total is None else total
    samples = Samples(LAYOUT, tuple(rows), found, LAYOUT.order, tuple(exhibits), "all.jsonl")
    return samples_section(labels, samples, rows)


def test_exhibits_are_escaped_and_show_what_changed():
    page = section([WRONG], [Exhibit(WRONG, None, "It is <gone>.")])
    assert "<del>B</del> <ins>X</ins>" in page
    assert "&lt;s&gt;" in page
    assert "<s>" not in page
    assert "&lt;b&gt;1" in page
    assert "It is &lt;gone&gt;." in page
    assert "1.5 s · 1 wrong of 3 words" in page


def test_what_is_known_of_a_sample_stands_on_its_card():
    given = Answer("owl", (Piece("owl", Mark.WRONG),), 2, others=(Piece("cat", Mark.RIGHT), Piece("dog")))
    page = section([WRONG], [Exhibit(row("1", given, facts=(None, "What <is> it?", "cat")), None)])
    assert '<p class="heads">What &lt;is&gt; it?</p>' in page
    assert '<p><span class="note">right class</span> cat</p>' in page
    assert '<b class="bad">owl</b> <span class="note">then <b class="good">cat</b>, dog</span>' in page


def test_media_stand_on_the_card():
    class Media:
        size = 3

        def to_markup(self, name):
            return Markup(f"<i>{name}</i>")

    assert "<i>2</i></article>" in section([WRONG], [Exhibit(row("2", SCORED), Media())])


def test_a_page_that_does_not_show_all_says_so():
    page = section([WRONG], total=1_000_000)
    assert "1 of 1,000,000 samples" in page
    assert "all.jsonl has all" in page


def test_without_references_there_are_no_differences_to_explain():
    one = row("1", plain("A"), Absence.ELSEWHERE)
    page = section([one], [Exhibit(one, None)], ("x", "y"))
    assert "not recognised" not in page
    assert "data-scored" not in page
    assert "<i>not among this run&#x27;s samples</i>" in page


def test_no_sample_at_all():
    assert "No sample has an answer." in section([])
