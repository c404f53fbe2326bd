import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inferry.cli.main import app
from inferry.core.errors import RunError, UsageError
from inferry.core.runs import open_run
from inferry.pipeline.infer import infer
from inferry.pipeline.jobs.postprocess import postprocess
from inferry.pipeline.jobs.preprocess import preprocess
from inferry.pipeline.jobs.target import JobOptions
from inferry.processing.ctc import GreedyCtcDecoder

OPTIONS = JobOptions(sizes={"samples": (6000, 12_500)}, batch_sizes=(1, 2))
ONE = "samples6000_b1"


@pytest.fixture(scope="module")
def sent(tiny, tiny_bundle, on_npu, tmp_path_factory):
    """A job of two shapes, its outputs for two batch sizes, and the run of `infer`."""
    folder = tmp_path_factory.mktemp("sent")
    data = tiny.write_data(folder / "data", 6)
    job = preprocess(tiny_bundle.path, data, folder / "job", OPTIONS)
    on_npu.run_all(job, tiny_bundle.model, folder / "out")
    return job, folder / "out", infer(tiny_bundle.path, data, folder / "infer")


@pytest.fixture
def job(sent):
    return sent[0]


@pytest.fixture
def out(sent, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(sent[1], tmp_path / "out")


@pytest.fixture
def post(tiny_bundle, job, out, tmp_path):
    return lambda **options: postprocess(tiny_bundle.path, out, tmp_path / "run", **{"job": job.folder, **options})


def rows(run):
    return (run.path / "predictions.jsonl").read_bytes()


def test_the_run_is_as_infer_writes_it_but_for_what_computed_it(sent, post):
    made, run = post(device="Ascend310P3", precision="fp32").run, sent[2]
    assert rows(made) == rows(run)
    own = {"backend": "ascend", "precision": "fp32", "measured": "elsewhere"}
    assert made.info["config"] == {**run.info["config"], **own}
    assert made.info["signature"]["device"] == "Ascend310P3"
    # Nothing says that this machine's processor or runtime computed it.
    assert not {"machine", "onnxruntime", "threads", "version"} & made.info["signature"].keys()
    assert made.info["signature"]["decoded_by"].startswith("inferry ")
    assert (made.path / "metrics.json").is_file()


def test_times_of_every_gear_are_kept(post, out):
    made = post()
    assert [row["gear"] for row in made.npu] == [
        f"samples{size}_b{batch}" for size in (6000, 12500) for batch in (1, 2)
    ]
    timings = json.loads((made.run.path / "timings.json").read_text())
    assert timings["npu"] == list(made.npu)
    summary = json.loads((out / f"{ONE}_summary.json").read_text())
    row, said = made.npu[0], summary["NPU_compute_time"]
    found = {name: row["compute_ms"][name] for name in ("min", "max", "mean", "median", "count")}
    assert found == {name: said[name] for name in found}
    assert row["compute_ms"]["p99"] == said["percentile(99%)"]
    assert row["h2d_ms"]["mean"] == summary["H2D_latency"]["mean"]
    assert row["d2h_ms"]["mean"] == summary["D2H_latency"]["mean"]
    assert (row["samples_per_second"], row["arguments"]) == (summary["throughput"], summary["args"])
    assert (row["om"], row["batch"], row["samples"]) == ("model.om", 1, 2)
    assert timings["plan"] == "samples|shapes:6000x2,12500x2|batch:2|max_padded:none"
    assert "wall_seconds" not in timings


def test_one_batch_size_of_a_shape_is_enough(sent, post, out):
    for name in (ONE, "samples12500_b2"):
        shutil.rmtree(out / name)
    made = post()
    assert rows(made.run) == rows(sent[2])
    assert made.differences == ()
    assert len(made.npu) == 2


@pytest.mark.parametrize("fmt", ["NPY", "TXT"])
def test_other_formats(sent, tiny_bundle, on_npu, tmp_path, fmt):
    job, _, run = sent
    on_npu.run_all(job, tiny_bundle.model, tmp_path / "out", outfmt=fmt, batches=(3,))
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    assert rows(made.run) == rows(run)
    assert {row["batch"] for row in made.npu} == {3}


def test_a_folder_named_after_the_time_is_found_and_two_are_not_guessed(sent, post, out):
    shutil.rmtree(out / "samples6000_b2")
    (out / ONE).rename(out / "moved")
    (out / ONE).mkdir()
    (out / "moved").rename(out / ONE / "2026_01_02-03_04_05")
    (out / f"{ONE}_summary.json").rename(out / ONE / "2026_01_02-03_04_05_summary.json")
    made = post()
    assert rows(made.run) == rows(sent[2])
    assert made.npu[0]["gear"] == ONE
    (out / ONE / "2026_01_02-03_04_06").mkdir()
    with pytest.raises(RunError, match=r"holds several runs \(2026_01_02-03_04_05, 2026_01_02-03_04_06\)"):
        post()


def test_what_a_pack_noted_of_the_machine_is_in_the_signature(post, out):
    notes = "date: 2026-01-02T03:04:05Z\nmachine: Linux aarch64\ndevice: 1\nnpu-smi: not found\n"
    (out / "system.txt").write_text(notes)
    made = post().run.info["signature"]
    assert (made["date"], made["machine"]) == ("2026-01-02T03:04:05Z", "Linux aarch64")
    assert made["device"] == "not stated"


def test_results_of_another_pack_are_refused(post, job, out, tmp_path):
    (out / "system.txt").write_text(f"pack: {job.id}\nmachine: Linux aarch64\n| pack: 3\npack: of npu-smi\n")
    assert post().run.info["signature"]["machine"] == "Linux aarch64"
    shutil.rmtree(tmp_path / "run")
    (out / "system.txt").write_text("pack: 0123456789abcdef\n")
    with pytest.raises(
        RunError,
        match=rf"system\.txt says .* the pack 0123456789ab…, and .* is of {job.id[:12]}…",
    ):
        post()
    assert not (tmp_path / "run").exists()


def test_results_of_two_packs_in_one_folder_are_refused(post, job, out, tmp_path):
    (out / "system.txt").write_text(f"pack: {job.id}\n")
    (out / "logs").mkdir()
    (out / "logs" / f"{ONE}.made_by").write_text(f"{job.id} 0 123 45 unknown\n")
    post()
    shutil.rmtree(tmp_path / "run")
    (out / "logs" / "samples6000_b2.made_by").write_text("0123456789abcdef 0 123 45 unknown\n")
    with pytest.raises(RunError, match=r"samples6000_b2\.made_by says .* are of the pack 0123456789ab…"):
        post()
    assert not (tmp_path / "run").exists()


def test_times_of_another_batch_size_are_refused(post, out, tmp_path):
    summary = out / "samples6000_b2_summary.json"
    shutil.copy(out / f"{ONE}_summary.json", summary)
    with pytest.raises(RunError, match=r"samples6000_b2_summary.json: .*\n.*the model ran 2 times; 2 samples in batc"):
        post()
    assert not (tmp_path / "run").exists()


def change(path, edit):
    array = np.fromfile(path, np.float32)
    edit(array)
    array.tofile(path)


def test_an_answer_that_batching_changes_is_counted(sent, post, out):
    path = out / "samples6000_b2" / "000001_0.bin"
    change(path, lambda array: array.__setitem__(slice(None), np.roll(array, 3)))
    made = post()
    assert rows(made.run) == rows(sent[2])
    (difference,) = made.differences
    assert (difference.batch, difference.compared, difference.differing) == (2, 6, 1)
    assert difference.first == read_ids(sent[0])["samples6000", "000001"]
    assert made.differing == 1


def read_ids(job):
    from inferry.pipeline.jobs.folder import read_samples

    return {(place.folder, place.file): row.id for row in read_samples(job) for place in row.pieces}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_quarantined(sent, post, out, bad):
    for batch in (1, 2):
        path = out / f"samples6000_b{batch}" / "000000_0.bin"
        change(path, lambda array: array.__setitem__(4, bad))
    made = post()
    (row,) = made.run.rows("errors.jsonl")
    assert row["id"] == read_ids(sent[0])["samples6000", "000000"]
    assert (row["stage"], row["reason"]) == ("infer", "the network's output logits is not finite")
    assert Path(row["path"]).is_file()
    assert made.run.info["quarantined"] == 1
    assert made.differing == 0, "both batch sizes say the same"


def test_padding_may_hold_anything(sent, post, out):
    """Rows behind the true length are not the sample's."""
    for batch in (1, 2):
        path = out / f"samples6000_b{batch}" / "000000_0.bin"
        change(path, lambda array: array.__setitem__(slice(-10, None), np.nan))
    assert rows(post().run) == rows(sent[2])


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def cut(path, size=40):
    path.write_bytes(path.read_bytes()[:-size])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda out: remove(out / ONE / "000001_0.bin"),
            r"000001_0.bin: is missing\nRun that batch size again, or remove .*samples6000_b1: one of a shape",
        ),
        (lambda out: (out / ONE / "000009_0.bin").touch(), "000009_0.bin: belongs to no sample"),
        (lambda out: cut(out / ONE / "000001_0.bin"), "000001_0.bin: has .* bytes, the others have"),
        (lambda out: cut(out / ONE / "000001_0.bin", 3), "000001_0.bin: has .* bytes, expected a multiple of 40"),
        (
            lambda out: [cut(path, 2400) for path in (out / ONE).glob("*_0.bin")],
            "says .* of logits, and the file holds",
        ),
        (lambda out: np.array([-1]).tofile(out / ONE / "000001_1.bin"), "output_lengths says -1 of logits"),
        (lambda out: (out / f"{ONE}_summary.json").write_text("{}"), "is no summary of ais_bench"),
        (
            lambda out: shutil.copy(out / "samples12500_b1_summary.json", out / f"{ONE}_summary.json"),
            "samples6000_b1_summary.json: this summary belongs to another job",
        ),
        (
            lambda out: [remove(out / f"samples6000_b{batch}") for batch in (1, 2)],
            r"lacks outputs of 1 of 2 .*\n.*/samples6000/00_input_values,.*_b1 --dymDims 'input_values:1,6000;",
        ),
    ],
)
def test_broken_outputs_are_errors_and_leave_no_run(post, out, tmp_path, damage, message):
    damage(out)
    with pytest.raises(RunError, match=message):
        post()
    assert not (tmp_path / "run").exists()


