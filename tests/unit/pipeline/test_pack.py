import hashlib
import json
import shutil
import stat
import tarfile
from dataclasses import replace

import onnx
import pytest
import soundfile

from inferry.core.errors import ParityError, UsageError
from inferry.pipeline import compile as compiling
from inferry.pipeline import pack as module
from inferry.pipeline.half_precision import half_drift
from inferry.pipeline.jobs.folder import read_job
from inferry.pipeline.jobs.target import JobOptions
from inferry.pipeline.pack import PackOptions, pack

PLAIN = PackOptions(target=None, job=JobOptions(sizes={"samples": (6000, 20_000)}, batch_sizes=(1, 4)))


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"), 5)


@pytest.fixture(scope="module")
def made(tiny_bundle, data, tmp_path_factory):
    return pack(tiny_bundle.path, data, tmp_path_factory.mktemp("packs") / "pack", PLAIN)


def test_the_checksums_are_of_every_file(made):
    lines = (made.path / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = {str(path.relative_to(made.path)): path for path in made.path.rglob("*") if path.is_file()}
    assert sums.keys() == files.keys() - {"SHA256SUMS"}
    assert all(hashlib.sha256(files[name].read_bytes()).hexdigest() == digest for name, digest in sums.items())


def test_nobody_else_may_write_and_nothing_is_a_link(made):
    for path in (made.path, *made.path.rglob("*")):
        assert not path.is_symlink()
        assert not stat.S_IMODE(path.stat().st_mode) & 0o022


def test_each_gear_that_has_samples_runs_on_one_om(made):
    (unit,) = made.units
    assert "--dynamic_dims=1,6000,1;4,6000,4;1,20000,1;4,20000,4" in unit.command
    assert [(run.name, run.options[1]) for run in unit.runs] == [
        (f"samples{size}_b{batch}", f"input_values:{batch},{size};input_lengths:{batch}")
        for size in (6000, 20_000)
        for batch in (1, 4)
    ]


def test_sizes_that_ais_bench_cannot_be_told_get_an_om_each(tiny_bundle, data, tmp_path):
    job = JobOptions(sizes={"samples": (6000, 120_000)}, batch_sizes=(2,))
    made = pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions(target=None, job=job))
    assert [(unit.stem, [run.options for run in unit.runs]) for unit in made.units] == [
        ("model_samples6000_b2", [()]),
        ("model_samples120000_b2", [()]),
    ]
    assert "--input_shape=input_values:2,120000;input_lengths:2" in made.units[1].command


def test_what_comes_back_is_signed_with_what_was_packed(made):
    assert read_job(made.path / "inputs").compiled == {"device": "Ascend310P3", "precision": "fp32"}
    row = json.loads((made.path / "pack.json").read_text())
    assert (row["soc"], row["precision"], row["counts"]["samples"]) == ("Ascend310P3", "fp32", 5)


def test_results_are_marked_as_of_this_pack(made, tiny_bundle, data, tmp_path):
    job = read_job(made.path / "inputs")
    assert f'say "pack: {job.id}"\n' in (made.path / "run.sh").read_text()
    half = pack(tiny_bundle.path, data, tmp_path / "half", replace(PLAIN, precision="fp16"))
    one = pack(tiny_bundle.path, data, tmp_path / "one", replace(PLAIN, job=replace(PLAIN.job, limit=1)))
    again = pack(tiny_bundle.path, data, tmp_path / "again", PLAIN)
    assert len({job.id, half.job.id, one.job.id}) == 3
    assert again.job.id == made.job.id == job.id


def test_the_script_knows_how_many_files_come_out(made):
    outputs = len(made.job.outputs)
    files = {run.name: run.files for unit in made.units for run in unit.runs}
    assert files == {run.name: run.part.files * outputs for run in made.job.runs}
    assert sum(run.files for run in made.units[0].runs if run.name.endswith("_b4")) == 5 * outputs


