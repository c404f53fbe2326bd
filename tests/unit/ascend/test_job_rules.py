"""Each rule is tripped twice: ais_bench's simulator ends at it, and the check says so before."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from inferry.ascend.job_inputs import write_inputs
from inferry.ascend.job_rules import collisions, input_problems, listing, output_stem, path_problems
from inferry.core.specs import TensorSpec

SPECS = [TensorSpec("x", "float32", ("batch", 2)), TensorSpec("n", "int64", ("batch",))]


@pytest.fixture
def job(tmp_path):
    rows = [(str(i), {"x": np.zeros(2, np.float32), "n": np.array(i)}) for i in range(3)]
    write_inputs(tmp_path / "job", SPECS, rows)
    return tmp_path / "job"


def folders(job):
    return [job / "00_x", job / "01_n"]


def read_by_simulator(ais_bench, job):
    inputs = [ais_bench.Tensor("x", np.dtype("f4"), (1, 2)), ais_bench.Tensor("n", np.dtype("i8"), (1,))]
    lists = ais_bench.input_lists(",".join(map(str, folders(job))), inputs)
    for indices, _ in ais_bench.batches_of(lists, inputs):
        for files, one in zip(lists, inputs, strict=True):
            ais_bench.combined([files[index] for index in indices], one)


def test_what_we_write_is_accepted(ais_bench, job):
    assert input_problems(folders(job)) == ()
    read_by_simulator(ais_bench, job)


def add(path, content=b"\0" * 8, mode=0o640):
    path.write_bytes(content)
    path.chmod(mode)


def link_file(job):
    (job / "00_x" / "000001.bin").replace(job / "real.bin")
    (job / "00_x" / "000001.bin").symlink_to(job / "real.bin")


def link_folder(job):
    (job / "00_x").rename(job / "real")
    (job / "00_x").symlink_to(job / "real")


def empty(job):
    for path in (job / "00_x").iterdir():
        path.unlink()


def huge(job):
    with (job / "00_x" / "000001.bin").open("wb") as file:
        file.truncate((4 << 30) + 1)


def name_with_space(job):
    (job / "00_x" / "000001.bin").rename(job / "00_x" / "000001 a.bin")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (link_file, "000001.bin: is a link"),
        (link_folder, "00_x: is a link"),
        (empty, "00_x: is empty"),
        (huge, "a file has 4,294,967,297 bytes"),
        (name_with_space, "refuses ' ' in a path"),
        (lambda job: (job / "00_x" / "000001.bin").chmod(0o660), "000001.bin: has the mode 0660.*chmod 640"),
        (lambda job: (job / "00_x" / "000001.bin").chmod(0o240), "000001.bin: has the mode 0240.*chmod 640"),
        (lambda job: (job / "00_x").chmod(0o777), "00_x: has the mode 0777.*chmod 750"),
        (lambda job: add(job / "00_x" / "000001.bin", b"\0" * 6), "different sizes .6, 8 bytes."),
    ],
)
def test_what_ais_bench_refuses_is_found_before(ais_bench, job, damage, message):
    damage(job)
    with pytest.raises(ais_bench.AisBenchError):
        read_by_simulator(ais_bench, job)
    assert re.search(message, "\n".join(input_problems(folders(job))))


def test_too_many_files(ais_bench, job, monkeypatch):
    monkeypatch.setattr("inferry.ascend.job_rules.MAX_FILES", 2)
    monkeypatch.setattr(ais_bench, "MAX_FILES", 2)
    with pytest.raises(ais_bench.AisBenchError, match="too many files"):
        read_by_simulator(ais_bench, job)
    assert "holds 3 files, ais_bench takes 2" in input_problems(folders(job))[0]


def test_files_of_somebody_else(ais_bench, job, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    monkeypatch.setattr(os, "getgroups", list)
    with pytest.raises(ais_bench.AisBenchError, match="another owner"):
        read_by_simulator(ais_bench, job)
    assert "belongs to neither you nor one of your groups" in input_problems(folders(job))[0]
    monkeypatch.setattr(os, "getgroups", lambda: [job.stat().st_gid])
    assert input_problems(folders(job)) == ()


def test_a_folder_that_misses_a_file(ais_bench, job):
    (job / "01_n" / "000002.bin").unlink()
    with pytest.raises(IndexError):
        read_by_simulator(ais_bench, job)
    assert input_problems(folders(job)) == ("000002: stands in some input folders only, as do 0 other files",)


def test_a_folder_that_has_a_file_too_many(job):
    add(job / "01_n" / "000003.bin")
    assert input_problems(folders(job)) == ("000003: stands in some input folders only, as do 0 other files",)


def test_what_ais_bench_passes_over_is_said_too(job):
    (job / "00_x" / "more").mkdir(mode=0o750)
    add(job / "01_n" / "notes.txt")
    problems = input_problems([*folders(job), job / "absent"])
    for name in ("more", "notes.txt"):
        assert any(f"{name}: ais_bench reads .npy, .NPY, .bin, .BIN files only" in text for text in problems)
    assert any("absent: is no folder" in text for text in problems)


def test_stems_that_collide(job):
    for folder in folders(job):
        add(folder / "a.1.bin")
        add(folder / "a.2.bin")
    problems = input_problems(folders(job))
    assert len(problems) == 2
    assert "2 files are called a.*; ais_bench cuts names at the first dot" in problems[0]
    assert collisions(["a.1.bin", "b.bin", "a_1.bin"]) == []
    assert output_stem("a.1.bin") == output_stem("a.2.bin") == "a"


def test_paths():
    assert path_problems(Path("/data/job_1/a-b.c")) == []
    assert "refuses ' ' '数' in a path" in path_problems(Path("/data/my 数"))[0]
    assert "the name has 256 characters, ais_bench takes 255" in path_problems(Path("/" + "x" * 256))[0]
    (problem,) = path_problems(Path("/x" * 2049))
    assert "the path has 4098 characters, ais_bench takes 4096" in problem


def test_a_long_list_is_cut():
    assert listing(["a"]) == "  - a"
    assert listing([str(i) for i in range(12)]).splitlines()[-1] == "  and 2 more"
