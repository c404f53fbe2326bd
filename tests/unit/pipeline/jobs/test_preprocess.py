import json
import shutil

import numpy as np
import pytest
import soundfile

from inferry.ascend import job_inputs
from inferry.core.errors import RunError, UsageError
from inferry.core.samples import Rejected
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.jobs.folder import SAMPLES, read_job, read_samples
from inferry.pipeline.jobs.postprocess import postprocess
from inferry.pipeline.jobs.preprocess import preprocess
from inferry.pipeline.jobs.target import JobOptions
from inferry.planning.make import make_plan, write_plan


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_difficult_data(tmp_path_factory.mktemp("data"))


def test_every_item_has_its_row_in_order(tiny_bundle, data, tmp_path):
    job = preprocess(tiny_bundle.path, data, tmp_path / "job")
    assert read_job(tmp_path / "job") == job
    assert job.counts == {"samples": 17, "pieces": 10, "answered": 1, "quarantined": 6, "cut": 0}
    rows = list(read_samples(job))
    assert [row.id for row in rows] == [json.loads(line)["id"] for line in data.read_text().splitlines()]
    assert {row.id: row.reason for row in rows if isinstance(row, Rejected)}["empty"] == "the file is empty (0 bytes)"
    assert sum(part.files for part in job.parts) == 10
    assert job.config["bundle"] == tiny_bundle.digest
    assert (tmp_path / "job").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_no_byte(tiny_bundle, data, tmp_path, workers):
    first = preprocess(tiny_bundle.path, data, tmp_path / "first", JobOptions(workers=2))
    other = preprocess(tiny_bundle.path, data, tmp_path / "other", JobOptions(workers=workers))
    names = [path.relative_to(first.folder) for path in first.folder.rglob("*") if path.is_file()]
    assert len(names) == 2 + sum(1 + 2 * part.files for part in first.parts)
    for name in names:
        assert (other.folder / name).read_bytes() == (first.folder / name).read_bytes()


def test_the_network_is_not_opened(tiny_bundle, data, tmp_path):
    """A large one would take its memory for nothing."""
    bundle = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"no graph")
    wanted = preprocess(tiny_bundle.path, data, tmp_path / "wanted")
    made = preprocess(bundle, data, tmp_path / "job")
    assert made.counts == wanted.counts
    assert made.parts == wanted.parts


def test_progress_is_told(tiny_bundle, data, tmp_path):
    said = []
    job = preprocess(
        tiny_bundle.path,
        data,
        tmp_path / "job",
        JobOptions(sizes={"samples": (20_000,)}),
        lambda tally: said.append((tally.done, tally.done_units, tally.quarantined, tally.padding_waste)),
    )
    assert [row[:2] for row in said] == [(index, index) for index in range(1, 18)]
    assert said[-1][2] == job.counts["quarantined"]
    lengths = [round(row.seconds * 16_000) for row in read_samples(job) if getattr(row, "pieces", ())]
    assert said[-1][3] == pytest.approx(1 - sum(lengths) / (20_000 * len(lengths)))


def test_a_plan_and_a_limit(tiny_bundle, data, tmp_path):
    write_plan(make_plan([5000, 9600], axis="samples", batch_size=4, shapes=2), tmp_path / "plan.json")
    job = preprocess(tiny_bundle.path, data, tmp_path / "job", JobOptions(plan=tmp_path / "plan.json", limit=4))
    assert job.counts["samples"] == 4
    assert [run.name for run in job.runs] == ["samples5000_b1", "samples5000_b4", "samples9600_b1", "samples9600_b4"]


def test_many_files_are_split_and_found_again(tiny_bundle, data, tmp_path, on_npu, monkeypatch):
    monkeypatch.setattr(job_inputs, "MAX_FILES", 3)
    sizes = {"samples": (20_000,)}
    job = preprocess(tiny_bundle.path, data, tmp_path / "job", JobOptions(sizes=sizes, batch_sizes=(2,)))
    assert [part.files for part in job.parts] == [3, 3, 3, 1]
    on_npu.run_all(job, tiny_bundle.model, tmp_path / "out")
    assert (tmp_path / "out" / "samples20000_b2_part4").is_dir()
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    run = infer(tiny_bundle.path, data, tmp_path / "infer")
    assert (made.run.path / "predictions.jsonl").read_bytes() == (run.path / "predictions.jsonl").read_bytes()
    assert [row["gear"] for row in made.npu][1] == "samples20000_b2_part2"


