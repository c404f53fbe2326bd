"""Pictures from checkpoint to scored labels."""

import json

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

import inferry
from inferry.cli.main import app
from inferry.core.errors import RunError, UsageError
from inferry.pipeline.infer import Options, infer


@pytest.fixture(scope="module")
def checkpoint(pictures, tmp_path_factory):
    return pictures.write_beit(tmp_path_factory.mktemp("beit"))


@pytest.fixture(scope="module")
def bundle(checkpoint, tmp_path_factory):
    return inferry.export("beit", checkpoint, tmp_path_factory.mktemp("bundle") / "bundle", reference=False)


@pytest.fixture(scope="module")
def data(pictures, tmp_path_factory):
    return pictures.write_pictures(tmp_path_factory.mktemp("data"), 10)


@pytest.fixture(scope="module")
def run(bundle, data, tmp_path_factory):
    return infer(bundle.path, data, tmp_path_factory.mktemp("run") / "run", Options(batch_size=1))


def test_rows_name_the_best_classes(run, pictures):
    rows = list(run.rows())
    assert len(rows) == 10
    for row in rows:
        assert list(row) == ["id", "label", "best", "seconds", "reference"]
        assert row["label"] == row["best"][0]["label"] == pictures.LABELS[row["best"][0]["index"]]
        assert row["seconds"] is None
        assert sorted(one["index"] for one in row["best"]) == [0, 1, 2]


@pytest.mark.parametrize("size", [3, 8])
def test_batches_change_no_byte(bundle, data, run, tmp_path, size):
    other = infer(bundle.path, data, tmp_path / "run", Options(batch_size=size, workers=2))
    assert (other.path / "predictions.jsonl").read_bytes() == (run.path / "predictions.jsonl").read_bytes()


def test_the_score_counts_what_the_rows_say(run):
    evaluation = inferry.evaluate(run.path)
    right = sum(row["best"][0]["index"] == int(row["reference"]) for row in run.rows())
    assert evaluation.score.rates[0].name == "top-1"
    assert evaluation.score.rates[0].percent == pytest.approx(10.0 * right)
    assert evaluation.score.rates[1].percent == pytest.approx(100.0)
    written = json.loads((run.path / "metrics.json").read_text())
    assert (written["task"], written["scored"], written["exact"]) == ("image-classification", 10, right)


def test_the_score_needs_no_bundle_but_its_labels(run, tmp_path):
    lost = tmp_path / "run"
    lost.mkdir()
    for file in run.path.glob("*.json*"):
        (lost / file.name).write_bytes(file.read_bytes())
    with pytest.raises(RunError, match=r"no labels\.txt"):
        inferry.evaluate(lost)


def test_transcripts_normalisation_is_refused(run):
    with pytest.raises(UsageError, match="is for transcripts"):
        inferry.evaluate(run.path, "upper")


def test_memory_and_files_give_the_same(bundle, data):
    file = next(data.rglob("*.png"))
    pixels = np.asarray(PIL.Image.open(file).convert("RGB"))
    with inferry.load(bundle.path) as model:
        first, second = model.infer([file, pixels], batch_size=2)
        np.testing.assert_array_equal(first["logits"], second["logits"])
        alone, together = model.predict([file]), model.predict([file, file], 2)
        assert alone[0] == together[0] == together[1]
        (detailed,) = model.predict([file], detailed=True)
        assert sum(one.score for one in detailed.best) == pytest.approx(1.0)


