"""The verbs, as processes or through Typer's runner: what they print, and exit codes that tell the truth."""

import json

import pytest
from typer.testing import CliRunner

from inferry.cli.main import app


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def json_of(*arguments):
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_difficult_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def checkpoint(tiny, tmp_path_factory):
    return tiny.write_folder(tmp_path_factory.mktemp("folder") / "checkpoint")


VERBS = [
    *("models", "doctor", "export", "plan", "infer", "evaluate"),
    *("compare", "bench", "report", "run", "predict", "verify"),
    *("optimize", "compile", "lint-atc"),
    *("preprocess", "postprocess", "pack"),
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb):
    done = call(verb, "--help")
    assert done.exit_code == 0
    assert "Example: inferry " + verb in done.stdout.replace("\n", " ")


def test_the_verbs_are_all_tested_here():
    assert sorted(command.name or command.callback.__name__ for command in app.registered_commands) == sorted(VERBS)


def test_the_verbs_one_after_the_other(checkpoint, data, tmp_path):
    bundle, run = tmp_path / "bundle", tmp_path / "run"
    assert json_of("export", "wav2vec2", "--checkpoint", checkpoint, "--output", bundle, "--no-reference")
    assert json_of("verify", bundle)["ok"]
    assert json_of("optimize", bundle / "model.onnx", "--output", tmp_path / "model.onnx", "--passes", "clean-up")["ok"]
    assert json_of("plan", bundle, "--data", data, "--shapes", 2, "--batch-size", 3)
    info = json_of("infer", bundle, "--data", data, "--output", run, "--batch-size", 3)
    assert (info["predictions"], info["quarantined"]) == (11, 6)
    assert json_of("evaluate", run)["scored"] == 10
    rows = json_of("predict", bundle, data.parent / "silence.wav")
    assert rows[0]["text"] == ""


def test_run_is_cached(checkpoint, data, tmp_path):
    arguments = ["run", "wav2vec2", "--checkpoint", checkpoint, "--data", data, "--output", tmp_path / "run"]
    first = json_of(*arguments, "--no-reference")
    manifest = (tmp_path / "run" / "bundle" / "manifest.json").stat().st_mtime_ns
    assert json_of(*arguments, "--no-reference") == first
    assert (tmp_path / "run" / "bundle" / "manifest.json").stat().st_mtime_ns == manifest
    assert call(*arguments, "--no-reference", "--strict").exit_code == 1


def test_models_and_doctor():
    assert {row for row in ("wav2vec2", "deepspeech2", "data2vec-audio") if row in call("models").stdout}
    assert call("doctor").stdout


def test_bad_usage_is_2(tiny_bundle, tmp_path, data):
    for arguments in (
        ["infer", tmp_path / "nowhere", "--data", data, "--output", tmp_path / "run"],
        ["verify", tmp_path],
        ["export", "whisper", "--checkpoint", tmp_path, "--output", tmp_path / "bundle"],
        ["export", "wav2vec2", "--checkpoint", tmp_path / "typo", "--output", tmp_path / "bundle"],
        ["infer", tiny_bundle.path, "--data", data, "--output", tmp_path / "run", "--backend", "abacus"],
        ["infer", tiny_bundle.path, "--data", data, "--output", tmp_path / "run2", "--batch-size", 0],
        ["evaluate", tmp_path],
        ["no-such-verb"],
    ):
        done = call(*arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert "Traceback" not in done.output


def test_a_failed_check_is_1(tiny, tiny_bundle, tmp_path):
    bad = tiny.write_manifest(tmp_path, [{"id": "a", "audio": "nowhere.wav"}])
    done = call("infer", tiny_bundle.path, "--data", bad, "--output", tmp_path / "run")
    assert done.exit_code == 1
    assert "no sample could be answered" in done.output
    done = call("predict", tiny_bundle.path, tmp_path / "nowhere.wav")
    assert done.exit_code == 1
    assert "does not exist" in done.output


def test_a_changed_byte_is_1(checkpoint, tmp_path):
    call("export", "wav2vec2", "--checkpoint", checkpoint, "--output", tmp_path / "bundle", "--no-reference")
    (tmp_path / "bundle" / "vocab.json").write_text("[1]")
    done = call("verify", tmp_path / "bundle")
    assert done.exit_code == 1
    assert "vocab.json" in done.output
