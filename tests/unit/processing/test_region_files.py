"""Regions from files: what is read, and every file that cannot be."""

import os

import numpy as np
import pytest

from inferry.core.errors import SampleError
from inferry.core.samples import RegionFile
from inferry.processing.questions import region_inputs
from inferry.processing.region_files import read_regions

ARRAYS = {
    "box_features": np.arange(12, dtype=np.float32).reshape(3, 4),
    "box_coordinates": np.arange(12, 24, dtype=np.float32).reshape(3, 4),
    "box_mask": np.array([True, True, False]),
}


def npz(path, **arrays):
    np.savez(path, **arrays)
    return RegionFile(path, path, path)


def npy(folder, **arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    paths = {name: folder / f"{name}.npy" for name in ARRAYS}
    return RegionFile(paths["box_features"], paths["box_coordinates"], paths["box_mask"])


def check(regions):
    for name, expected in ARRAYS.items():
        found = getattr(regions, name)
        assert np.array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("form", ["npz", "npy"])
def test_arrays_come_as_they_were_saved(tmp_path, form, batched):
    arrays = {name: array[None] if batched else array for name, array in ARRAYS.items()}
    regions = read_regions(npz(tmp_path / "1.npz", **arrays) if form == "npz" else npy(tmp_path, **arrays))
    check(regions)
    assert region_inputs(regions, 4)["box_mask"].tolist() == [True, True, False]


def test_a_compressed_file_is_read(tmp_path):
    np.savez_compressed(tmp_path / "1.npz", **ARRAYS)
    check(read_regions(RegionFile(*[tmp_path / "1.npz"] * 3)))


def test_without_a_mask_all_boxes_are_valid(tmp_path):
    arrays = {name: array for name, array in ARRAYS.items() if name != "box_mask"}
    file = npz(tmp_path / "1.npz", **arrays)
    assert read_regions(file).box_mask is None
    assert read_regions(RegionFile(file.box_features, file.box_coordinates)).box_mask is None


def test_one_box_keeps_its_dimension(tmp_path):
    regions = read_regions(npz(tmp_path / "1.npz", **{name: array[:1] for name, array in ARRAYS.items()}))
    assert (regions.box_features.shape, regions.box_mask.shape) == ((1, 4), (1,))


def test_several_pictures_in_one_file_are_left_for_processing_to_refuse(tmp_path):
    regions = read_regions(npz(tmp_path / "1.npz", **{name: np.stack([array] * 2) for name, array in ARRAYS.items()}))
    with pytest.raises(SampleError, match="box_features has shape"):
        region_inputs(regions, 4)


def missing_file(folder):
    return RegionFile(*[folder / "none.npz"] * 3)


def missing_array(folder):
    return npz(folder / "1.npz", box_features=ARRAYS["box_features"], boxes=ARRAYS["box_coordinates"])


def pickled(folder):
    return npy(folder, **ARRAYS | {"box_coordinates": np.array([{}, None])})


def pickled_mask(folder):
    return npz(folder / "1.npz", **ARRAYS | {"box_mask": np.array([None] * 3)})


def missing_mask(folder):
    file = npy(folder, **ARRAYS)
    file.box_mask.unlink()
    return file


def cut_short(folder):
    file = npz(folder / "1.npz", **ARRAYS)
    file.box_features.write_bytes(file.box_features.read_bytes()[:300])
    return file


def text(folder):
    (folder / "1.npz").write_text("not found")
    return RegionFile(*[folder / "1.npz"] * 3)


def pipe(folder):
    os.mkfifo(folder / "1.npz")
    return RegionFile(*[folder / "1.npz"] * 3)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (missing_file, r"none\.npz does not exist"),
        (missing_array, r"1\.npz has no array box_coordinates, only: box_features, boxes"),
        (pickled, r"box_coordinates\.npy holds no array that can be read safely: Object arrays"),
        (pickled_mask, r"1\.npz holds no array that can be read safely"),
        (missing_mask, r"box_mask\.npy does not exist"),
        (cut_short, r"1\.npz cannot be read: File is not a zip file"),
        (text, r"1\.npz is no \.npy and no \.npz file"),
        (pipe, r"1\.npz is no regular file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, broken, reason):
    with pytest.raises(SampleError, match=reason) as caught:
        read_regions(broken(tmp_path))
    assert caught.value.stage == "read"
