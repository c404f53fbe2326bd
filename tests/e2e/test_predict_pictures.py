"""``inferry predict`` with pictures: the best labels on the screen and in files, and what is refused."""

import json
import re

import pytest
from typer.testing import CliRunner

import inferry
from inferry.cli.main import app
from inferry.pipeline.export import export
from inferry.pipeline.model import Model

LINE = re.compile(r"  (\w+)  [█▏▎▍▌▋▊▉ ]{30} +(\d+\.\d) %")


def call(*arguments):
    return CliRunner().invoke(app, ["predict", *(str(one) for one in arguments)])


@pytest.fixture(scope="module")
def bundle(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return export("beit", pictures.write_beit(folder / "beit"), folder / "bundle", reference=False).path


@pytest.fixture(scope="module")
def files(pictures, tmp_path_factory):
    return sorted(pictures.write_pictures(tmp_path_factory.mktemp("data"), 3, labelled=False).iterdir())


@pytest.fixture(scope="module")
def rankings(bundle, files):
    with inferry.load(bundle) as model:
        return model.predict(files, detailed=True)


def test_one_picture_on_the_screen(bundle, files, rankings):
    done = call(bundle, files[0])
    assert done.exit_code == 0, done.output
    found = [LINE.fullmatch(line) for line in done.stdout.splitlines()]
    assert [match[1] for match in found] == [one.label for one in rankings[0].best]
    assert [match[2] for match in found] == [f"{100 * one.score:.1f}" for one in rankings[0].best]


def test_several_pictures_have_a_heading_each(bundle, files):
    alone = [call(bundle, file).stdout for file in files]
    done = call(bundle, *files)
    assert done.stdout == "".join(f"{file}\n{text}" for file, text in zip(files, alone, strict=True))


def test_json_on_the_screen(bundle, files, rankings):
    done = call(bundle, *files, "--json")
    assert done.stdout == call(bundle, *files, "--format", "json").stdout
    rows = json.loads(done.stdout)
    assert rows == [{"file": str(file), **one.to_json()} for file, one in zip(files, rankings, strict=True)]
    assert list(rows[0]) == ["file", "label", "best"]


@pytest.mark.parametrize(("kind", "suffix"), [("text", "txt"), ("json", "json")])
def test_files_in_a_folder(bundle, files, tmp_path, kind, suffix):
    done = call(bundle, *files[:2], "--format", kind, "--output", tmp_path)
    written = [tmp_path / f"{file.stem}.{suffix}" for file in files[:2]]
    assert done.stdout.split() == [str(path) for path in written]
    assert sorted(tmp_path.iterdir()) == written
    single = call(bundle, files[1]).stdout if kind == "text" else json.loads(call(bundle, files[1], "--json").stdout)[0]
    content = written[1].read_text(encoding="utf-8")
    assert (content if kind == "text" else json.loads(content)) == single


def test_a_bad_picture_is_named_and_the_others_go_on(bundle, files, tmp_path):
    bad = tmp_path / "[bad].jpg"
    bad.write_bytes(b"no picture")
    done = call(bundle, files[0], bad, files[1])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{bad}: read: the file is no picture")
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [str(files[0]), str(files[1])]
    rows = json.loads(call(bundle, files[0], bad, "--json").stdout)
    assert [sorted(row) for row in rows] == [["best", "file", "label"], ["error", "file"]]


def test_an_interruption_ends_with_its_own_code(bundle, files, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "run_batch", interrupted)
    assert call(bundle, files[0]).exit_code == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "srt"], "--format srt is not for image-classification; available: text, json"),
        (["--question", "who?"], "--question is for bundles that answer questions; this one does image-classification"),
        (["--draw", "out.png"], "--draw is for bundles that answer questions; this one does image-classification"),
        (["--draw", "out.pdf"], "--draw out.pdf: the name must end in one of .png, .jpg, .jpeg, .webp"),
        (["b.jpg", "--draw", "out.png"], "--draw takes one picture, not 2 files"),
        (["--draw", "./cat.jpg"], "--draw cat.jpg would overwrite the picture itself"),
        (["--beam", "4"], "a beam, a language model and hotwords are for speech"),
        (["--hotword", "cat"], "a beam, a language model and hotwords are for speech"),
    ],
)
def test_what_is_for_another_task_is_refused(bundle, arguments, message):
    done = call(bundle, "cat.jpg", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not done.stdout
