import hashlib
import json
import stat

import numpy as np
import pytest

from inferry.ascend import job_inputs
from inferry.ascend.job_inputs import InputWriter, verify_inputs, write_inputs
from inferry.ascend.job_manifest import MANIFEST
from inferry.core.errors import RunError, UsageError
from inferry.core.specs import TensorSpec

X = TensorSpec("x", "float32", ("batch", 2, 3))
N = TensorSpec("n/length:0", "int64", ("batch",))
SPECS = (X, N)


def row(sample, x, n=1):
    return sample, {"x": np.asarray(x, np.float32), "n/length:0": np.array(n)}


def rows(count=3):
    return [row(f"speech/a.{i} ü", np.full((2, 2), i), i) for i in range(count)]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_names_modes_and_bytes(tmp_path):
    manifest = write_inputs(tmp_path / "job", SPECS, iter(rows()))
    assert [one.folder for one in manifest.inputs] == ["00_x", "01_n_length_0"]
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == ["00_x", "01_n_length_0", MANIFEST]
    for folder in manifest.folders(tmp_path / "job"):
        assert mode(folder) == 0o750
        assert sorted(path.name for path in folder.iterdir()) == ["000000.bin", "000001.bin", "000002.bin"]
        assert {mode(path) for path in folder.iterdir()} == {0o640}
    assert mode(tmp_path / "job") == 0o750
    assert mode(tmp_path / "job" / MANIFEST) == 0o640
    x = np.fromfile(tmp_path / "job" / "00_x" / "000002.bin", "<f4").reshape(2, 3)
    np.testing.assert_array_equal(x, [[2, 2, 0], [2, 2, 0]])
    assert (tmp_path / "job" / "01_n_length_0" / "000002.bin").read_bytes() == bytes([2, 0, 0, 0, 0, 0, 0, 0])


