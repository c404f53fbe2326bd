import json

import numpy as np
import pytest

from inferry.ascend.job_inputs import write_inputs
from inferry.ascend.job_manifest import MANIFEST, read_manifest
from inferry.core.errors import RunError
from inferry.core.specs import TensorSpec


@pytest.fixture
def job(tmp_path):
    specs = [TensorSpec("x", "float16", ("batch", 4)), TensorSpec("n", "int64", ("batch",))]
    rows = [(f"s{i}", {"x": np.zeros(i, np.float32), "n": np.array(i)}) for i in range(3)]
    write_inputs(tmp_path / "job", specs, rows)
    return tmp_path / "job"


def change(job, edit):
    content = json.loads((job / MANIFEST).read_text())
    edit(content)
    (job / MANIFEST).write_text(json.dumps(content))


def test_what_was_written_is_read(job):
    manifest = read_manifest(job)
    assert [(one.spec.name, one.shape, one.bytes_per_file) for one in manifest.inputs] == [("x", (4,), 8), ("n", (), 8)]
    assert [row.shapes["x"] for row in manifest.rows] == [(0,), (1,), (2,)]
    assert manifest.folders(job) == (job / "00_x", job / "01_n")
    written = json.loads((job / MANIFEST).read_text())
    assert manifest.to_json() == written


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.update(schema=2), "has the schema 2; this Inferry reads 1"),
        (lambda content: content.pop("samples"), "no manifest of input folders: KeyError"),
        (lambda content: content.update(inputs=[3]), "no manifest of input folders: TypeError"),
        (lambda content: content["samples"][0].update(shapes=[]), "no manifest of input folders: AttributeError"),
        (lambda content: content["samples"][0].update(shapes={"x": [float("nan")]}), "ValueError"),
        (lambda content: content["samples"][1].update(file="000000"), "two samples have the same file 000000"),
        (lambda content: content["samples"][1].update(id="s0"), "two samples have the same id s0"),
        (lambda content: content["samples"][1].update(file="a.1"), "the file name a.1 holds a dot"),
    ],
)
def test_broken_manifests(job, edit, message):
    change(job, edit)
    with pytest.raises(RunError, match=message):
        read_manifest(job)


def test_missing_and_cut_manifests(job):
    (job / MANIFEST).write_text("{")
    with pytest.raises(RunError, match="no manifest of input folders"):
        read_manifest(job)
    (job / MANIFEST).unlink()
    with pytest.raises(RunError, match="cannot be read: No such file"):
        read_manifest(job)
