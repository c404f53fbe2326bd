"""``inferry predict`` with the shipped examples: every format, several files, bad files, and times that are right."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import inferry
from inferry.cli.main import app
from inferry.core.errors import BackendError, UsageError
from inferry.core.protocols import Decoding
from inferry.pipeline.export import export
from inferry.pipeline.model import Model

RATE = 16_000
TEXT = "MOVE BLUE DOOR FIVE RIGHT"
NAMES = ["1-1-0000", "1-1-0001", "1-1-0002", "1-1-0003"]


def call(*arguments):
    return CliRunner().invoke(app, ["predict", *(str(one) for one in arguments)])


@pytest.fixture(scope="module")
def clips(repository):
    return [repository / "examples/speech/clips/demo-clean/1/1" / f"{name}.flac" for name in NAMES]


@pytest.fixture(scope="module")
def bundle(repository, tmp_path_factory):
    checkpoint = repository / "examples/speech/deepspeech2/deepspeech2.ckpt"
    return export("deepspeech2", checkpoint, tmp_path_factory.mktemp("demo") / "bundle", reference=False).path


@pytest.fixture(scope="module")
def texts(bundle, clips):
    with inferry.load(bundle) as model:
        return [prediction.text for prediction in model.predict(clips)]


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("text", f"{TEXT}\n"),
        ("srt", f"1\n00:00:00,\\d{{3}} --> 00:00:02,\\d{{3}}\n{TEXT}\n"),
        ("vtt", f"WEBVTT\n\n00:00:00\\.\\d{{3}} --> 00:00:02\\.\\d{{3}}\n{TEXT}\n"),
        ("ctm", r"(1-1-0000 1 \d\.\d{3} 0\.\d{3} [A-Z]+ [01]\.\d{4}\n){5}"),
    ],
)
def test_one_file_on_the_screen(bundle, clips, kind, pattern):
    done = call(bundle, clips[0], "--format", kind)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(pattern, done.stdout)


def test_several_files_on_the_screen(bundle, clips, texts):
    done = call(bundle, *clips)
    assert done.stdout.splitlines() == [f"{clip}: {text}" for clip, text in zip(clips, texts, strict=True)]
    lines = call(bundle, *clips, "--format", "ctm").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    assert [line.split()[4] for line in lines] == " ".join(texts).split()


def test_json_on_the_screen(bundle, clips, texts):
    done = call(bundle, *clips, "--json")
    rows = json.loads(done.stdout)
    assert done.stdout == call(bundle, *clips, "--format", "json").stdout
    assert [row["file"] for row in rows] == [str(clip) for clip in clips]
    assert [row["text"] for row in rows] == texts
    assert [row["seconds"] for row in rows] == [round(soundfile.info(clip).duration, 3) for clip in clips]
    assert [[word["text"] for word in row["words"]] for row in rows] == [text.split() for text in texts]


@pytest.mark.parametrize(("kind", "suffix"), [("text", "txt"), ("srt", "srt"), ("json", "json"), ("ctm", "ctm")])
def test_files_in_a_folder(bundle, clips, tmp_path, kind, suffix):
    folder = tmp_path / "new" / "folder"
    done = call(bundle, *clips[:2], "--format", kind, "--output", folder)
    files = [folder / f"{name}.{suffix}" for name in NAMES[:2]]
    assert done.stdout.split() == [str(file) for file in files]
    assert sorted(folder.iterdir()) == files
    content = files[0].read_text(encoding="utf-8")
    assert all(word in content for word in TEXT.split())


def test_files_and_json(bundle, clips, tmp_path):
    done = call(bundle, clips[0], "--format", "vtt", "--output", tmp_path, "--json")
    assert json.loads(done.stdout)[0]["text"] == TEXT
    assert (tmp_path / "1-1-0000.vtt").read_text().startswith("WEBVTT\n\n")


def test_a_bad_file_is_named_and_the_others_go_on(bundle, clips, texts, tmp_path):
    files = [clips[0], tmp_path / "nowhere.wav", clips[1]]
    done = call(bundle, *files, "--format", "srt", "--output", tmp_path / "out")
    assert done.exit_code == 1
    assert f"{files[1]}: read: the file does not exist" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-1-0000.srt", "1-1-0001.srt"]
    rows = json.loads(call(bundle, *files, "--json").stdout)
    assert [row.get("text") for row in rows] == [texts[0], None, texts[1]]
    assert rows[1] == {"file": str(files[1]), "error": "read: the file does not exist"}


def test_what_the_runtime_cannot_run_is_named_and_the_others_go_on(bundle, clips, texts, monkeypatch):
    run = Model.run_batch
    calls = []

    def run_batch(self, features, pad_to=None):
        calls.append(features)
        if len(calls) == 1:
            raise BackendError("out of memory")
        return run(self, features, pad_to)

    monkeypatch.setattr(Model, "run_batch", run_batch)
    done = call(bundle, *clips[:2])
    assert done.exit_code == 1
    assert f"{clips[0]}: infer: out of memory" in done.stderr
    assert done.stdout == f"{clips[1]}: {texts[1]}\n"


def test_names_that_are_no_text_do_not_stop_the_screen(bundle, clips, texts, tmp_path):
    odd = tmp_path / "\udcff.flac"
    shutil.copy(clips[0], odd)
    done = call(bundle, odd, clips[1])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [f"{tmp_path}/\\udcff.flac: {texts[0]}", f"{clips[1]}: {texts[1]}"]
    assert json.loads(call(bundle, odd, "--json").stdout)[0]["file"] == f"{tmp_path}/\\udcff.flac"
    written = call(bundle, odd, "--format", "ctm", "--output", tmp_path / "out")
    assert written.stdout == f"{tmp_path}/out/\\udcff.ctm\n"
    assert (tmp_path / "out" / "\udcff.ctm").read_text(encoding="utf-8").startswith("\\udcff 1 ")


def test_an_interruption_says_that_the_rest_is_missing(bundle, clips, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "run_batch", interrupted)
    done = call(bundle, clips[0])
    assert done.exit_code == 130
    assert done.stderr == "interrupted; what is printed or written already is whole, the rest is missing\n"


def test_silence_says_nothing(bundle, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    assert call(bundle, tmp_path / "silence.wav", "--format", "vtt").stdout == "WEBVTT\n"
    assert json.loads(call(bundle, tmp_path / "silence.wav", "--json").stdout)[0]["words"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "--format", "doc"], "there is no format 'doc'; available: text, srt, vtt, json, ctm"),
        (["a.wav", "b.wav", "--format", "srt"], "2 files make 2 srt files: add --output DIR"),
        (["a.wav", "--format", "ctm", "--json"], "--json and --format ctm cannot share the screen"),
        (["x/a.wav", "b.wav", "a.flac", "--output", "out"], "x/a.wav, a.flac have one name without folder and suffix"),
        (["x/a.wav", "a.wav", "--format", "ctm"], "x/a.wav, a.wav have one name without folder and suffix"),
        (["a b.wav", "a_b.wav", "--format", "ctm"], "a b.wav, a_b.wav have one name without folder and suffix"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(tmp_path, arguments, message):
    done = call(tmp_path / "no bundle", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_an_output_that_cannot_be_a_folder_is_refused(bundle, clips, tmp_path):
    (tmp_path / "file").touch()
    done = call(tmp_path / "no bundle", clips[0], "--output", tmp_path / "file")
    assert done.exit_code == 2
    assert "is no folder: choose another --output" in done.stderr
    done = call(bundle, clips[0], "--output", tmp_path / "file" / "below")
    assert done.exit_code == 2
    assert "1-1-0000.txt cannot be written" in done.stderr


def test_options_of_decoding_reach_the_model(bundle, monkeypatch):
    seen = {}

    def load(bundle, backend, precision, threads, **options):
        seen.update(options, bundle=bundle, backend=backend, precision=precision, threads=threads)
        raise UsageError("seen")

    monkeypatch.setattr("inferry.pipeline.model.load", load)
    options = "--beam 8 --lm a.lm --alpha 0.7 --beta 2 --hotword ON --hotword GO --hotword-weight 3 --max-seconds 9"
    assert call(bundle, "a.wav", *options.split(), "--threads", 2, "--precision", "fp16").exit_code == 2
    decoding = Decoding(8, Path("a.lm"), 0.7, 2.0, ("ON", "GO"), 3.0)
    expected = {"decoding": decoding, "max_seconds": 9.0, "threads": 2, "bundle": bundle, "backend": "onnxruntime"}
    assert seen == {**expected, "precision": "fp16"}
    assert call(bundle, "a.wav").exit_code == 2
    assert seen["decoding"].greedy


def test_words_lie_where_they_were_put(bundle, clips):
    """Clips with a second of silence between them: each word is found in its own clip, where it is there alone."""
    sounds = [soundfile.read(clip, dtype="float32")[0] for clip in clips]
    silence = np.zeros(RATE, np.float32)
    joined = np.concatenate([part for sound in sounds for part in (silence, sound)])
    with inferry.load(bundle) as model:
        (together,) = model.predict([inferry.Audio(joined, RATE)], detailed=True)
        alone = model.predict(clips, detailed=True)
    begin = 0.0
    for sound, single in zip(sounds, alone, strict=True):
        begin, end = begin + 1.0, begin + 1.0 + len(sound) / RATE
        inside = [word for word in together.words if begin <= word.start and word.end <= end]
        assert len(inside) == len(single.words)
        for word, expected in zip(inside, single.words, strict=True):
            assert word.start - begin == pytest.approx(expected.start, abs=0.05)
            assert word.end - begin == pytest.approx(expected.end, abs=0.05)
        begin = end
    assert len(together.words) == sum(len(single.words) for single in alone)
