import hashlib
import json
import stat
import tarfile

import pytest

from inferry.core.errors import ParityError, UsageError
from inferry.pipeline import pack as module
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


def test_the_readme_names_every_run_and_fits_a_terminal(made):
    text = (made.path / "README.txt").read_text()
    assert all(run.name in text for unit in made.units for run in unit.runs)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz"])
def test_an_archive_holds_the_same_and_belongs_to_whoever_unpacks_it(tiny_bundle, data, made, tmp_path, suffix):
    packed = pack(tiny_bundle.path, data, tmp_path / f"there{suffix}", PLAIN)
    with tarfile.open(packed.path) as file:
        members = {member.name: member for member in file.getmembers()}
    wanted = {f"there/{path.relative_to(made.path)}" for path in made.path.rglob("*")} | {"there"}
    assert members.keys() == wanted
    assert {(one.uid, one.uname) for one in members.values()} == {(0, "")}
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
