"""Nothing is lost and nothing is silent: bad samples are quarantined with their reason, whatever the batching."""

import json

import numpy as np
import pytest

from inferry.core.errors import BackendError, RunError
from inferry.core.tolerances import NEAR_TIE
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.infer import Options, infer, require_predictions
from inferry.pipeline.model import Model
from inferry.processing.speech import SpeechProcessor

FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2")


@pytest.fixture(scope="module")
def difficult(tiny, tmp_path_factory):
    return tiny.write_difficult_data(tmp_path_factory.mktemp("difficult"))


@pytest.fixture(scope="module")
def easy(tiny, tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("easy"), 9)


def rows(run, name="predictions.jsonl"):
    return [json.loads(line) for line in (run.path / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_bytes_whatever_the_batching(tiny_bundles, difficult, tmp_path, family):
    written = set()
    for batch_size, workers, threads in ((1, 1, 1), (3, 2, 2), (7, 3, 1), (32, 1, 2), (None, None, None)):
        options = Options(batch_size=batch_size, workers=workers, threads=threads)
        run = infer(tiny_bundles[family].path, difficult, tmp_path / f"run{batch_size}", options)
        written.add(tuple((run.path / name).read_bytes() for name in ("predictions.jsonl", "errors.jsonl")))
    assert len(written) == 1


def test_every_sample_is_answered_or_quarantined(tiny_bundle, difficult, tmp_path):
    run = infer(tiny_bundle.path, difficult, tmp_path / "run", Options(batch_size=4))
    answers, errors = {row["id"]: row for row in rows(run)}, {row["id"]: row for row in rows(run, "errors.jsonl")}
    stages = {id_: row["stage"] for id_, row in errors.items() if not id_.startswith("utt")}
    assert stages == {"nan": "read", "short": "process", "empty": "read", "text": "read", "nowhere": "read"}
    assert all(row["reason"] for row in errors.values())
    assert all(row["path"].endswith((".wav", ".jsonl")) for row in errors.values())
    assert [row["stage"] for id_, row in errors.items() if id_.startswith("utt")] == ["dataset"], "the duplicate"
    assert answers["silence"] == {"id": "silence", "text": "", "frames": 0, "seconds": 0.3125, "reference": "ON"}
    assert answers["untold"]["reference"] is None
    assert answers["stereo"]["frames"] > 0
    assert run.info["predictions"] == len(answers) == 11
    assert run.info["quarantined"] == len(errors) == 6
    assert run.info["samples"] == 17
    order = [row["id"] for row in rows(run)]
    assert [id_ for id_ in order if id_.startswith("utt")] == [f"utt{i:03}" for i in range(8)], "data set order"


def test_evaluation_says_what_it_left_out(tiny_bundle, difficult, tmp_path):
    run = infer(tiny_bundle.path, difficult, tmp_path / "run")
    evaluation = evaluate(run.path)
    assert (evaluation.scored, evaluation.without_reference, evaluation.quarantined) == (10, 1, 6)
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert metrics["scored"] == 10
    assert metrics["signature"]["bundle"] == tiny_bundle.digest


def test_a_run_without_any_answer_is_a_failure(tiny, tiny_bundle, tmp_path):
    data = tiny.write_manifest(tmp_path, [{"id": "a", "audio": "nowhere.wav"}, {"id": "b", "audio": "either.wav"}])
    run = infer(tiny_bundle.path, data, tmp_path / "run")
    assert run.info["quarantined"] == 2
    with pytest.raises(RunError, match="a: the file does not exist"):
        require_predictions(run)


def whole_of(bundle, data, folder):
    return (infer(bundle.path, data, folder / "whole").path / "predictions.jsonl").read_bytes()


def test_a_batch_that_fails_is_tried_one_by_one(tiny_bundle, easy, tmp_path, monkeypatch):
    expected = whole_of(tiny_bundle, easy, tmp_path)
    original, calls = Model.run_batch, []

    def moody(self, features, pad_to=None):
        calls.append(len(features))
        if len(features) > 1:
            raise BackendError("out of memory")
        return original(self, features, pad_to)

    monkeypatch.setattr(Model, "run_batch", moody)
    run = infer(tiny_bundle.path, easy, tmp_path / "run", Options(batch_size=4))
    assert max(calls) > 1, "a batch was tried"
    assert (run.path / "predictions.jsonl").read_bytes() == expected


def test_only_the_sample_that_fails_alone_is_quarantined(tiny_bundle, easy, tmp_path, monkeypatch):
    with Model(tiny_bundle, "onnxruntime", options_of()) as model:
        victim = model.processor.process(audio_file(easy.parent / "004.wav")).length
    original = Model.run_batch

    def allergic(self, features, pad_to=None):
        if any(one.length == victim for one in features):
            raise BackendError("this length is cursed")
        return original(self, features, pad_to)

    monkeypatch.setattr(Model, "run_batch", allergic)
    run = infer(tiny_bundle.path, easy, tmp_path / "run", Options(batch_size=5))
    (error,) = rows(run, "errors.jsonl")
    assert (error["id"], error["stage"], error["reason"]) == ("utt004", "infer", "this length is cursed")
    assert error["path"].endswith("004.wav")
    assert run.info["predictions"] == 8


def options_of():
    from inferry.core.protocols import SessionOptions

    return SessionOptions(threads=1)


def audio_file(path):
    from inferry import AudioFile

    return AudioFile(path)


def test_an_answer_that_is_not_finite_is_quarantined(tiny_bundle, easy, tmp_path, monkeypatch):
    original = Model.run_batch

    def poisoned(self, features, pad_to=None):
        outputs = original(self, features, pad_to)
        for one, row in zip(features, outputs, strict=True):
            if one.length % 2 == 0:
                row["logits"] = np.full_like(row["logits"], np.nan)
        return outputs

    expected = rows(infer(tiny_bundle.path, easy, tmp_path / "whole"))
    monkeypatch.setattr(Model, "run_batch", poisoned)
    run = infer(tiny_bundle.path, easy, tmp_path / "run", Options(batch_size=3))
    errors = rows(run, "errors.jsonl")
    assert errors
    assert {(row["stage"], row["reason"]) for row in errors} == {("infer", "the network's output logits is not finite")}
    poisoned_ids = {row["id"] for row in errors}
    assert rows(run) == [row for row in expected if row["id"] not in poisoned_ids]


def test_near_ties_are_settled_alone(tiny_bundle, easy, tmp_path, monkeypatch):
    """Two scores closer than the tolerance may change places in a batch: the sample alone decides."""
    expected = whole_of(tiny_bundle, easy, tmp_path)
    original, alone = Model.run_batch, []

    def wobbly(self, features, pad_to=None):
        outputs = original(self, features, pad_to)
        if len(features) == 1:
            alone.append(features[0].length)
            return outputs
        for row in outputs:
            best = row["logits"].argmax(axis=-1)
            row["logits"] = row["logits"].copy()
            tied = (best + 1) % row["logits"].shape[1]
            frames = np.arange(len(best))
            row["logits"][frames, tied] = row["logits"][frames, best] + np.float32(NEAR_TIE / 2)
        return outputs

    monkeypatch.setattr(Model, "run_batch", wobbly)
    run = infer(tiny_bundle.path, easy, tmp_path / "run", Options(batch_size=5))
    assert (run.path / "predictions.jsonl").read_bytes() == expected
    timings = json.loads((run.path / "timings.json").read_text())
    assert timings["settled_alone"] >= 8
    assert len(alone) >= 8


def test_a_bug_in_processing_does_not_end_the_run(tiny_bundle, easy, tmp_path, monkeypatch):
    original = SpeechProcessor.read

    def buggy(self, source):
        if source.path.name == "002.wav":
            raise ZeroDivisionError("oops")
        return original(self, source)

    monkeypatch.setattr(SpeechProcessor, "read", buggy)
    run = infer(tiny_bundle.path, easy, tmp_path / "run", Options(batch_size=2))
    (error,) = rows(run, "errors.jsonl")
    assert (error["id"], error["stage"]) == ("utt002", "process")
    assert "ZeroDivisionError: oops" in error["reason"]
    assert "report" in error["reason"]


def test_a_plan_file_changes_no_byte(tiny_bundle, easy, tmp_path):
    from inferry.pipeline.plan import plan
    from inferry.planning.make import write_plan

    planned = plan(tiny_bundle.path, easy, shapes=2, batch_size=3)
    assert len(planned.plan.buckets) <= 2
    write_plan(planned.plan, tmp_path / "plan.json")
    run = infer(tiny_bundle.path, easy, tmp_path / "run", Options(plan=tmp_path / "plan.json"))
    assert (run.path / "predictions.jsonl").read_bytes() == whole_of(tiny_bundle, easy, tmp_path)
    assert json.loads((run.path / "timings.json").read_text())["padding_waste"] > 0
