"""Arrays that are ready for the network: order, padding, and what is rejected."""

import os

import numpy as np
import pytest

from inferry.core.errors import DatasetError
from inferry.core.samples import RegionFile, Rejected, Sample
from inferry.datasets import open_dataset

IDS = [[101, 2054, 102, 0, 0]]
VALID = [[1, 1, 1, 0, 0]]
TYPES = [[0, 0, 1, 0, 0]]


def write(folder, stem, **arrays):
    """One question; None leaves an array out, an empty file stands for features that are not opened."""
    arrays = {"token_ids": IDS, "mask": np.array(VALID, bool), "type_ids": TYPES} | arrays
    for name in ("box_features", "box_coordinates", "box_mask"):
        arrays.setdefault(name, b"")
    for name, value in arrays.items():
        path = folder / name / f"{stem}.npy"
        path.parent.mkdir(exist_ok=True)
        if isinstance(value, bytes):
            path.write_bytes(value)
        elif value is not None:
            np.save(path, np.asarray(value))
    return folder


def test_questions_come_by_number_without_their_padding(tmp_path):
    for stem in ("10", "9", "0", "extra"):
        write(tmp_path, stem)
    dataset = open_dataset(tmp_path)
    assert (dataset.kind, [item.id for item in dataset.items]) == ("vqa-tensors", ["0", "9", "10", "extra"])
    sample = dataset.items[2]
    assert sample.reference is None
    assert sample.source.token_ids.tolist() == [101, 2054, 102]
    assert sample.source.type_ids.tolist() == [0, 0, 1]
    assert sample.source.token_ids.dtype == sample.source.type_ids.dtype == np.int64
    folders = ("box_features", "box_coordinates", "box_mask")
    assert sample.source.regions == RegionFile(*(tmp_path / name / "10.npy" for name in folders))


def test_rows_without_batch_dimension_and_numbers_of_other_types(tmp_path):
    write(tmp_path, "0", token_ids=np.array(IDS[0], np.float32), mask=np.array(VALID[0], np.float32), type_ids=[0] * 5)
    source = open_dataset(tmp_path).items[0].source
    assert source.token_ids.tolist() == [101, 2054, 102]
    assert source.token_ids.dtype == np.int64


def test_without_masks_and_types_all_is_valid(tmp_path):
    for name in ("box_features", "box_coordinates", "token_ids"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "0.npy", np.array(IDS))
    source = open_dataset(tmp_path).items[0].source
    assert (source.token_ids.tolist(), source.type_ids, source.regions.box_mask) == (IDS[0], None, None)


def test_the_golden_case_as_the_recipe_saves_it(shared, tmp_path):
    arrays = np.load(shared / "golden" / "vilbert" / "inputs.npz")
    for stem, case in enumerate(("seed_padding", "no_boxes")):
        names = ("box_features", "box_coordinates", "box_mask", "token_ids", "mask", "type_ids")
        write(tmp_path, str(stem), **{name: arrays[f"{case}__{name}"][:1] for name in names})
    first, second = open_dataset(tmp_path).items
    assert len(first.source.token_ids) == 9
    assert np.array_equal(first.source.token_ids, arrays["seed_padding__token_ids"][0, :9])
    assert len(second.source.token_ids) == arrays["no_boxes__mask"][0].sum()


BAD = {
    "missing coordinates": ({"box_coordinates": None}, "box_coordinates/1.npy missing"),
    "missing features and types": ({"box_features": None, "type_ids": None}, "box_features/1.npy and type_ids/1.npy"),
    "broken tokens": ({"token_ids": b"nonsense"}, "1.npy is no .npy and no .npz file"),
    "an archive": ({"token_ids": b"PK\x05\x06" + bytes(18)}, "1.npy"),
    "pickled tokens": ({"token_ids": np.array([None])}, "no array that can be read safely"),
    "two rows": ({"token_ids": [[1, 2], [3, 4]]}, r"shape (2, 2) and dtype int64; expected a row of whole numbers"),
    "tokens that are text": ({"token_ids": ["a"]}, "expected a row of whole numbers"),
    "tokens with a fraction": ({"token_ids": [0.5] * 5}, "numbers that are not whole"),
    "tokens that are no numbers": ({"token_ids": [float("nan")] * 5}, "numbers that are not whole"),
    "a mask of another length": ({"mask": [[1, 1]]}, "mask has 2 tokens, token_ids has 5"),
    "types of another length": ({"type_ids": [[0]]}, "type_ids has 1 tokens, token_ids has 5"),
    "no valid token": ({"mask": [[0] * 5]}, "mask has 0 valid tokens"),
    "padding before the end": ({"mask": [[1, 0, 1, 0, 0]]}, "padding at the end only"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_question_is_rejected_in_its_place(tmp_path, name):
    arrays, reason = BAD[name]
    write(tmp_path, "0")
    write(tmp_path, "1", **arrays)
    write(tmp_path, "2")
    dataset = open_dataset(tmp_path)
    assert [type(item) for item in dataset.items] == [Sample, Rejected, Sample]
    assert (dataset.items[1].id, dataset.items[1].stage) == ("1", "dataset")
    assert reason in dataset.items[1].reason


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    write(tmp_path, "0")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("box_mask"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match=r"(?s)Permission denied.*box_mask/0\.npy missing"):
        open_dataset(tmp_path)


def test_a_folder_without_coordinates_is_refused(tmp_path):
    for name in ("box_features", "token_ids"):
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match=r"has no box_coordinates\. Looked for folders"):
        open_dataset(tmp_path)
