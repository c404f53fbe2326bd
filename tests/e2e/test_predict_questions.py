"""``inferry predict`` with questions about pictures: answers, ready-made regions, and the regions drawn."""

import json
import re

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

import inferry
from inferry.cli.main import app
from inferry.core.samples import ImageFile, Question
from inferry.pipeline.parts import SharedSession

ASKED = ["what colour is the cat?", "how many shapes?"]
LINE = re.compile(r"  (\S+) +[█▏▎▍▌▋▊▉ ]{30} +(\d+\.\d) %")


def call(*arguments):
    return CliRunner().invoke(app, ["predict", *(str(one) for one in arguments)])


def options(questions):
    return [part for question in questions for part in ("--question", question)]


@pytest.fixture(scope="module")
def bundle(question_bundle):
    return question_bundle.path


@pytest.fixture(scope="module")
def photos(asking, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index in range(2):
        PIL.Image.fromarray(asking.pixels(80, 120, index)).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def answers(bundle, photos):
    """For each photo, the answers to what is asked."""
    with inferry.load(bundle) as model:
        asked = [[Question(image=ImageFile(photo), text=text) for text in ASKED] for photo in photos]
        return [model.predict(questions, detailed=True) for questions in asked]


@pytest.fixture
def searches(monkeypatch):
    """The pictures that the detector ran on."""
    run, found = SharedSession.__call__, []

    def spy(self, inputs):
        found.append(inputs["image"].shape)
        return run(self, inputs)

    monkeypatch.setattr(SharedSession, "__call__", spy)
    return found


def test_one_question_on_the_screen(bundle, photos, answers):
    done = call(bundle, photos[0], *options(ASKED[:1]))
    assert done.exit_code == 0, done.output
    question, *lines = done.stdout.splitlines()
    assert question == ASKED[0]
    found = [LINE.fullmatch(line) for line in lines]
    best = answers[0][0].best
    assert [(match[1], match[2]) for match in found] == [(one.label, f"{100 * one.score:.1f}") for one in best]


def test_each_question_is_asked_about_each_picture_and_looked_at_once(bundle, photos, answers, searches):
    done = call(bundle, *photos, *options(ASKED))
    headings = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert headings == [f"{photo}: {question}" for photo in photos for question in ASKED]
    assert len(searches) == len(photos)
    rows = json.loads(call(bundle, *photos, *options(ASKED), "--json").stdout)
    assert rows == [
        {"file": str(photo), "question": question, **answer.to_json()}
        for photo, found in zip(photos, answers, strict=True)
        for question, answer in zip(ASKED, found, strict=True)
    ]
    assert list(rows[0]) == ["file", "question", "answer", "best", "given"]


def test_ready_made_regions_are_asked_about(bundle, photos, answers, tmp_path, searches):
    with inferry.load(bundle) as model:
        found = model.processor.regions(Question(image=ImageFile(photos[0]), text="?"))
    searches.clear()
    arrays = {"box_features": found.box_features, "box_coordinates": found.box_coordinates}
    np.savez(tmp_path / "without_mask.npz", **arrays)
    np.savez(tmp_path / "with_mask.npz", **arrays, box_mask=np.ones(len(found.box_features), bool))
    files = [tmp_path / "without_mask.npz", tmp_path / "with_mask.npz"]
    rows = json.loads(call(bundle, *files, *options(ASKED[:1]), "--json").stdout)
    assert [row["best"] for row in rows] == [answers[0][0].to_json()["best"]] * 2
    assert not searches


def test_files_in_a_folder(bundle, photos, answers, tmp_path):
    call(bundle, *photos, *options(ASKED), "--output", tmp_path, "--format", "json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.1.json", "0.2.json", "1.1.json", "1.2.json"]
    written = json.loads((tmp_path / "1.2.json").read_text(encoding="utf-8"))
    assert (written["question"], written["answer"]) == (ASKED[1], answers[1][1].best[0].label)
    call(bundle, photos[0], *options(ASKED[:1]), "--output", tmp_path)
    assert (tmp_path / "0.txt").read_text(encoding="utf-8") == call(bundle, photos[0], *options(ASKED[:1])).stdout


def test_what_cannot_be_answered_is_named_and_the_others_go_on(bundle, photos, tmp_path):
    (tmp_path / "bad.png").touch()
    long = "cat " * 40
    done = call(bundle, tmp_path / "bad.png", photos[0], *options([ASKED[0], long]))
    assert done.exit_code == 1
    assert f"{tmp_path / 'bad.png'} ({ASKED[0]}): read: " in done.stderr
    assert f"{photos[0]} ({long}): process: the question has 42 tokens" in done.stderr
    assert done.stdout.startswith(f"{photos[0]}: {ASKED[0]}\n")
    rows = json.loads(call(bundle, tmp_path / "bad.png", photos[0], *options([ASKED[0], long]), "--json").stdout)
    assert ["error" in row for row in rows] == [True, True, False, True]
    assert rows[3]["question"] == long


def test_the_regions_are_drawn_over_the_picture(bundle, photos, tmp_path, searches):
    out = tmp_path / "out.png"
    done = call(bundle, photos[0], *options(["cat " * 40, ASKED[0]]), "--draw", out)
    assert done.exit_code == 1  # one of the questions has no answer
    drawn, picture = PIL.Image.open(out), PIL.Image.open(photos[0])
    assert drawn.size == (720, 480)  # six times as large, so that ranks can be read
    enlarged = picture.resize(drawn.size, PIL.Image.Resampling.BICUBIC)
    same = (np.asarray(drawn) == np.asarray(enlarged)).all(axis=2).mean()
    assert 0.05 < same < 0.99
    assert len(searches) == 1
    assert re.fullmatch(
        rf"{re.escape(str(out))}: \d+ regions, the best with rank and score", done.stderr.splitlines()[-1]
    )


def test_no_drawing_of_a_picture_that_was_not_answered(bundle, tmp_path):
    (tmp_path / "bad.png").touch()
    assert call(bundle, tmp_path / "bad.png", *options(ASKED), "--draw", tmp_path / "out.png").exit_code == 1
    assert not (tmp_path / "out.png").exists()


def test_without_a_detector_a_picture_cannot_be_looked_at(asking, photos, tmp_path):
    bundle = asking.write_bundle(tmp_path, detector=False).path
    done = call(bundle, photos[0], *options(ASKED[:1]), "--draw", tmp_path / "out.png")
    assert done.exit_code == 1
    assert "this bundle has no region detector" in done.stderr
    assert "--detector" in done.stderr


def test_a_name_with_a_dash_is_repeated_so_that_it_can_be_copied(bundle):
    done = call(bundle, "--", "-photo.jpg")
    assert done.exit_code == 2
    assert " ./-photo.jpg --question 'what is this?'" in done.stderr


def test_a_picture_without_regions_is_said_to_be_so(bundle, tmp_path, monkeypatch):
    PIL.Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    for count, told in ((0, "the detector found no region to draw"), (1, "1 region, with its score")):
        monkeypatch.setattr("inferry.pipeline.draw.draw", lambda *_, count=count: count)
        done = call(bundle, tmp_path / "a.png", *options(ASKED[:1]), "--draw", tmp_path / "out.png")
        assert done.stderr == f"{tmp_path / 'out.png'}: {told}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--question 'what is this?'"),
        (["--question", ""], "--question is empty"),
        (["--question", "who?", "--format", "ctm"], "--format ctm is not for visual-question-answering"),
        (["--question", "who?", "--beam", "2"], "a beam, a language model and hotwords are for speech"),
        (["--question", "who?", "--draw", "out"], "must end in one of .png"),
    ],
)
def test_what_cannot_be_meant_is_refused(bundle, arguments, message):
    done = call(bundle, "photo.jpg", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
