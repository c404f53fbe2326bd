"""Files and questions to what is shown of them, with a network that is not there."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from inferry.core.errors import BackendError, SampleError, UsageError
from inferry.core.protocols import Window
from inferry.core.samples import Answer, ImageFile, Ranked, RegionFile
from inferry.pipeline.predict import (
    FORMATS,
    MANNERS,
    Failed,
    Predicted,
    check_names,
    check_request,
    predict,
    write_answer,
)
from inferry.pipeline.tasks.registry import TASKS
from inferry.report.ranking import Ranking

PICTURES = [Path("a.jpg"), Path("b.jpg")]
QUESTIONS = ["who is it?", "what is it?"]
ASKS = "visual-question-answering"


def bundle_of(task):
    return SimpleNamespace(path=Path("my bundle"), manifest=SimpleNamespace(task=task))


class Knowing:
    """Answers every question with its last word; what is said to be `bad` raises."""

    def __init__(self, bad=None):
        self.bundle = bundle_of(ASKS)
        self.bad = bad or {}
        self.asked = []

    def cut(self, sample):
        return (Window(sample),)

    def predict(self, samples, *, detailed):
        self.asked += samples
        (question,) = samples
        if (error := self.bad.get(question.text)) is not None:
            raise error
        return [Answer((Ranked(3, question.text.split()[-1], 0.5 if detailed else None),))]


def test_each_question_is_asked_about_each_picture():
    model = Knowing()
    answers = list(predict(model, PICTURES, QUESTIONS, detailed=True))
    assert [(one.shown.file, one.shown.question, one.shown.number) for one in answers] == [
        (file, question, number) for file in PICTURES for number, question in enumerate(QUESTIONS, 1)
    ]
    assert [(one.image, one.text) for one in model.asked[:2]] == [(ImageFile(PICTURES[0]), text) for text in QUESTIONS]
    assert all(one.windows == 1 for one in answers)


def test_one_question_has_no_number():
    (answer,) = predict(Knowing(), PICTURES[:1], QUESTIONS[:1], detailed=True)
    assert answer == Predicted(Ranking(PICTURES[0], Answer((Ranked(3, "it?", 0.5),)), QUESTIONS[0]), 1)


@pytest.mark.parametrize("name", ["regions.npz", "REGIONS.NPZ"])
def test_ready_made_regions_are_asked_about_too(name):
    model, file = Knowing(), Path(name)
    list(predict(model, [file], QUESTIONS[:1], detailed=True))
    (question,) = model.asked
    assert (question.image, question.regions) == (None, RegionFile(file, file, file))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SampleError("process", "the question has 900 tokens"), "process: the question has 900 tokens"),
        (BackendError("out of memory"), "infer: out of memory"),
    ],
)
def test_what_has_no_answer_says_which_question_it_was(error, reason):
    answers = list(predict(Knowing({QUESTIONS[0]: error}), PICTURES[:1], QUESTIONS, detailed=True))
    assert answers[0] == Failed("a.jpg", QUESTIONS[0], reason)
    assert answers[0].to_json() == {"file": "a.jpg", "question": QUESTIONS[0], "error": reason}
    assert answers[1].shown.prediction.best[0].label == "it?"


def test_answers_to_several_questions_are_written_side_by_side(tmp_path):
    shown = [one.shown for one in predict(Knowing(), PICTURES, QUESTIONS, detailed=True)]
    written = [write_answer(one, "text", tmp_path / "new") for one in shown]
    assert [path.name for path in written] == ["a.1.txt", "a.2.txt", "b.1.txt", "b.2.txt"]
    assert written[1].read_text(encoding="utf-8").startswith("what is it?\n  it?  ")


def test_names_must_differ():
    check_names([Path("a b.wav"), Path("a_b.wav")], "json")
    with pytest.raises(UsageError, match="have one name"):
        check_names([Path("x/a.jpg"), Path("a.png")], "json")


def test_every_task_can_be_shown():
    assert set(MANNERS) == set(TASKS)
    assert FORMATS == ("text", "srt", "vtt", "json", "ctm")


def test_a_question_is_needed_and_the_line_to_type_is_there():
    with pytest.raises(UsageError) as caught:
        check_request(bundle_of(ASKS), [Path("my photo.jpg")], "text", [], None)
    assert str(caught.value).endswith("\n  inferry predict 'my bundle' 'my photo.jpg' --question 'what is this?'")


@pytest.mark.parametrize(
    ("task", "kind", "questions", "draw", "message"),
    [
        (ASKS, "vtt", QUESTIONS, None, "--format vtt is not for visual-question-answering; available: text, json"),
        (ASKS, "text", ["who?", " "], None, "--question is empty: write a question"),
        ("speech-recognition", "text", QUESTIONS, None, "--question is for bundles that answer questions"),
        ("speech-recognition", "text", [], Path("out.png"), "--draw is for bundles that answer questions"),
        ("translation", "text", [], None, "'translation' cannot be shown; those that can: speech-recognition, "),
    ],
)
def test_what_a_task_cannot_do_is_refused(task, kind, questions, draw, message):
    with pytest.raises(UsageError, match=message):
        check_request(bundle_of(task), PICTURES, kind, questions, draw)


@pytest.mark.parametrize(("task", "kind"), [("speech-recognition", "ctm"), ("image-classification", "json")])
def test_what_a_task_can_do_is_not_refused(task, kind):
    assert check_request(bundle_of(task), PICTURES, kind, [], None) is MANNERS[task]
    assert check_request(bundle_of(ASKS), PICTURES, "json", QUESTIONS, Path("out.png")).asks
