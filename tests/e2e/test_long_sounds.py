"""Sounds that run in windows: the same answers in any batch, bad and silent windows, and a file of ten minutes."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import inferry
from inferry.cli.main import app
from inferry.core.protocols import Decoding
from inferry.pipeline.engine import Tally
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.model import Model
from inferry.planning.make import make_plan, write_plan

SHORT, LONG = 5, 4


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    """Short sounds between long ones; one of the long ones is silent in its middle, one has another rate."""
    path = tiny.write_data(tmp_path_factory.mktemp("data"), SHORT)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for index in range(LONG):
        samples = tiny.sound(40_000 + 23_456 * index, 100 + index)
        if index == 1:
            samples[10_000:50_000] = 0
        soundfile.write(path.parent / f"long{index}.wav", samples, 22_050 if index == 2 else tiny.RATE)
        rows.insert(2 * index, {"id": f"long{index}", "audio": f"long{index}.wav", "text": "ON"})
    return tiny.write_manifest(path.parent, rows)


def predictions(run):
    return (run.path / "predictions.jsonl").read_bytes()


@pytest.fixture(scope="module", params=["wav2vec2", "deepspeech2"])
def bundle(tiny_bundles, request):
    return tiny_bundles[request.param]


@pytest.fixture(scope="module")
def whole(bundle, data, tmp_path_factory):
    """A run of one piece at a time."""
    return infer(bundle.path, data, tmp_path_factory.mktemp("whole") / "run", Options(batch_size=1, max_seconds=1.0))


def test_rows_say_in_how_many_windows(whole):
    rows = {row["id"]: row for row in whole.rows()}
    assert list(rows["long1"]) == ["id", "text", "frames", "windows", "seconds", "reference"]
    assert min(rows[f"long{index}"]["windows"] for index in range(LONG)) >= 3
    assert sum("windows" in row for row in rows.values()) == whole.info["cut"] == LONG
    assert rows["long3"]["seconds"] == round((40_000 + 23_456 * 3) / 16_000, 6)
    assert whole.info["config"]["max_seconds"] == 1.0


@pytest.mark.parametrize("size", [3, 8])
def test_batches_change_no_byte(bundle, data, whole, tmp_path, size):
    options = Options(batch_size=size, workers=size // 2, max_seconds=1.0)
    assert predictions(infer(bundle.path, data, tmp_path / "run", options)) == predictions(whole)


def test_a_plan_and_near_ties_change_no_byte(bundle, data, whole, tmp_path, monkeypatch):
    axis, unit = ("time", 1) if bundle.manifest.family == "deepspeech2" else ("samples", 160)
    write_plan(make_plan([50 * unit, 104 * unit], axis=axis, batch_size=4, shapes=2), tmp_path / "plan.json")
    monkeypatch.setattr(Model, "is_settled", lambda self, outputs: False)
    run = infer(bundle.path, data, tmp_path / "run", Options(plan=tmp_path / "plan.json", max_seconds=1.0))
    assert predictions(run) == predictions(whole)
    assert json.loads((run.path / "timings.json").read_text())["settled_alone"] > LONG


def test_an_interruption_changes_no_byte(bundle, data, whole, tmp_path):
    def stop(tally: Tally) -> None:
        if tally.done >= 2:
            raise KeyboardInterrupt

    options = Options(batch_size=2, workers=1, max_seconds=1.0)
    with pytest.raises(KeyboardInterrupt):
        infer(bundle.path, data, tmp_path / "run", options, stop)
    assert not (tmp_path / "run" / "predictions.jsonl").exists()
    run = infer(bundle.path, data, tmp_path / "run", options)
    assert predictions(run) == predictions(whole)
    timings = json.loads((run.path / "timings.json").read_text())
    assert 2 <= timings["resumed_after"] < SHORT + LONG
    assert set(timings["stage_seconds"]) == {"read", "features", "infer", "decode"}


def test_the_python_interface_answers_the_same(bundle, data, whole):
    files = {row["id"]: data.parent / f"{row['id'].removeprefix('utt')}.wav" for row in whole.rows()}
    expected = [row["text"] for row in whole.rows()]
    with inferry.load(bundle.path, max_seconds=1.0) as model, inferry.load(bundle.path, max_seconds=0) as uncut:
        assert [len(model.cut(file)) for file in files.values()] == [row.get("windows", 1) for row in whole.rows()]
        for size in (None, 4):
            assert [answer.text for answer in model.predict(list(files.values()), size)] == expected
        frames = [len(outputs["logits"]) for outputs in model.infer(list(files.values()), 3)]
        assert frames == [len(outputs["logits"]) for outputs in uncut.infer(list(files.values()))]
        samples, rate = soundfile.read(files["long3"], dtype="int16")
        assert model.predict([inferry.Audio(samples, rate)])[0].text == expected[list(files).index("long3")]


def test_a_silent_window_says_nothing(bundle, tiny):
    samples = np.zeros(16_000 * 4, np.float32)
    samples[:9000] = tiny.sound(9000, 3)
    with inferry.load(bundle.path, max_seconds=1.0) as model:
        (outputs,) = model.infer([inferry.Audio(samples, tiny.RATE)])
        assert not outputs["logits"][-100:].argmax(axis=1).any()
        (silence,) = model.predict([inferry.Audio(np.zeros(16_000 * 4, np.float32), tiny.RATE)], detailed=True)
        assert silence.text == ""


def test_a_bad_window_quarantines_its_sample_once(tiny, bundle, tmp_path):
    rows = []
    for name, bad in (("good", ()), ("bad", (20_000, 70_000))):
        samples = tiny.sound(80_000, 7)
        samples[list(bad)] = np.nan
        soundfile.write(tmp_path / f"{name}.wav", samples, tiny.RATE, subtype="FLOAT")
        rows.append({"id": name, "audio": f"{name}.wav", "text": "ON"})
    manifest = tiny.write_manifest(tmp_path, rows)
    for size in (1, 4):
        run = infer(bundle.path, manifest, tmp_path / f"run{size}", Options(batch_size=size, max_seconds=1.0))
        (error,) = run.rows("errors.jsonl")
        assert (error["id"], error["stage"]) == ("bad", "read")
        assert "NaN" in error["reason"]
        assert [row["id"] for row in run.rows()] == ["good"]


def test_the_screen_says_what_was_cut(tiny_bundle, data, tmp_path):
    arguments = ["infer", tiny_bundle.path, "--data", data, "--output", tmp_path / "run", "--max-seconds", 1]
    shown = CliRunner().invoke(app, [str(one) for one in arguments])
    assert shown.exit_code == 0
    assert f"{LONG} longer than 1 s, joined from windows" in shown.stdout
    told = CliRunner().invoke(
        app, ["predict", str(tiny_bundle.path), str(data.parent / "long0.wav"), "--max-seconds", "1"]
    )
    assert told.exit_code == 0
    assert "long0.wav: longer than 1 s, joined from 3 windows" in told.stderr
    assert "joined" not in told.stdout
    refused = CliRunner().invoke(app, ["predict", str(tiny_bundle.path), "a.wav", "--max-seconds", "0.5"])
    assert refused.exit_code == 2


def test_a_search_runs_everything_alone(tiny_bundle, data, tmp_path, monkeypatch):
    sizes = []
    original = Model.run_batch

    def counted(self, features, pad_to=None):
        sizes.append(len(features))
        return original(self, features, pad_to)

    monkeypatch.setattr(Model, "run_batch", counted)
    options = Options(batch_size=4, max_seconds=1.0, decoding=Decoding(beam=4))
    run = infer(tiny_bundle.path, data, tmp_path / "run", options)
    assert set(sizes) == {1}
    assert run.info["config"]["decoding"]["beam"] == 4
    with inferry.load(tiny_bundle.path, decoding=Decoding(beam=4), max_seconds=1.0) as model:
        (answer,) = model.predict([data.parent / "long0.wav"], 3)
    assert answer.text == next(run.rows())["text"]
    assert set(sizes) == {1}


@pytest.mark.slow
def test_ten_minutes_have_the_words_of_their_utterances(repository, tmp_path):
    from inferry.datasets.registry import open_dataset
    from inferry.metrics.error_rates import Utterance, score_speech

    speech = repository / "examples" / "speech"
    checkpoint = next((speech / "deepspeech2").glob("*.ckpt"))
    bundle = inferry.export("deepspeech2", checkpoint=checkpoint, output=tmp_path / "bundle", reference=False)
    items = open_dataset(speech / "clips").items
    sounds = [soundfile.read(item.source.path, dtype="float32")[0] for item in items]
    order = [place % len(items) for place in range(400)]
    total = np.cumsum([len(sounds[place]) + 1600 for place in order])
    order = order[: int(np.searchsorted(total, 600 * 16_000)) + 1]
    pause = np.zeros(1600, np.float32)
    joined = np.concatenate([part for place in order for part in (sounds[place], pause)])
    soundfile.write(tmp_path / "long.flac", joined, 16_000)
    with inferry.load(bundle.path) as model:
        single = [answer.text for answer in model.predict([item.source for item in items], 4)]
        assert len(model.cut(tmp_path / "long.flac")) > 15
        (answer,) = model.predict([tmp_path / "long.flac"], 4)
    score = score_speech([Utterance("long", " ".join(single[place] for place in order), answer.text)])
    assert len(answer.text.split()) > 700
    assert score.wer.rate <= 2.0, "percent"