def test_bad_pictures_are_quarantined(bundle, data, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for file in data.rglob("*.png"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "broken.png").write_bytes(next(data.rglob("*.png")).read_bytes()[:200])
    (folder / "text.jpg").write_text("not a picture")
    run = infer(bundle.path, folder, tmp_path / "run", Options(batch_size=4))
    assert {row["id"] for row in run.rows("errors.jsonl")} == {"broken", "text"}
    assert all(row["path"].endswith((".png", ".jpg")) for row in run.rows("errors.jsonl"))
    assert run.info["predictions"] == 10


def test_another_input_size(checkpoint, tmp_path):
    larger = inferry.export("beit", checkpoint, tmp_path / "larger", reference=False, image_size=96)
    assert larger.read_json("processor.json")["input"]["size"] == 96
    assert larger.manifest.options == {"image_size": 96}
    assert any("interpolated" in note for note in larger.manifest.notes)
    with pytest.raises(UsageError, match="patch size"):
        inferry.export("beit", checkpoint, tmp_path / "bad", reference=False, image_size=50)


def test_an_option_of_another_family(checkpoint, tmp_path):
    with pytest.raises(UsageError, match=r"beit takes no --tokenizer; such options of this family: --image-size"):
        inferry.export("beit", checkpoint, tmp_path / "bad", tokenizer="folder")


def test_run_exports_again_for_another_input_size(checkpoint, data, tmp_path):
    arguments = ["run", "beit", "--checkpoint", checkpoint, "--data", data, "--output", tmp_path / "run"]
    first = CliRunner().invoke(app, [str(one) for one in [*arguments, "--no-reference"]])
    assert first.exit_code == 0, first.output
    assert "top-1" in first.stdout
    again = CliRunner().invoke(app, [str(one) for one in [*arguments, "--no-reference"]])
    assert "exported before" in again.stdout
    other = CliRunner().invoke(app, [str(one) for one in [*arguments, "--no-reference", "--image-size", 96]])
    assert other.exit_code != 0
    assert "exported before" not in other.stdout


def labelled(data, folder, offset):
    """The pictures of class folders under the names of ImageNet's, the labels moved by a number."""
    classes = sorted(one.name for one in data.iterdir())
    folder.mkdir()
    lines = []
    for file in sorted(data.rglob("*.png")):
        name = f"ILSVRC2012_val_{len(lines) + 1:08}.JPEG"
        (folder / name).write_bytes(file.read_bytes())
        lines.append(f"{name} {classes.index(file.parent.name) + offset}\n")
    (folder / "val_label.txt").write_text("".join(lines))
    return folder


def test_labels_of_another_network_fail_the_run_but_not_its_answers(checkpoint, data, tmp_path):
    arguments = ["run", "beit", "--checkpoint", checkpoint, "--data", labelled(data, tmp_path / "far", 500)]
    arguments += ["--no-reference", "--output", tmp_path / "run"]
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert done.exit_code == 1
    assert "10 of 10 samples answered" in done.stdout
    assert "not scored: the reference of ILSVRC2012_val_00000001: class 500 is none" in done.stdout
    assert (tmp_path / "run" / "report.html").exists()
    as_json = CliRunner().invoke(app, [str(one) for one in [*arguments, "--json"]])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["unscored"].startswith("the reference of ILSVRC2012_val_00000001")


def test_the_screen_shows_the_worst_classes_and_confusions(bundle, data, tmp_path):
    run = infer(bundle.path, labelled(data, tmp_path / "data", 0), tmp_path / "run", Options(batch_size=1))
    shown = CliRunner().invoke(app, ["evaluate", str(run.path)]).stdout
    confused = json.loads((run.path / "metrics.json").read_text())["score"]["confusions"][0]
    assert shown.index("signature") < shown.index("Worst classes") < shown.index("Confusions")
    assert confused["label"] in shown[shown.index("Confusions") :]


def test_an_interrupted_export_says_that_there_is_no_bundle(checkpoint, tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("inferry.pipeline.export.export_with_report", interrupted)
    arguments = ["export", "beit", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "bundle")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 130
    assert done.stderr == "interrupted; no bundle was written\n"


def test_a_plan_of_pictures_has_nothing_to_pad(bundle, data):
    shown = CliRunner().invoke(app, ["plan", str(bundle.path), "--data", str(data), "--batch-size", "4"]).stdout
    assert shown == "10 samples, batch size 4; all of one size: nothing is padded\n"


def test_brackets_in_a_path_are_printed(checkpoint, data, tmp_path):
    arguments = ["--checkpoint", str(checkpoint), "--data", str(data), "--output", str(tmp_path / "é [x]")]
    shown = CliRunner().invoke(app, ["run", "beit", "--no-reference", *arguments]).stdout
    assert shown.count("é [x]") == 3  # bundle, run, report
    again = CliRunner().invoke(app, ["run", "beit", "--no-reference", *arguments]).stdout
    assert "é [x]/bundle: exported before" in again


def test_one_sound_in_a_list_of_pictures_is_quarantined(bundle, data, tmp_path):
    (tmp_path / "mixed.lst").write_text(f"{next(data.rglob('*.png'))}\nspeech.wav\n")
    made = infer(bundle.path, tmp_path / "mixed.lst", tmp_path / "run", Options(batch_size=1))
    assert made.info["predictions"] == 1
    assert [row["reason"] for row in made.rows("errors.jsonl")] == [
        "expected a picture, found a sound: name pictures, or a data set of them"
    ]


def test_a_sound_is_no_picture(bundle, tiny, tmp_path):
    with inferry.load(bundle.path) as model, pytest.raises(UsageError, match="expected a picture, found a sound"):
        model.predict([inferry.Audio(tiny.sound(800, 1), 16_000)])
    sounds = tiny.write_data(tmp_path, 2)
    made = infer(bundle.path, sounds, tmp_path / "run", Options(batch_size=1))
    assert all("expected a picture" in row["reason"] for row in made.rows("errors.jsonl"))
    with pytest.raises(RunError, match="nothing to score"):
        inferry.evaluate(made.path)
