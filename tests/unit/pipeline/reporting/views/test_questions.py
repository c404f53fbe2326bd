import json

import numpy as np
import PIL.Image
import pytest

from inferry.core.samples import Question, Regions
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.report import report
from inferry.pipeline.reporting.views import questions
from inferry.report.rows import Mark

TASK = "visual-question-answering"
ANSWERS = ["<pad>", "<unk>", "yes", "no", "2", "blue", "red"]
TEXTS = {"answers.txt": "\n".join(ANSWERS) + "\n"}
ASKED = {
    1: ("Is it <b>blue</b>?", ["yes"] * 7 + ["no"] * 3, [2, 3]),
    2: ("How many?", ["two"] * 9 + ["<i>many"], [4, 2]),
    3: ("What colour?", ["blue"] * 2 + ["teal"] * 8, [5, 6]),
    4: ("What colour is the sky?", ["teal"] * 10, [1, 6]),
    5: ("What is this?", ["blue"] * 10, [6, 3]),
}
"""By id: the question, what people say, and the best answers."""


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "vqa"
    folder.mkdir()
    PIL.Image.fromarray(np.full((300, 200, 3), 77, np.uint8)).save(folder / "COCO_val2014_000000000071.jpg")
    asked = [{"question_id": id_, "image_id": 71, "question": text} for id_, (text, _, _) in ASKED.items()]
    (folder / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"questions": asked}))
    return folder


def row(id_, best, reference):
    ranked = [{"index": index, "label": ANSWERS[index]} for index in best]
    shared = {"id": str(id_), "answer": ranked[0]["label"], "best": ranked, "given": best[:1], "seconds": None}
    return shared | {"reference": reference}


@pytest.fixture
def run(write_run, data, tmp_path):
    rows = [row(id_, best, people) for id_, (_, people, best) in ASKED.items()]
    folder = write_run(tmp_path / "run", TASK, data, rows, kind="vqa-v2", texts=TEXTS)
    evaluate(folder)
    return folder


def test_scores_are_those_of_the_metrics(run, gather):
    score = json.loads((run / "metrics.json").read_text())["score"]
    shown = {one.id: [figure.value / 100 for figure in one.answers[0].figures] for one in gather(run)[1].rows}
    assert shown == {one["id"]: pytest.approx([one["score"], one["accuracy"]]) for one in score["rows"]}
    assert shown["4"] == [1.0, 0.0], "answers outside the vocabulary are the unknown answer to the original only"


def test_the_worst_come_first_with_question_and_people(run, gather):
    _, samples = gather(run)
    assert [one.id for one in samples.rows] == ["5", "3", "4", "1", "2"]
    assert [one.row.id for one in samples.exhibits] == ["5", "3"]
    facts = {one.id: one.facts for one in samples.rows}
    assert facts["3"] == ("What colour?", "teal\N{NO-BREAK SPACE}(8), blue\N{NO-BREAK SPACE}(2)")
    assert facts["2"] == ("How many?", "two\N{NO-BREAK SPACE}(9), <i>many")


def test_answers_that_people_gave_are_marked(run, gather):
    answers = {one.id: one.answers[0] for one in gather(run)[1].rows}
    assert answers["5"].pieces == (("red", Mark.WRONG),)
    assert answers["5"].others == (("no", Mark.SAME),)
    assert answers["3"].pieces == (("blue", Mark.RIGHT),)
    assert answers["1"].others == (("no", Mark.RIGHT),)


def test_the_page_shows_all_five_figures_and_escapes_what_was_asked(run, gather):
    (part,), _ = gather(run)
    assert [rate.name for rate in part.accuracy.rates] == [
        "VQA score",
        "precision",
        "recall",
        "F1",
        "VQA accuracy (official)",
    ]
    assert [fact.label for fact in part.overview.facts][:2] == ["VQA score", "VQA accuracy (official)"]
    text = report(run).read_text(encoding="utf-8")
    assert '<p class="heads">What is this?</p>' in text
    assert "<b>blue" not in text
    assert "<i>many" not in text
    assert text.count("<img src=") == 2
    assert 'width="128" height="192"' in text


def test_without_its_answers_a_run_knows_those_that_it_gave(run, gather):
    before = {one.id: one.answers[0].figures for one in gather(run)[1].rows if one.id != "4"}
    (run / "answers.txt").unlink()
    assert {one.id: one.answers[0].figures for one in gather(run)[1].rows if one.id != "4"} == before


def test_questions_without_answers_of_people(write_run, data, tmp_path, gather):
    folder = write_run(tmp_path / "run", TASK, data, [row(1, [2, 3], None)], kind="vqa-v2", texts=TEXTS)
    (one,) = gather(folder)[1].rows
    assert one.facts == ("Is it <b>blue</b>?", None)
    assert (one.answers[0].pieces, one.answers[0].figures) == ((("yes", Mark.SAME),), ())


def test_data_that_is_gone_leaves_the_answers(run, data, gather):
    data.rename(data.with_name("elsewhere"))
    _, samples = gather(run)
    assert "Neither questions nor pictures can be shown: the data set is gone." in samples.missing
    assert samples.rows[0].facts[0] is None
    assert "What colour" not in report(run).read_text(encoding="utf-8")


def test_ready_made_regions_have_no_picture(run, gather):
    regions = Regions(np.zeros((1, 1024), np.float32), np.zeros((1, 4), np.float32))
    with pytest.raises(Exception, match="asked about ready-made regions"):
        questions.media(Question(regions=regions, text="What?"), ())
    assert questions.asked(Question(regions=regions)) is None