def test_the_manifest_says_what_the_bytes_mean(tmp_path):
    write_inputs(tmp_path / "job", SPECS, rows())
    content = json.loads((tmp_path / "job" / MANIFEST).read_text(encoding="utf-8"))
    assert content["byte_order"] == "little"
    assert content["padding"].startswith("zeros")
    first = {"name": "x", "dtype": "float32", "dims": ["batch", 2, 3], "folder": "00_x", "bytes": 24}
    assert content["inputs"][0] == first
    last = content["samples"][2]
    assert (last["id"], last["file"]) == ("speech/a.2 ü", "000002")
    assert last["shapes"] == {"x": [2, 2], "n/length:0": []}
    file = tmp_path / "job" / "00_x" / "000002.bin"
    assert last["sha256"]["x"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert verify_inputs(tmp_path / "job").rows[2].id == "speech/a.2 ü"


@pytest.mark.parametrize(
    ("dtype", "given"),
    [("float16", np.float32([[0.1, -65504.0, 7.0]] * 2)), ("int32", np.int64([[-(2**31), 2**31 - 1, 0]] * 2))],
)
def test_numbers_are_stored_in_the_models_dtype(tmp_path, dtype, given):
    backwards = np.asfortranarray(given).astype(given.dtype.newbyteorder(">"))
    write_inputs(tmp_path / "job", [TensorSpec("x", dtype, (1, 2, 3))], [("a", {"x": backwards})])
    stored = np.fromfile(tmp_path / "job" / "00_x" / "000000.bin", np.dtype(dtype).newbyteorder("<"))
    np.testing.assert_array_equal(stored.reshape(2, 3), given.astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "given", "message"),
    [
        ("int32", np.int64([2**31]), r"a: its input x holds numbers \(up to 2147483648\) that the model's int32"),
        ("float16", np.float32([70000]), "numbers .up to 70000.0. that the model's float16 cannot hold"),
        ("float32", np.int64([2**24 + 1]), "that the model's float32 cannot hold"),
        ("int64", np.float32([1]), "is float32, which cannot become the model's int64"),
        ("float32", np.zeros(4, np.float32), r"has the shape \[4\]; this gear takes at most \[3\]"),
        ("float32", np.zeros((1, 3), np.float32), r"has the shape \[1, 3\]; this gear takes at most \[3\]"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(tmp_path, dtype, given, message):
    with pytest.raises(UsageError, match=message):
        write_inputs(tmp_path / "job", [TensorSpec("x", dtype, ("batch", 3))], [("a", {"x": given})])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("specs", "given", "message"),
    [
        (SPECS, [], "there is no sample"),
        (SPECS, [*rows(1), *rows(1)], r"two samples are called speech/a\.0"),
        (SPECS, [("a", {"x": np.zeros(1)})], "a has the inputs x; the model takes x, n/length:0"),
        ((), rows(), "the model has no inputs"),
        ((X, X), rows(), "2 inputs are called x"),
        (
            (TensorSpec("x", "float32", ("batch", "frames")),),
            [],
            r"the shape \['batch', 'frames'\]; a job has one shape",
        ),
        ((TensorSpec("x", "float32", ("batch", 0)),), [], "a job has one shape"),
        ((TensorSpec("x", "float32", ("batch", 1 << 31)),), [], "larger than the 4 GB"),
    ],
)
def test_jobs_that_cannot_be_are_refused(tmp_path, specs, given, message):
    with pytest.raises(UsageError, match=message):
        write_inputs(tmp_path / "job", specs, given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["my job", "größe", "a:b", "a,b", "x" * 256, "/".join(["y" * 200] * 21)],
    ids=["space", "umlaut", "colon", "comma", "long name", "long path"],
)
def test_paths_that_ais_bench_refuses(tmp_path, name):
    with pytest.raises(UsageError, match=r"ais_bench (refuses|takes)"):
        write_inputs(tmp_path / name, SPECS, rows())
    assert list(tmp_path.iterdir()) == []


def test_more_files_than_ais_bench_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("inferry.ascend.job_inputs.MAX_FILES", 2)
    assert len(write_inputs(tmp_path / "fits", SPECS, rows(2)).rows) == 2
    with pytest.raises(UsageError, match="ais_bench reads 2 files a folder; split the data set"):
        write_inputs(tmp_path / "job", SPECS, rows(3))


def test_only_an_older_job_is_replaced(tmp_path):
    write_inputs(tmp_path / "job", SPECS, rows(3))
    write_inputs(tmp_path / "job", SPECS, rows(1))
    assert len(list((tmp_path / "job" / "00_x").iterdir())) == 1
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years")
    with pytest.raises(UsageError, match="exists and holds something else"):
        write_inputs(tmp_path / "thesis", SPECS, rows())
    assert (tmp_path / "thesis" / "text").read_text() == "years"
    (tmp_path / "link").symlink_to(tmp_path / "job")
    with pytest.raises(UsageError, match="is a link"):
        write_inputs(tmp_path / "link", SPECS, rows())


def flip(job):
    path = job / "00_x" / "000001.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])


def cut(job):
    path = job / "00_x" / "000001.bin"
    path.write_bytes(path.read_bytes()[:-1])


def copy_in(job):
    for folder in ("00_x", "01_n_length_0"):
        content = (job / folder / "000000.bin").read_bytes()
        (job / folder / "000003.bin").write_bytes(content)
        (job / folder / "000003.bin").chmod(0o640)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "000001.bin: was changed"),
        (cut, "000001.bin: has 23 bytes, the model takes 24"),
        (lambda job: (job / "00_x" / "000001.bin").unlink(), "000001.bin: is missing"),
        (copy_in, "000003.bin: belongs to no sample"),
        (lambda job: (job / "00_x").rename(job / "00_y"), "00_x: is no folder"),
    ],
)
def test_a_changed_job_is_not_shipped(tmp_path, damage, message):
    write_inputs(tmp_path / "job", SPECS, rows())
    damage(tmp_path / "job")
    with pytest.raises(RunError, match=message):
        verify_inputs(tmp_path / "job")


def test_a_refused_sample_leaves_no_file(tmp_path, monkeypatch):
    """The second input is refused when the first one could be written already."""
    monkeypatch.setattr(job_inputs, "MAX_FILES", 2)
    writer = InputWriter(tmp_path, SPECS)
    good = {"x": np.ones((2, 3), np.float32), "n/length:0": np.array(1)}
    assert writer.add("first", good) == "000000"
    with pytest.raises(UsageError, match="bad: its input n/length:0 is float64"):
        writer.add("bad", {**good, "n/length:0": np.array(1.5)})
    assert sorted(path.name for path in tmp_path.rglob("*.bin")) == ["000000.bin"] * 2
    assert (writer.is_full, writer.add("second", good), writer.is_full, len(writer)) == (False, "000001", True, 2)
    with pytest.raises(UsageError, match="ais_bench reads 2 files a folder"):
        writer.add("third", good)
    assert writer.close() == verify_inputs(tmp_path)
