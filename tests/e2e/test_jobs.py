"""Data set to ais_bench's files, a simulated NPU, and back: the same bytes as `inferry infer` writes."""

import itertools
import json
import os
import shlex
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from inferry.cli.main import app
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.jobs.folder import read_job, read_samples
from inferry.pipeline.jobs.postprocess import postprocess
from inferry.pipeline.jobs.preprocess import preprocess
from inferry.pipeline.jobs.target import JobOptions

FILES = ("predictions.jsonl", "errors.jsonl")


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def bundles(tiny_bundles, picture_bundle, question_bundle):
    return tiny_bundles | {"beit": picture_bundle, "vilbert-vqa": question_bundle}


@pytest.fixture(scope="module")
def sounds(tiny, tmp_path_factory):
    """Good sounds and every kind of bad ones, with long ones: at another rate, silent in the middle, and all silent."""
    path = tiny.write_difficult_data(tmp_path_factory.mktemp("sounds"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for index, rate in enumerate((tiny.RATE, 22_050)):
        samples = tiny.sound(60_000 + 7_777 * index, 100 + index)
        samples[20_000:50_000] = 0
        soundfile.write(path.parent / f"long{index}.wav", samples, rate)
        rows.insert(3 * index, {"id": f"long{index}", "audio": f"long{index}.wav", "text": "ON"})
    soundfile.write(path.parent / "long silence.wav", np.zeros(40_000, np.float32), tiny.RATE)
    rows.append({"id": "long silence", "audio": "long silence.wav"})
    return tiny.write_manifest(path.parent, rows)


@pytest.fixture(scope="module")
def data_of(pictures, asking, sounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    photos = pictures.write_pictures(folder / "pictures", 7)
    (photos / "owl" / "broken.png").write_bytes(b"no picture")
    return {
        **dict.fromkeys(("wav2vec2", "data2vec-audio", "deepspeech2"), sounds),
        "beit": photos,
        "vilbert-vqa": asking.write_data(folder / "questions"),
    }


@pytest.mark.parametrize("family", ["wav2vec2", "data2vec-audio", "deepspeech2", "beit", "vilbert-vqa"])
def test_all_families_give_the_bytes_of_infer(bundles, data_of, on_npu, tmp_path, family):
    bundle, data = bundles[family], data_of[family]
    job = preprocess(bundle.path, data, tmp_path / "job", JobOptions(batch_sizes=(1, 3), max_seconds=1.0))
    on_npu.run_all(job, bundle.model, tmp_path / "out")
    made = postprocess(bundle.path, tmp_path / "out", tmp_path / "run", job=tmp_path / "job")
    run = infer(bundle.path, data, tmp_path / "infer", Options(max_seconds=1.0))
    for name in FILES:
        assert (made.run.path / name).read_bytes() == (run.path / name).read_bytes()
    assert [made.run.info[name] for name in ("samples", "predictions", "quarantined", "cut")] == [
        run.info[name] for name in ("samples", "predictions", "quarantined", "cut")
    ]
    assert made.evaluation is not None
    assert made.evaluation.score.rates == evaluate(run.path).score.rates
    assert [(one.batch, one.differing) for one in made.differences] == [(3, 0)]
    assert len(made.npu) == len(job.runs)


def test_a_librispeech_folder(tiny, tiny_bundle, on_npu, tmp_path):
    """With a truncated file, a silent one, one without a transcript's sound, and a long one in windows."""
    chapter = tmp_path / "LibriSpeech" / "test-clean" / "1089" / "134686"
    chapter.mkdir(parents=True)
    sounds = [tiny.sound(9000, 0), np.zeros(8000, np.float32), tiny.sound(50_000, 2), tiny.sound(8000, 3)]
    for index, samples in enumerate(sounds):
        soundfile.write(chapter / f"1089-134686-{index:04}.flac", samples, tiny.RATE)
    broken = chapter / "1089-134686-0003.flac"
    broken.write_bytes(broken.read_bytes()[:3000])
    lines = [f"1089-134686-{index:04} HE HOPED\n" for index in range(5)]
    (chapter / "1089-134686.trans.txt").write_text("".join(lines))
    data = chapter.parent.parent
    job = preprocess(tiny_bundle.path, data, tmp_path / "job", JobOptions(max_seconds=1.0))
    assert (job.config["kind"], job.counts["quarantined"], job.counts["answered"]) == ("librispeech", 2, 1)
    assert job.counts["cut"] == 1
    on_npu.run_all(job, tiny_bundle.model, tmp_path / "out")
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    run = infer(tiny_bundle.path, data, tmp_path / "infer", Options(max_seconds=1.0))
    for name in FILES:
        assert (made.run.path / name).read_bytes() == (run.path / name).read_bytes()


def test_names_of_files_and_ids_never_reach_ais_bench(tiny, tiny_bundle, on_npu, tmp_path):
    names = ["a.1.wav", "a.2.wav", "with space.wav", "ü-語.wav", "x\ty.wav", "'; rm -rf.wav"]
    for index, name in enumerate(names):
        (tmp_path / "datä set").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "datä set" / name, tiny.sound(4000 + 100 * index, index), tiny.RATE)
    # Names that are no text at all, of a good file and of a bad one.
    shutil.copy(tmp_path / "datä set" / names[0], tmp_path / "datä set" / os.fsdecode(b"good\xff.wav"))
    (tmp_path / "datä set" / os.fsdecode(b"bad\xff.wav")).touch()
    job = preprocess(tiny_bundle.path, tmp_path / "datä set", tmp_path / "job")
    files = {path.name for part in job.parts for path in (job.folder / part.folder).rglob("*.bin")}
    assert files <= {f"{index:06d}.bin" for index in range(len(names) + 1)}
    on_npu.run_all(job, tiny_bundle.model, tmp_path / "out")
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    run = infer(tiny_bundle.path, tmp_path / "datä set", tmp_path / "infer")
    for name in FILES:
        assert (made.run.path / name).read_bytes() == (run.path / name).read_bytes()
    assert (made.run.info["predictions"], made.run.info["quarantined"]) == (len(names) + 1, 1)


def test_msame_writes_what_is_read(tiny_bundle, sounds, on_npu, tmp_path):
    job = preprocess(tiny_bundle.path, sounds, tmp_path / "job", JobOptions(max_seconds=1.0))
    on_npu.run_msame(job, tiny_bundle.model, tmp_path / "out")
    made = postprocess(tiny_bundle.path, tmp_path / "out", tmp_path / "run", job=job.folder)
    run = infer(tiny_bundle.path, sounds, tmp_path / "infer", Options(max_seconds=1.0))
    assert (made.run.path / FILES[0]).read_bytes() == (run.path / FILES[0]).read_bytes()
    assert made.npu == ()
    assert made.run.info["signature"]["tool"] == "msame"


def test_the_verbs_and_programs_one_after_the_other(programs, picture_bundle, pictures, tmp_path):
    """The program ais_bench runs what compile made; the run reads like one of `infer`, and says that it is none."""
    bundle = shutil.copytree(picture_bundle.path, tmp_path / "bundle")
    photos = pictures.write_pictures(tmp_path / "photos", 5)
    job, _ = chain(bundle, photos, tmp_path, "--batch-sizes", "1,4")
    arguments = ("--outputs", tmp_path / "out", "--job", job.folder, "--output", tmp_path / "run")
    done = call("postprocess", bundle, *arguments, "--strict")
    assert done.exit_code == 0, done.output
    assert "measured elsewhere" in done.output
    assert "batch size 4: the same 5 answers" in done.output
    infer(bundle, photos, tmp_path / "infer")
    assert (tmp_path / "run" / FILES[0]).read_bytes() == (tmp_path / "infer" / FILES[0]).read_bytes()
    signed = json.loads((tmp_path / "run" / "run.json").read_text())["signature"]
    assert (signed["measured"], signed["device"], signed["precision"]) == ("elsewhere", "Ascend310P3", "fp32")
    assert signed["om"].endswith(".om")
    assert not {"machine", "onnxruntime", "threads"} & signed.keys()
    assert call("report", tmp_path / "run").exit_code == 0


def chain(bundle, data, folder, *options):
    """compile with these options, preprocess for what it made, the program ais_bench, postprocess."""
    done = call("compile", bundle, "--soc", "Ascend310P3", *options, "--json")
    assert done.exit_code == 0, done.output
    (compiled,) = (bundle / "compiled" / "ascend").iterdir()
    job = preprocess(bundle, data, folder / "job", JobOptions(compiled=compiled.name))
    (om,) = compiled.glob("*.om")
    for run in job.runs:
        folders = ",".join(str(job.folder / run.part.folder / name) for name in run.part.inputs)
        words = ["ais_bench", "--model", om, "--input", folders, "--output", folder / "out"]
        words += ["--output_dirname", run.name, *job.gears.ais_bench_options(run.gear)]
        subprocess.run([str(word) for word in words], check=True, capture_output=True)
    return job, postprocess(bundle, folder / "out", folder / "run", job=job.folder)


@pytest.fixture
def programs(cann, tmp_path, monkeypatch):
    """Simulated atc and ais_bench on the PATH."""
    monkeypatch.setenv("PATH", f"{cann.install(tmp_path)}:{os.environ['PATH']}")


def test_half_precision_and_gears(programs, tiny_bundle, tiny, tmp_path):
    """Half-precision inputs and one om with gears of two sizes and two batch sizes; frames and seconds are exact."""
    bundle = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    data = tiny.write_data(tmp_path / "data", 5)
    sizes = ("--sizes", "samples=8000,12500", "--batch-sizes", "1,2")
    job, made = chain(bundle, data, tmp_path, "--precision", "fp16", "--fp16-inputs", *sizes)
    assert {spec.dtype for spec in job.inputs} == {"float16", "int64"}
    assert [run.name for run in job.runs] == [f"samples{size}_b{batch}" for size in (8000, 12500) for batch in (1, 2)]
    names = ("id", "frames", "seconds", "reference")
    exact = [{name: row[name] for name in names} for row in infer(bundle, data, tmp_path / "infer").rows()]
    assert [{name: row[name] for name in names} for row in made.run.rows()] == exact
    assert made.run.info["config"]["precision"] == "fp16"
    assert [one.compared for one in made.differences] == [5]


def test_pictures_as_bytes(programs, picture_bundle, pictures, tmp_path):
    """With AIPP the files hold uint8 pictures, and the om normalises them."""
    bundle = shutil.copytree(picture_bundle.path, tmp_path / "bundle")
    photos = pictures.write_pictures(tmp_path / "photos", 5)
    job, made = chain(bundle, photos, tmp_path, "--precision", "fp32", "--aipp", "--batch-sizes", "1,4")
    file = job.folder / "items" / job.parts[0].inputs[0] / "000000.bin"
    assert file.stat().st_size == 48 * 48 * 3
    wanted = [row["label"] for row in infer(bundle, photos, tmp_path / "infer").rows()]
    assert [row["label"] for row in made.run.rows()] == wanted


def test_what_the_verbs_print_and_their_exit_codes(tiny_bundle, sounds, on_npu, tmp_path):
    job, out, run = tmp_path / "job", tmp_path / "out", tmp_path / "run"
    done = call("preprocess", tiny_bundle.path, "--data", sounds, "--output", job, "--max-seconds", 1, "--strict")
    assert done.exit_code == 1
    assert "3 longer than 1 s, cut into windows" in done.output
    assert "empty: read: the file is empty" in done.output
    made = read_job(job)
    assert all(part.folder in done.output for part in made.parts)
    on_npu.run_all(made, tiny_bundle.model, out)
    arguments = ("postprocess", tiny_bundle.path, "--outputs", out, "--job", job, "--output", run)
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert "precision not stated" in done.output
    assert "WER" in done.output
    assert call(*arguments, "--strict").exit_code == 1
    shown = json.loads(call(*arguments, "--json").stdout)
    assert shown["samples"] == len(list(read_samples(made)))
    assert len(shown["npu"]) == len(made.runs)
    for words, message in [
        (["--sizes", "samples"], "is not NAME=NUMBER"),
        (["--sizes", "frames=3"], "unknown dimension 'frames'"),
        (["--sizes", "samples=0"], "no whole number of 1 or more"),
        (["--sizes", "samples=1", "--sizes", "samples=2"], "gives samples twice"),
        (["--compiled", "nothing"], "no compiled model 'nothing'"),
    ]:
        done = call("preprocess", tiny_bundle.path, "--data", sounds, "--output", tmp_path / "none", *words)
        assert done.exit_code == 2
        assert message in done.stderr
        assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("verb", ["preprocess", "postprocess", "pack"])
def test_an_interrupted_verb_says_that_nothing_was_written(tiny_bundle, tmp_path, monkeypatch, verb):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"inferry.pipeline.{'' if verb == 'pack' else 'jobs.'}{verb}.{verb}", interrupted)
    given = "--outputs" if verb == "postprocess" else "--data"
    done = call(verb, tiny_bundle.path, given, tmp_path, "--output", tmp_path / "target")
    assert done.exit_code == 130
    assert done.stderr == "interrupted; nothing was written\n"


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("name", ["a_pack", "pack.tar.gz"])
def test_a_pack_says_how_its_results_become_a_run(tiny_bundle, sounds, tmp_path, monkeypatch, name):
    """What `inferry pack` prints last is run as it stands, after `sh run.sh` and an archive's journey."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIS_BENCH", "ais_bench")
    done = call("pack", tiny_bundle.path, "--data", sounds, "--output", name, "--strict")
    assert done.exit_code == 1
    assert "the reasons are in" in done.output
    if name.endswith(".tar.gz"):
        (tmp_path / "there").mkdir()
        subprocess.run(["tar", "-C", "there", "-xf", name], check=True)
    pack = tmp_path / ("there/pack" if name.endswith(".tar.gz") else "a_pack")
    subprocess.run(["sh", pack / "run.sh"], check=True, capture_output=True)
    subprocess.run(["tar", "-xf", pack / "results.tar.gz"], check=True)
    before, _, command = done.output.strip().rpartition("\n")[2].rpartition("inferry ")
    if before:
        subprocess.run(["sh", "-c", before.removesuffix("&& ")], check=True)
    back = call(*shlex.split(command))
    assert back.exit_code == 0, back.output
    infer(tiny_bundle.path, sounds, tmp_path / "infer")
    assert (tmp_path / "RUN" / FILES[0]).read_bytes() == (tmp_path / "infer" / FILES[0]).read_bytes()


@pytest.mark.usefixtures("programs")
def test_packs_that_are_unpacked_over_each_other_are_not_mixed_up(tiny, tiny_bundle, tmp_path, monkeypatch):
    """Same name, same sizes and numbers of samples: another precision, then the sounds in another order."""
    monkeypatch.setenv("AIS_BENCH", "ais_bench")
    first, here = tiny.write_data(tmp_path / "first", 3), tmp_path / "here"
    rows = tiny.write_data(tmp_path / "other", 3).read_text().splitlines()
    other = tiny.write_manifest(tmp_path / "other", [json.loads(row) for row in reversed(rows)])
    here.mkdir()
    for name, data, precision in (("a", first, "fp32"), ("b", first, "fp16"), ("c", other, "fp32")):
        (tmp_path / name).mkdir()
        archive = tmp_path / name / "pack.tar"
        words = ("--sizes", "samples=20000", "--precision", precision, "--no-optimize", "--output", archive)
        assert call("pack", tiny_bundle.path, "--data", data, *words).exit_code == 0
        for folder in (here, tmp_path / name):
            subprocess.run(["tar", "-C", folder, "-xf", archive], check=True)
        done = subprocess.run(["sh", here / "pack" / "run.sh"], check=True, capture_output=True, text=True)
        assert "before" not in done.stdout.replace("results.before", "")
        subprocess.run(["tar", "-C", tmp_path / name, "-xf", here / "pack" / "results.tar.gz"], check=True)
    for job, results in itertools.product("abc", repeat=2):
        words = ("--job", tmp_path / job / "pack", "--outputs", tmp_path / results / "results")
        back = call("postprocess", tiny_bundle.path, *words, "--output", tmp_path / f"run_{job}{results}")
        assert back.exit_code == (job != results), back.output
        assert ("are of the pack" in back.output.replace("\n", " ")) == (job != results)
