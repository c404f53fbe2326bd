import pytest

from inferry.core.errors import RunError, UsageError
from inferry.core.runs import Run
from inferry.core.samples import Answer, Classification, Ranked, Transcription
from inferry.core.scores import Answered
from inferry.pipeline.predict import MANNERS
from inferry.pipeline.reporting.views.registry import VIEWS
from inferry.pipeline.tasks.registry import TASKS, get_task, task_of

SPEECH, PICTURES, QUESTIONS = "speech-recognition", "image-classification", "visual-question-answering"
LABELS = {"labels.txt": "cat\ndog\nbird\n"}
ANSWERS = {"answers.txt": "@@PADDING@@\n@@UNKNOWN@@\nred\nblue\n"}


def ranked(*indices):
    return tuple(Ranked(index, f"name {index}") for index in indices)


def answered(id_, reference, prediction):
    return Answered(id_, reference, prediction.to_json())


def rate(task, files, *rows):
    score = get_task(task).score([answered(*row) for row in rows], files, resamples=10)
    return {one.name: one.percent for one in score.rates}


def test_texts_agree_by_the_words_of_the_truth():
    """One of two words is missing: 50 %; the other way round one of one word would be too many: 100 %."""
    assert get_task(SPEECH).agree([(Transcription("A B", 2), Transcription("A", 1))]) == 50.0


@pytest.mark.parametrize(("task", "kind"), [(PICTURES, Classification), (QUESTIONS, Answer)])
def test_ranked_answers_agree_by_the_best(task, kind):
    pairs = [(kind(ranked(2, 1)), kind(ranked(2, 3))), *[(kind(ranked(2, 1)), kind(ranked(1, 2)))] * 3]
    assert get_task(task).agree(pairs) == 25.0


@pytest.mark.parametrize("task", TASKS)
def test_nothing_agrees_with_nothing(task):
    assert get_task(task).agree([]) is None


def test_classes_are_scored_by_their_index():
    wrong, right = Classification(ranked(0, 1)), Classification(ranked(2, 1))
    found = rate(PICTURES, LABELS, ("a", "2", right), ("b", "2", wrong), ("c", "1|2", wrong), ("d", "0|2", right))
    assert found == {"top-1": 50.0, "top-5": 75.0}


def test_classes_have_the_names_of_their_lines():
    score = get_task(PICTURES).score([answered("a", "2", Classification(ranked(0, 1)))], LABELS, resamples=10)
    (confusion,) = score.to_json()["confusions"]
    assert (confusion["label"], confusion["answer_label"]) == ("bird", "cat")


def test_answers_are_scored_by_their_line():
    """All ten people say red, which is the third line: its index is 2."""
    right, wrong = Answer(ranked(2, 3), given=(2,)), Answer(ranked(3, 2), given=(3,))
    rows = [("a", right), ("b", wrong), ("c", right), ("d", right)]
    found = rate(QUESTIONS, ANSWERS, *((id_, ("red",) * 10, answer) for id_, answer in rows))
    assert (found["VQA score"], found["precision"], found["recall"]) == (75.0, 75.0, 75.0)


def test_the_official_accuracy_is_that_of_the_best_answer():
    best = Answer((Ranked(2, "red"), Ranked(3, "blue")), given=(2,))
    assert rate(QUESTIONS, ANSWERS, ("a", ("red",) * 10, best))["VQA accuracy (official)"] == 100.0
    assert rate(QUESTIONS, ANSWERS, ("a", ("blue",) * 10, best))["VQA accuracy (official)"] == 0.0


@pytest.mark.parametrize(("task", "reference"), [(SPEECH, ("a",)), (PICTURES, ("a",)), (QUESTIONS, "1")])
def test_a_reference_of_another_task_is_named(task, reference):
    prediction = Transcription("A", 1) if task == SPEECH else Answer(ranked(1))
    with pytest.raises(RunError, match=r"the reference of a .* for another task"):
        rate(task, {**LABELS, **ANSWERS}, ("a", reference, prediction))


@pytest.mark.parametrize(("task", "name"), [(PICTURES, "labels.txt"), (QUESTIONS, "answers.txt")])
def test_a_run_without_its_names_says_what_to_do(task, name):
    assert get_task(task).keeps == (name,)
    with pytest.raises(RunError, match=f"has no {name}, .*into a new folder"):
        get_task(task).score([], {})


@pytest.mark.parametrize("task", [PICTURES, QUESTIONS])
def test_normalisation_is_for_transcripts(task):
    with pytest.raises(UsageError, match="--normalisation upper is for transcripts"):
        get_task(task).score([], {**LABELS, **ANSWERS}, normalisation="upper")


def test_every_task_can_be_asked_scored_and_shown():
    assert set(TASKS) == set(MANNERS) == set(VIEWS)
    assert all(task.name == name for name, task in TASKS.items())


def test_a_run_names_its_task(tmp_path):
    assert task_of(Run(tmp_path, {"config": {"task": PICTURES}})).name == PICTURES
    with pytest.raises(RunError, match=r"older version of Inferry and names no task: run .* into a new folder"):
        task_of(Run(tmp_path, {"config": {"family": "wav2vec2"}}))
    with pytest.raises(UsageError, match=f"unknown task 'smell'; available: {SPEECH}"):
        task_of(Run(tmp_path, {"config": {"task": "smell"}}))
