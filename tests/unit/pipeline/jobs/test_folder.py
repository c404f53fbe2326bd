import json
import shutil
from dataclasses import replace

import pytest

from inferry.ascend.gear_set import Gear, GearSet
from inferry.core.errors import RunError, UsageError
from inferry.core.files import to_json_text
from inferry.core.samples import Rejected
from inferry.core.specs import TensorSpec
from inferry.pipeline.jobs.folder import (
    JOB,
    SAMPLES,
    Job,
    JobSample,
    Part,
    Place,
    find_job,
    job_folder,
    job_id,
    read_job,
    read_samples,
    sample_line,
)

SPEC = TensorSpec("x", "float32", ("batch", "samples"))
GEARS = GearSet((SPEC,), tuple(Gear(batch, {"samples": size}) for size in (10, 20) for batch in (1, 4)))
PARTS = (Part("samples20", "samples20", 1, 9, ("00_x",)), Part("samples20_part2", "samples20", 2, 3, ("00_x",)))
ROWS = (
    JobSample("a", "a.wav", "TEXT", seconds=0.1, pieces=(Place("samples20", "000000"),)),
    Rejected("b", "b.wav", "read", "why"),
    JobSample("c é", "", ("3", "4"), regions=((0.1, 0.2, 0.3, 0.4),), pieces=(Place("samples20", "000001"),)),
    JobSample("d", "d.wav", None, seconds=1 / 3, answer={"text": "", "frames": 0}),
    JobSample(
        "e", "e.wav", "", 7.0, pieces=(Place("samples20", "000002"), Place("samples20", "000003", 1.23, silent=True))
    ),
)


@pytest.fixture
def job(tmp_path):
    counts = {"samples": len(ROWS), "pieces": 4, "answered": 1, "quarantined": 1, "cut": 1}
    config = {"bundle": "0" * 64, "max_seconds": 3.5}
    who = {"device": "Ascend310P3"}, {"python": "3"}, "0123abcd"
    made = Job(tmp_path, config, GEARS, (SPEC,), (SPEC,), PARTS, counts, *who)
    (tmp_path / JOB).write_text(to_json_text(made.to_json()))
    (tmp_path / SAMPLES).write_text("".join(map(sample_line, ROWS)), encoding="utf-8")
    return made


def test_what_is_written_is_read(job, tmp_path):
    assert read_job(tmp_path) == job
    assert tuple(read_samples(job)) == ROWS


def test_the_id_is_of_all_that_makes_the_job_and_not_of_who_wrote_it(job, tmp_path):
    for part in PARTS:
        (tmp_path / part.folder).mkdir()
        (tmp_path / part.folder / "inputs.json").write_text(part.folder)
    before = job_id(job)
    assert job_id(replace(job, id=before, signature={"python": "4"})) == before
    others = [
        replace(job, compiled={"device": "Ascend310P3", "precision": "fp16"}),
        replace(job, config={**job.config, "bundle": "1" * 64}),
        replace(job, parts=PARTS[:1]),
    ]
    found = {job_id(one) for one in others}
    for file in (SAMPLES, "samples20_part2/inputs.json"):
        kept = (tmp_path / file).read_text()
        (tmp_path / file).write_text("another")
        found.add(job_id(job))
        (tmp_path / file).write_text(kept)
    assert len(found - {before}) == 5
    assert job_id(job) == before


def test_every_part_runs_with_every_gear_of_its_shape(job):
    names = ["samples20_b1", "samples20_b4", "samples20_b1_part2", "samples20_b4_part2"]
    assert [run.name for run in job.runs] == names
    assert [row["outputs"] for row in job.to_json()["runs"]] == names


def test_the_job_of_a_pack_is_found(job, tmp_path):
    pack = tmp_path / "pack"
    (pack / "results").mkdir(parents=True)
    (pack / "inputs").mkdir()
    shutil.copy(tmp_path / JOB, pack / "inputs")
    assert find_job(pack / "results") == job_folder(pack) == job_folder(pack / "inputs") == pack / "inputs"
    assert job_folder(tmp_path / "nowhere") == tmp_path / "nowhere"


def test_the_nearest_job_is_found(job, tmp_path, monkeypatch):
    (tmp_path / "out" / "deep").mkdir(parents=True)
    assert find_job(tmp_path / "out" / "deep") == find_job(tmp_path) == tmp_path
    monkeypatch.chdir(tmp_path / "out")
    assert find_job(read_job(tmp_path).folder / "out") == tmp_path
    (tmp_path / JOB).unlink()
    with pytest.raises(UsageError, match="name the job with --job"):
        find_job(tmp_path / "out")
    with pytest.raises(UsageError, match=r"is no job: it has no job\.json"):
        read_job(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda row: row.update(schema=1), "has the schema 1"),
        (lambda row: row.pop("parts"), "is broken .KeyError: 'parts'"),
        (lambda row: row.update(counts=3), "is broken .AttributeError"),
    ],
)
def test_a_broken_job_is_refused(job, tmp_path, damage, message):
    row = json.loads((tmp_path / JOB).read_text())
    damage(row)
    (tmp_path / JOB).write_text(json.dumps(row))
    with pytest.raises(RunError, match=message):
        read_job(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("".join(map(sample_line, ROWS[:-1])), "has 4 rows and job.json counts 5"),
        (sample_line(ROWS[0]) + "{", "is broken"),
        ('{"id": "x"}\n', "is broken .KeyError"),
        ('{"rejected": {"name": "x"}}\n', "is broken .TypeError"),
    ],
)
def test_broken_rows_are_refused(job, tmp_path, text, message):
    (tmp_path / SAMPLES).write_text(text)
    with pytest.raises(RunError, match=message):
        list(read_samples(job))
