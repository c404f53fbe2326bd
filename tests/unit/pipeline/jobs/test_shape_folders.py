import numpy as np
import pytest

from inferry.ascend import job_inputs
from inferry.ascend.gear_set import Gear, GearSet
from inferry.ascend.job_manifest import read_manifest
from inferry.core.errors import RunError, SampleError
from inferry.core.specs import TensorSpec
from inferry.pipeline.jobs.shape_folders import ShapeFolders, too_long

SPECS = (TensorSpec("x", "float16", ("batch", "samples")), TensorSpec("n", "int64", ("batch",)))
GEARS = GearSet(SPECS, tuple(Gear(batch, {"samples": size}) for size in (4, 8) for batch in (1, 2)))


def sample(size, value=1.0):
    return {"x": np.full(size, value, np.float32), "n": np.array(size)}


def test_each_goes_to_the_smallest_shape_that_takes_it(tmp_path):
    folders = ShapeFolders(tmp_path, GEARS, SPECS)
    written = [folders.add(str(size), sample(size)) for size in (3, 5, 4, 8)]
    assert [(one.folder, one.file) for one in written] == [
        ("samples4", "000000"),
        ("samples8", "000000"),
        ("samples4", "000001"),
        ("samples8", "000001"),
    ]
    assert [(part.folder, part.files, part.inputs) for part in folders.close()] == [
        ("samples4", 2, ("00_x", "01_n")),
        ("samples8", 2, ("00_x", "01_n")),
    ]
    assert np.fromfile(tmp_path / "samples8" / "00_x" / "000000.bin", "<f2").tolist() == [1] * 5 + [0] * 3


def test_a_full_folder_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(job_inputs, "MAX_FILES", 2)
    folders = ShapeFolders(tmp_path, GEARS, SPECS)
    written = [folders.add(str(index), sample(2 + 4 * (index == 3))) for index in range(6)]
    assert [one.folder for one in written] == [
        *("samples4", "samples4", "samples4_part2", "samples8", "samples4_part2", "samples4_part3")
    ]
    parts = folders.close()
    assert [(part.folder, part.number, part.files) for part in parts] == [
        ("samples4", 1, 2),
        ("samples4_part2", 2, 2),
        ("samples4_part3", 3, 1),
        ("samples8", 1, 1),
    ]
    assert parts[1].outputs(4) == "samples4_b4_part2"
    assert [row.id for row in read_manifest(tmp_path / "samples4_part2").rows] == ["2", "4"]


def test_what_no_shape_takes_is_told_what_would(tmp_path):
    folders = ShapeFolders(tmp_path, GEARS, SPECS)
    with pytest.raises(SampleError, match=r"it has 9 samples, and the largest shape takes 8: add --sizes samples=9"):
        folders.add("long", sample(9))
    assert folders.close() == ()
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_do_not_fit_leave_no_file(tmp_path):
    folders = ShapeFolders(tmp_path, GEARS, SPECS)
    with pytest.raises(SampleError, match=r"^process: name: its input x holds numbers \(up to 100000\.0\) that"):
        folders.add("name\t3", sample(3, 1e5))
    assert folders.close() == ()
    assert list(tmp_path.iterdir()) == []


def test_of_several_sizes_those_are_named_that_are_too_large():
    gears = GearSet(SPECS, (Gear(1, {"tokens": 8, "boxes": 100}), Gear(1, {"tokens": 16, "boxes": 10})))
    assert too_long(gears, {"tokens": 20, "boxes": 50}).startswith("it has 20 tokens, and the largest shape takes 16")
    # Each of them fits somewhere, but not both together.
    said = too_long(gears, {"tokens": 12, "boxes": 50})
    assert said == (
        "it has 12 tokens, 50 boxes, and the largest shape takes 16, 100: add --sizes tokens=12 --sizes boxes=50"
    )


def test_what_ais_bench_would_refuse_is_not_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(job_inputs, "FILE_MODE", 0o666)
    folders = ShapeFolders(tmp_path, GEARS, SPECS)
    folders.add("one", sample(3))
    with pytest.raises(RunError, match=r"000000\.bin: has the mode 0666"):
        folders.close()