def test_the_readme_names_every_run_and_fits_a_terminal(made):
    text = (made.path / "README.txt").read_text()
    assert all(run.name in text for unit in made.units for run in unit.runs)
    assert "5 samples, 5 files for each input, 0 samples left out" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz"])
def test_an_archive_holds_the_same_and_belongs_to_whoever_unpacks_it(tiny_bundle, data, made, tmp_path, suffix):
    packed = pack(tiny_bundle.path, data, tmp_path / f"there{suffix}", PLAIN)
    with tarfile.open(packed.path) as file:
        members = {member.name: member for member in file.getmembers()}
    wanted = {f"there/{path.relative_to(made.path)}" for path in made.path.rglob("*")} | {"there"}
    assert members.keys() == wanted
    assert {(one.uid, one.gid, one.uname, one.gname) for one in members.values()} == {(0, 0, "", "")}
    with tarfile.open(packed.path) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    for path in (path for path in made.path.rglob("*") if path.is_file() and path.suffix in {".bin", ".onnx", ".sh"}):
        assert (tmp_path / "unpacked" / "there" / path.relative_to(made.path)).read_bytes() == path.read_bytes()
    shutil.rmtree(tmp_path / "unpacked")
    assert members["there/run.sh"].mode & 0o100
    assert [path.name for path in tmp_path.iterdir()] == [f"there{suffix}"]


def test_an_older_pack_is_replaced_and_nothing_else(tiny_bundle, data, tmp_path):
    target = tmp_path / "pack"
    pack(tiny_bundle.path, data, target, PLAIN)
    (target / "stale").touch()
    pack(tiny_bundle.path, data, target, PLAIN)
    assert not (target / "stale").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    with pytest.raises(UsageError, match="is no pack"):
        pack(tiny_bundle.path, data, tmp_path / "mine", PLAIN)
    assert (tmp_path / "mine" / "thesis").exists()


def test_a_path_that_ais_bench_refuses_is_named_as_the_user_wrote_it(tiny_bundle, data, tmp_path):
    with pytest.raises(UsageError, match=r"/a b: ais_bench refuses ' '"):
        pack(tiny_bundle.path, data, tmp_path / "a b", PLAIN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "folder"), [("pack", "pack"), ("pack.tar.gz", "pack"), ("a.b", "a.b")])
def test_where_its_files_are_or_will_be(made, tmp_path, name, folder):
    assert replace(made, path=tmp_path / name).folder == tmp_path / folder
    assert made.job.folder == made.path / "inputs"


def test_half_precision_is_measured_as_the_data_set_is_packed(tiny_bundle, data, tmp_path, monkeypatch):
    asked = {}

    def measured(*arguments, **options):
        asked.update(options)
        return half_drift(*arguments, **options)

    monkeypatch.setattr(compiling, "half_drift", measured)
    job = JobOptions(sizes={"samples": (20_000,)}, limit=2, kind="jsonl")
    made = pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions(target=None, precision="fp16", job=job))
    assert (asked["data"], asked["kind"], asked["limit"]) == (data, "jsonl", 2)
    assert made.compilation.drift.hop.samples == 2
    assert made.compilation.notes == ()


def test_sounds_that_run_in_windows_only_are_packed_in_half_precision_too(tiny_bundle, tiny, tmp_path):
    sound = tmp_path / "long.wav"
    soundfile.write(sound, tiny.sound(37 * 16_000, 1), 16_000)
    job = JobOptions(sizes={"samples": (600_000,)})
    made = pack(tiny_bundle.path, sound, tmp_path / "pack", PackOptions(target=None, precision="fp16", job=job))
    assert made.job.counts["cut"] == 1
    assert made.compilation.drift.hop.samples > 0
    why, instead = made.compilation.notes
    assert "runs in windows" in why
    assert "probes only" in instead


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_an_archive_takes_an_older_packs_place_and_no_other_files(tiny_bundle, data, tmp_path, suffix):
    target, thesis = tmp_path / f"pack{suffix}", tmp_path / f"thesis{suffix}"
    first = pack(tiny_bundle.path, data, target, PLAIN)
    target.with_name("before").hardlink_to(target)
    assert pack(tiny_bundle.path, data, target, PLAIN).bytes == first.bytes
    assert not target.samefile(target.with_name("before"))
    for content in (b"three hundred pages", b""):
        thesis.write_bytes(content)
        with pytest.raises(UsageError, match="is no pack"):
            pack(tiny_bundle.path, data, thesis, PLAIN)
        assert thesis.read_bytes() == content