def test_a_job_of_another_bundle_is_refused(tiny_bundles, job, out, tmp_path):
    with pytest.raises(RunError, match="was made with another bundle"):
        postprocess(tiny_bundles["data2vec-audio"].path, out, tmp_path / "run", job=job.folder)


def test_only_its_own_runs_are_replaced(sent, post, tmp_path):
    shutil.copytree(sent[2].path, tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(RunError, match="is no run of `inferry postprocess`"):
        post()
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    shutil.rmtree(tmp_path / "run")
    post()
    (tmp_path / "run" / "report.html").touch()
    post(device="Ascend310B4")
    assert not (tmp_path / "run" / "report.html").exists()


def test_the_job_is_found_above_its_outputs(sent, tiny_bundle, tmp_path):
    job = shutil.copytree(sent[0].folder, tmp_path / "job")
    shutil.copytree(sent[1], job / "out")
    made = postprocess(tiny_bundle.path, job / "out", tmp_path / "run")
    assert rows(made.run) == rows(sent[2])
    assert made.run.info["job_path"] == str(job)


def test_usage(tiny_bundle, job, out, tmp_path):
    with pytest.raises(UsageError, match="nowhere is no folder"):
        postprocess(tiny_bundle.path, tmp_path / "nowhere", tmp_path / "run", job=job.folder)
    moved = shutil.copytree(job.folder, tmp_path / "job")
    row = json.loads((moved / "job.json").read_text())
    row["compiled"] = {"device": "Ascend310P3", "precision": "fp16", "key": "x"}
    (moved / "job.json").write_text(json.dumps(row))
    with pytest.raises(UsageError, match="device is given as Ascend910A, and the job is for Ascend310P3"):
        postprocess(tiny_bundle.path, out, tmp_path / "run", job=moved, device="Ascend910A")
    made = postprocess(tiny_bundle.path, out, tmp_path / "run", job=moved)
    assert made.run.info["config"]["precision"] == "fp16"


def test_a_damaged_job_is_named(sent, tiny_bundle, tmp_path):
    moved = shutil.copytree(sent[0].folder, tmp_path / "job")
    (moved / "samples.jsonl").write_text((moved / "samples.jsonl").read_text().replace('"samples6000"', '"x"'))
    with pytest.raises(RunError, match=r"names the folder x, which job\.json does not"):
        postprocess(tiny_bundle.path, sent[1], tmp_path / "run", job=moved)


def test_half_outputs_are_decoded_as_floats(sent, tiny_bundle, out, tmp_path, monkeypatch):
    moved = shutil.copytree(sent[0].folder, tmp_path / "job")
    row = json.loads((moved / "job.json").read_text())
    row["outputs"][0]["dtype"] = "float16"
    (moved / "job.json").write_text(json.dumps(row))
    for path in out.glob("*/*_0.bin"):
        np.fromfile(path, np.float32).astype(np.float16).tofile(path)
    seen = []
    decode = GreedyCtcDecoder.decode

    def spy(self, outputs, **options):
        seen.append(outputs["logits"].dtype)
        return decode(self, outputs, **options)

    monkeypatch.setattr(GreedyCtcDecoder, "decode", spy)
    made = postprocess(tiny_bundle.path, out, tmp_path / "run", job=moved)
    assert set(seen) == {np.dtype(np.float32)}
    assert [row["frames"] for row in made.run.rows()] == [row["frames"] for row in sent[2].rows()]


def test_answers_that_rounding_could_change_are_counted(post, out):
    before = post().near_ties

    def tie(array):
        frame = array.reshape(-1, 10)[0]
        frame[:] = 0
        frame[5], frame[6] = 9, 9.00001

    change(out / ONE / "000000_0.bin", tie)
    made = post()
    assert made.near_ties == before + 1
    assert json.loads((made.run.path / "timings.json").read_text())["near_ties"] == made.near_ties


def test_several_threads_have_fewer_numbers(sent, tiny_bundle, ais_bench, on_npu, tmp_path):
    job, _, run = sent
    for one in job.runs:
        if one.gear.batch == 1:
            shapes = {spec.name: one.gear.shape(spec) for spec in job.inputs}
            om = ais_bench.OfflineModel(tiny_bundle.model, shapes)
            folders = on_npu.folders_of(job, one.part)
            ais_bench.run(om, folders, tmp_path / "out", one.name, pipeline=True, threads=2)
    words = ("--outputs", tmp_path / "out", "--job", job.folder, "--output", tmp_path / "run")
    done = CliRunner().invoke(app, ["postprocess", str(tiny_bundle.path), *map(str, words)])
    assert done.exit_code == 0, done.output
    assert rows(open_run(tmp_path / "run")) == rows(run)
    (row, _) = json.loads((tmp_path / "run" / "timings.json").read_text())["npu"]
    assert row["compute_ms"]["mean"] > 0
    assert row["compute_ms"]["median"] is None
    line = next(line for line in done.output.splitlines() if line.startswith(ONE))
    assert line.split()[3:5] == ["-", "-"], "neither median nor 99th percentile"


def test_without_references_there_is_no_score_and_no_failure(tiny, tiny_bundle, on_npu, tmp_path):
    data = tiny.write_data(tmp_path / "data", 2, reference=None)
    job = preprocess(tiny_bundle.path, data, tmp_path / "job", OPTIONS)
    on_npu.run_all(job, tiny_bundle.model, tmp_path / "out")
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    assert (made.evaluation, made.failed) == (None, False)
    assert "nothing to score" in made.unscored


def test_a_score_that_fails_is_a_failure(post, monkeypatch):
    def broken(_):
        raise RunError("the metric is broken")

    monkeypatch.setattr("inferry.pipeline.jobs.postprocess.evaluate", broken)
    made = post()
    assert (made.evaluation, made.unscored, made.failed) == (None, "the metric is broken", True)
    monkeypatch.setattr("inferry.pipeline.jobs.postprocess.postprocess", lambda *_, **__: made)
    done = CliRunner().invoke(app, ["postprocess", "bundle", "--outputs", "out", "--output", "run"])
    assert done.exit_code == 1
    assert "not scored: the metric is broken" in done.output