def test_a_bad_window_quarantines_its_sound_alone(tiny_bundle, tiny, tmp_path, on_npu):
    samples = tiny.sound(60_000, 3)
    samples[50_000] = np.nan
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data" / "bad.wav", samples, tiny.RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "data" / "good.wav", tiny.sound(50_000, 4), tiny.RATE)
    job = preprocess(tiny_bundle.path, tmp_path / "data", tmp_path / "job", JobOptions(max_seconds=1.0))
    bad, good = read_samples(job)
    assert isinstance(bad, Rejected)
    # What was written of the bad one before is run for nothing, and nobody reads it.
    assert sum(part.files for part in job.parts) > len(good.pieces) == job.counts["pieces"]
    on_npu.run_all(job, tiny_bundle.model, tmp_path / "out")
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    run = infer(tiny_bundle.path, tmp_path / "data", tmp_path / "infer", Options(max_seconds=1.0))
    for name in ("predictions.jsonl", "errors.jsonl"):
        assert (made.run.path / name).read_bytes() == (run.path / name).read_bytes()


def test_a_bug_in_one_sample_ends_nothing(tiny_bundle, data, tmp_path, monkeypatch):
    from inferry.processing.speech import SpeechProcessor

    process = SpeechProcessor.process

    def broken(self, source):
        if source.path.name == "002.wav":
            raise ZeroDivisionError("oops")
        return process(self, source)

    monkeypatch.setattr(SpeechProcessor, "process", broken)
    job = preprocess(tiny_bundle.path, data, tmp_path / "job")
    reasons = {row.id: row.reason for row in read_samples(job) if isinstance(row, Rejected)}
    assert reasons["utt002"] == "unexpected ZeroDivisionError: oops (please report this)"
    assert job.counts["quarantined"] == 7


def test_an_interruption_leaves_nothing(tiny_bundle, data, tmp_path):
    def interrupt(tally):
        if tally.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess(tiny_bundle.path, data, tmp_path / "job", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_older_job_is_replaced_whole_and_only_if_nothing_else_is_in_it(tiny_bundle, data, tmp_path):
    preprocess(tiny_bundle.path, data, tmp_path / "job", JobOptions(sizes={"samples": (20_000,)}))
    before = (tmp_path / "job" / SAMPLES).read_bytes()
    with pytest.raises(RunError, match="no sample could be processed; the first reason: it has 1,600 samples"):
        preprocess(tiny_bundle.path, data, tmp_path / "job", JobOptions(sizes={"samples": (300,)}, limit=2))
    assert (tmp_path / "job" / SAMPLES).read_bytes() == before
    preprocess(tiny_bundle.path, data, tmp_path / "job", JobOptions(limit=3))
    assert not (tmp_path / "job" / "samples20000").exists()
    (tmp_path / "job" / "out").mkdir()
    with pytest.raises(UsageError, match="job: holds out, which is no part of a job"):
        preprocess(tiny_bundle.path, data, tmp_path / "job")


def test_what_ais_bench_refuses_is_refused_before_anything_is_read(tiny_bundle, data, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name, message in [
        ("with space", "ais_bench refuses ' ' in a path"),
        ("link", "is a link, which ais_bench refuses"),
        ("file", "is a file; choose a new folder"),
    ]:
        with pytest.raises(UsageError, match=message):
            preprocess(tiny_bundle.path, data / "nowhere", tmp_path / name)


def test_silence_alone_needs_no_npu(tiny_bundle, tiny, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(5000, np.float32), tiny.RATE)
    job = preprocess(tiny_bundle.path, tmp_path / "silence.wav", tmp_path / "job")
    assert (job.parts, job.counts["answered"]) == ((), 1)
    (tmp_path / "out").mkdir()
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    assert [row["text"] for row in made.run.rows()] == [""]
    assert made.run.info["signature"]["tool"] == "none, no sample needed the network"