def test_a_compiled_model_is_no_part_of_a_pack(tiny_bundle, data, tmp_path):
    with pytest.raises(UsageError, match="takes no compiled model"):
        pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions(job=JobOptions(compiled="key")))


def test_what_atc_would_refuse_leaves_nothing(tiny_bundle, data, tmp_path):
    gears = JobOptions(sizes={"samples": tuple(range(20_000, 20_101))}, batch_sizes=(1,))
    with pytest.raises(UsageError, match="at most 100"):
        pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions(target=None, job=gears))
    assert list(tmp_path.iterdir()) == []


def test_a_pass_that_breaks_leaves_nothing(tiny_bundle, data, tmp_path, monkeypatch):
    def broken(path, folder, target):
        raise ParityError("the pass changed an answer")

    monkeypatch.setattr(module, "optimize", broken)
    with pytest.raises(ParityError, match="changed an answer"):
        pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions(job=PLAIN.job))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["pack", "pack.tar.gz"])
def test_an_interruption_leaves_nothing(tiny_bundle, data, tmp_path, monkeypatch, name):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(tiny_bundle.path, data, tmp_path / name, PLAIN)
    assert list(tmp_path.iterdir()) == []


def test_an_om_with_half_inputs_gets_half_inputs(tiny_bundle, data, tmp_path):
    job = JobOptions(sizes={"samples": (20_000,)}, fp16_inputs=True)
    made = pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions("Ascend310B1", None, "fp16", job))
    (unit,) = made.units
    assert {"--input_fp16_nodes=input_values", "--soc_version=Ascend310B1"} <= set(unit.command)
    assert (made.path / "inputs" / unit.runs[0].folders[0] / "000000.bin").stat().st_size == 2 * 20_000


def test_an_om_that_normalises_pictures_gets_their_bytes(picture_bundle, pictures, tmp_path):
    photos = pictures.write_pictures(tmp_path / "photos", 3)
    made = pack(picture_bundle.path, photos, tmp_path / "pack", PackOptions(target=None, job=JobOptions(aipp=True)))
    (unit,) = made.units
    (config,) = (word.partition("=")[2] for word in unit.command if word.startswith("--insert_op_conf="))
    assert (made.path / "model" / config).is_file()
    assert (made.path / "inputs" / unit.runs[0].folders[0] / "000000.bin").stat().st_size == 48 * 48 * 3


def test_a_shape_without_samples_is_not_compiled_where_each_has_an_om(tiny_bundle, data, tmp_path):
    job = JobOptions(sizes={"samples": (20_000, 120_000)})
    made = pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions(target=None, job=job))
    assert [unit.stem for unit in made.units] == ["model_samples20000_b1"]


def test_weights_beside_the_graph_are_packed(tiny_bundle, data, tmp_path):
    bundle = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    graph = onnx.load(bundle / "model.onnx")
    onnx.save(graph, bundle / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    made = pack(bundle, data, tmp_path / "pack", PLAIN)
    wanted, found = (onnx.load(path) for path in (tiny_bundle.model, made.path / "model" / "model.onnx"))
    assert [one.raw_data for one in found.graph.initializer] == [one.raw_data for one in wanted.graph.initializer]


def test_what_was_rewritten_is_said_beside_the_graph(tiny_bundle, data, tmp_path):
    made = pack(tiny_bundle.path, data, tmp_path / "pack", PackOptions(job=PLAIN.job))
    assert json.loads((made.path / "model" / "optimize.json").read_text())["target"] == "ascend310p"
