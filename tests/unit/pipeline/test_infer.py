import json
from pathlib import Path

import numpy as np
import pytest

from inferry.core.errors import BackendError, BundleError, DatasetError, RunError, UsageError
from inferry.core.protocols import Decoding
from inferry.core.runs import Journal, begin_run
from inferry.core.samples import Rejected, Sample
from inferry.pipeline import infer as infer_module
from inferry.pipeline.engine import Tally, rejected
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.model import Model
from inferry.pipeline.plan import plan
from inferry.pipeline.report import report
from inferry.pipeline.tasks.speech import SpeechRecognition
from inferry.planning.make import make_plan, write_plan

ARPA = """\\data\\
ngram 1=4

\\1-grams:
-0.5\t<s>
-0.5\t</s>
-0.5\tTOE
-0.5\tON

\\end\\
"""


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"), 6)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (Options(batch_size=0), "--batch-size is 0"),
        (Options(workers=-1), "--workers is -1"),
        (Options(limit=0, workers=0), "--workers is 0; --limit is 0"),
        (Options(plan=Path("plan.json"), batch_size=4), "a plan has its own batch sizes"),
        (Options(plan=Path("plan.json"), decoding=Decoding(beam=8)), "runs every sample alone.*leave out --plan"),
    ],
)
def test_options_that_cannot_be_meant(tiny_bundle, data, tmp_path, options, problem):
    with pytest.raises(UsageError, match=problem):
        infer(tiny_bundle.path, data, tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_written_is_one_sentence(tiny_bundle, data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"run cannot be written .*choose another --output"):
        infer(tiny_bundle.path, data, tmp_path / "file" / "run")


def test_a_plan_for_another_axis_is_refused(tiny_bundle, data, tmp_path):
    write_plan(make_plan([100, 200], axis="time", batch_size=2), tmp_path / "plan.json")
    with pytest.raises(UsageError, match="plans the axis 'time', this bundle has 'samples'"):
        infer(tiny_bundle.path, data, tmp_path / "run", Options(plan=tmp_path / "plan.json"))


def test_files_may_be_given_one_by_one(tiny_bundle, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data.parent)
    run = infer(tiny_bundle.path, [Path("001.wav"), Path("000.wav")], tmp_path / "run")
    assert [row["reference"] for row in run.rows()] == [None, None]
    with pytest.raises(RunError, match="nothing to score: 2 predictions without a reference, 0 samples quarantined"):
        evaluate(run.path)


def test_a_limit_takes_the_first(tiny_bundle, data, tmp_path):
    run = infer(tiny_bundle.path, data, tmp_path / "run", Options(limit=2))
    assert [row["id"] for row in run.rows()] == ["utt000", "utt001"]


def test_a_long_run_measures_its_batch_size(tiny_bundle, data, tmp_path, monkeypatch):
    monkeypatch.setattr(infer_module, "_WORTH_MEASURING", 0.0)
    monkeypatch.setattr(infer_module, "_ENOUGH_SAMPLES", 6)
    run = infer(tiny_bundle.path, data, tmp_path / "run")
    timings = json.loads((run.path / "timings.json").read_text())
    assert timings["batch_size_measurements"]
    assert timings["samples"] == 6
    assert timings["plan"]
    assert timings["signature"]["backend"] == "onnxruntime"


def test_a_sample_that_cannot_be_timed_is_met_again(tiny_bundle, data, tmp_path, monkeypatch):
    def refuse(self, features, pad_to=None):
        raise BackendError("no")

    monkeypatch.setattr(Model, "run_batch", refuse)
    run = infer(tiny_bundle.path, data, tmp_path / "run")
    assert run.info["quarantined"] == 6
    assert {row["reason"] for row in run.rows("errors.jsonl")} == {"no"}


def test_progress_is_told(tiny_bundle, data, tmp_path):
    seen = []
    infer(tiny_bundle.path, data, tmp_path / "run", Options(batch_size=2), lambda t: seen.append((t.done, t.total)))
    assert seen[-1] == (6, 6)
    assert len(seen) >= 3


def test_an_unfinished_run_is_not_scored(tmp_path):
    begin_run(tmp_path / "run", {"bundle": "x"})
    with pytest.raises(RunError, match="not finished"):
        evaluate(tmp_path / "run")
    with pytest.raises(UsageError, match="not a run"):
        evaluate(tmp_path)


def test_nothing_to_plan(tiny, tiny_bundle, tmp_path):
    bad = tiny.write_manifest(tmp_path, [{"id": "a", "audio": "nowhere.wav"}])
    with pytest.raises(DatasetError, match="none of its 1 samples has a readable length: the file does not exist"):
        plan(tiny_bundle.path, bad)


def test_a_plan_measures_and_names_the_bad(tiny, tiny_bundle, tmp_path):
    planned = plan(tiny_bundle.path, tiny.write_difficult_data(tmp_path), shapes=3)
    assert planned.choice is not None
    assert planned.file_order_ratio >= 1
    assert {row.id for row in planned.rejected} >= {"empty", "text", "nowhere", "short"}
    assert plan(tiny_bundle.path, tmp_path / "data.jsonl", limit=1, batch_size=1).histogram.count == 1


def test_a_tally_without_work():
    tally = Tally()
    assert tally.padding_waste == 0
    assert tally.to_json()["samples"] == 0


def test_a_sound_in_memory_has_no_path(tiny):
    from inferry import Audio
    from inferry.core.errors import SampleError

    sample = Sample("a", Audio(np.zeros(4, np.float32), 16_000))
    assert rejected(sample, SampleError("process", "bad")) == Rejected("a", "", "process", "bad")


def test_an_engine_failure_ends_the_run_and_keeps_the_journal(tiny_bundle, data, tmp_path, monkeypatch):
    original, calls = Model.run_batch, []

    def break_later(self, features, pad_to=None):
        calls.append(len(features))
        if len(calls) == 4:
            raise RuntimeError("a bug")
        return original(self, features, pad_to)

    monkeypatch.setattr(Model, "run_batch", break_later)
    with pytest.raises(RuntimeError, match="a bug"):
        infer(tiny_bundle.path, data, tmp_path / "run", Options(batch_size=1))
    monkeypatch.undo()
    run = infer(tiny_bundle.path, data, tmp_path / "run")
    with Journal(run, 6) as journal:
        assert journal.done == 6
    assert json.loads((run.path / "timings.json").read_text())["resumed_after"] >= 1


def test_a_finished_run_that_lost_its_predictions_gets_them_back(tiny_bundle, data, tmp_path):
    run = infer(tiny_bundle.path, data, tmp_path / "run")
    file = run.path / "predictions.jsonl"
    before = file.read_bytes()
    file.unlink()
    assert infer(tiny_bundle.path, data, tmp_path / "run").complete
    assert file.read_bytes() == before


@pytest.mark.parametrize("options", [Options(precision="int8"), Options(backend="nothing")])
def test_what_the_backend_refuses_leaves_no_run_behind(tiny_bundle, data, tmp_path, options):
    with pytest.raises((BackendError, UsageError)):
        infer(tiny_bundle.path, data, tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options",
    [Options(max_seconds=0.2), Options(decoding=Decoding(language_model=Path("nowhere.arpa")))],
)
def test_what_cannot_be_decoded_so_leaves_no_run_behind(tiny_bundle, data, tmp_path, options):
    with pytest.raises(UsageError, match=r"--max-seconds is 0\.2|no language model at nowhere\.arpa"):
        infer(tiny_bundle.path, data, tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_a_run_belongs_to_its_decoding_and_its_windows(tiny_bundle, data, tmp_path):
    run = infer(tiny_bundle.path, data, tmp_path / "run", Options(limit=2))
    assert run.info["config"]["decoding"]["language_model"] is None
    for options in (Options(limit=2, decoding=Decoding(beam=3)), Options(limit=2, max_seconds=20.0)):
        with pytest.raises(RunError, match=r"holds a run with another (decoding|max_seconds)"):
            infer(tiny_bundle.path, data, tmp_path / "run", options)


def test_a_language_model_is_its_content(tiny, tiny_bundle, data, tmp_path):
    for name in ("a.arpa", "b.arpa"):
        (tmp_path / name).write_text(ARPA)
    first = Options(limit=1, decoding=Decoding(language_model=tmp_path / "a.arpa"))
    run = infer(tiny_bundle.path, data, tmp_path / "run", first)
    assert len(run.info["config"]["decoding"]["language_model"]) == 64
    moved = Options(limit=1, decoding=Decoding(language_model=tmp_path / "b.arpa"))
    assert infer(tiny_bundle.path, data, tmp_path / "run", moved).info == run.info
    (tmp_path / "b.arpa").write_text(ARPA.replace("-0.5", "-0.6"))
    with pytest.raises(RunError, match="another decoding"):
        infer(tiny_bundle.path, data, tmp_path / "run", moved)


@pytest.mark.parametrize(("decoding", "batches"), [(Decoding(), 2), (Decoding(beam=3), 6)])
def test_a_search_runs_every_sample_alone(tiny_bundle, data, tmp_path, decoding, batches):
    """Its scores add up the rounding noise of all frames, so no batch may come near them."""
    run = infer(tiny_bundle.path, data, tmp_path / "run", Options(batch_size=3, decoding=decoding))
    timings = json.loads((run.path / "timings.json").read_text(encoding="utf-8"))
    assert timings["batches"] - timings["settled_alone"] == batches


@pytest.mark.parametrize("verb", [evaluate, report])
def test_a_run_of_an_older_version_says_so(tiny_bundle, data, tmp_path, verb):
    run = infer(tiny_bundle.path, data, tmp_path / "run", Options(limit=1))
    info = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    del info["config"]["task"]
    (run.path / "run.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(RunError, match="older version of Inferry and names no task"):
        verb(run.path)


def test_a_bundle_without_what_scoring_needs_is_refused_before_the_run(tiny_bundle, data, tmp_path, monkeypatch):
    monkeypatch.setattr(SpeechRecognition, "keeps", ("labels.txt",))
    with pytest.raises(BundleError, match=r"lacks labels\.txt, which its task needs"):
        infer(tiny_bundle.path, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_progress_ends_where_it_was_planned_to_end(question_bundle, asking, tmp_path):
    """A picture is planned with a hundred regions and has fewer; what cannot be read is done as well."""
    data, told = asking.write_data(tmp_path / "data", pictures=2, questions=4), []
    next(data.parent.glob("*.png")).write_bytes(b"no picture")
    infer(question_bundle.path, data, tmp_path / "run", Options(batch_size=2), progress=told.append)
    tally = told[-1]
    assert (tally.done, tally.total, tally.quarantined, tally.resumed) == (4, 4, 2, 0)
    assert tally.done_units == tally.total_units == 400
    assert 0 < tally.valid_units <= 200
