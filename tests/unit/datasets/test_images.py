"""The layouts of picture data sets: ImageNet's validation set, class folders, any folder, the any-of manifest."""

import json
import os
import struct

import numpy as np
import pytest

from inferry.core.errors import DatasetError
from inferry.core.samples import ImageFile, Rejected, Sample
from inferry.datasets import any_of, file_list, image_folder, imagenet_val, open_dataset


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def references(dataset):
    return {item.id: item.reference for item in dataset.items if isinstance(item, Sample)}


def rejected(dataset):
    return [(item.id, item.reason) for item in dataset.items if isinstance(item, Rejected)]


# ---------------------------------------------------------------------------------------------------- folders


def test_a_folder_of_pictures_has_no_references(tmp_path):
    touch(tmp_path, "b.JPG", "a.png", "deep/c.webp", "deep/c.gif", "notes.txt", ".hidden.jpg")
    assert image_folder.detect(tmp_path)
    dataset = image_folder.load(tmp_path)
    assert (dataset.kind, references(dataset)) == (
        "image-folder",
        {"a": None, "b": None, "deep/c.gif": None, "deep/c.webp": None},
    )
    assert dataset.items[0].source == ImageFile(tmp_path / "a.png")


def test_class_folders_are_numbered_in_the_order_of_their_names(tmp_path):
    touch(tmp_path, "b/1.jpg", "B/2.jpg", "a/3.jpg", "a/4.jpg", "README.txt")
    (tmp_path / "Empty").mkdir()
    assert image_folder.detect_classes(tmp_path)
    dataset = image_folder.load_classes(tmp_path)
    assert dataset.kind == "class-folders"
    assert list(references(dataset).items()) == [("B/2", "0"), ("a/3", "2"), ("a/4", "2"), ("b/1", "3")]


@pytest.mark.parametrize(
    "names", [("a/1.jpg",), ("a/1.jpg", "b/2.jpg", "3.jpg"), ("a/1.jpg", "b/c/2.jpg"), ("a/x.txt",)]
)
def test_other_folders_are_no_class_folders(tmp_path, names):
    touch(tmp_path, *names)
    assert not image_folder.detect_classes(tmp_path)


def test_files_and_empty_folders_are_no_data(tmp_path):
    touch(tmp_path, "a.jpg")
    for detect in (image_folder.detect, image_folder.detect_classes, imagenet_val.detect, any_of.detect):
        assert not detect(tmp_path / "a.jpg")
    (tmp_path / "empty").mkdir()
    assert not image_folder.detect(tmp_path / "empty")
    with pytest.raises(DatasetError, match="no folders in it"):
        image_folder.load_classes(tmp_path / "empty")


def test_a_folder_that_cannot_be_listed_is_rejected(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.jpg", "b/2.jpg")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for load in (image_folder.load, image_folder.load_classes):
        dataset = load(tmp_path)
        assert list(references(dataset)) == ["a/1"]
        assert "Permission denied" in rejected(dataset)[0][1]


def test_the_test_photos_of_the_trained_checkpoint_have_its_labels(shared):
    folder = shared / "data" / "caltech101_test"
    assert image_folder.detect_classes(folder)
    lines = (shared / "checkpoints" / "beit-small" / "labels.txt").read_text().splitlines()
    expected = {name.removesuffix(".jpg"): label for name, label in map(str.split, lines)}
    assert references(image_folder.load_classes(folder)) == expected


def test_single_pictures_and_lists_of_them(tmp_path):
    touch(tmp_path, "a.jpg", "b.PNG", "a.txt")
    assert file_list.detect(tmp_path / "a.jpg")
    one = file_list.load(tmp_path / "a.jpg").items
    assert (one[0].source, one[0].reference) == (ImageFile(tmp_path / "a.jpg"), None)
    (tmp_path / "list.txt").write_text("b.PNG\na.jpg\n")
    assert list(references(file_list.load(tmp_path / "list.txt")).items()) == [("b", None), ("a", None)]


# ------------------------------------------------------------------------------------------------ any of several


def test_the_manifest_gives_one_class_or_several(tmp_path):
    files = [
        {"file": "a.jpg", "imagenet_any_of": [288, 290]},
        {"file": "b/a.jpg", "imagenet_label": 285},
        {"file": "c.jpg"},
        {"file": "d.jpg", "imagenet_any_of": []},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    expected = {"a": "288|290", "b/a": "285", "c": None, "d": None}
    for path in (tmp_path, tmp_path / "manifest.json"):
        assert any_of.detect(path)
        dataset = any_of.load(path)
        assert references(dataset) == expected
        assert dataset.items[1].source == ImageFile(tmp_path / "b" / "a.jpg")


def test_bad_entries_are_rejected_where_they_stand(tmp_path):
    good = {"file": "a.jpg", "imagenet_label": 1}
    bad = [7, {"path": "x"}, {"file": "b.jpg", "imagenet_any_of": 3}, {"file": "c.jpg", "imagenet_any_of": [1, -2]},
           {"file": "d.jpg", "imagenet_label": True}, {"file": "e.jpg", "imagenet_label": "cat"}, good]  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [good, *bad]}))
    dataset = any_of.load(tmp_path)
    assert isinstance(dataset.items[0], Sample)
    reasons = ["found int", "expected a file", "a list of classes", "not -2", "not True", "not 'cat'", "used twice"]
    assert len(rejected(dataset)) == len(reasons)
    for (_, found), reason in zip(rejected(dataset), reasons, strict=True):
        assert reason in found


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', "{", '{"samples": [], "imagenet_label": 1}'])
def test_another_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    assert not any_of.detect(tmp_path)
    with pytest.raises(DatasetError, match=r"no JSON manifest|no list of files"):
        any_of.load(tmp_path)


def test_a_missing_manifest_is_refused(tmp_path):
    assert not any_of.detect(tmp_path)
    with pytest.raises(DatasetError, match="no JSON manifest"):
        any_of.load(tmp_path)


@pytest.mark.parametrize(("name", "count", "first"), [("caltech101_imagenet", 144, "288|290|293|289"),
                                                      ("photos_imagenet", 26, "670|665")])  # fmt: skip
def test_the_real_manifests(shared, name, count, first):
    dataset = any_of.load(shared / "data" / name)
    assert len(references(dataset)) == len(dataset.items) == count
    assert dataset.items[0].reference == first
    assert all(item.reference and item.source.path.is_file() for item in dataset.items)


# ------------------------------------------------------------------------------------------- ImageNet's validation


def validation(folder, count):
    names = [f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, count + 1)]
    touch(folder, *names)
    return names


@pytest.mark.parametrize("where", ["", "val"])
def test_val_label(tmp_path, where):
    names = validation(tmp_path / where, 3)
    touch(tmp_path / where, "extra.jpg")
    (tmp_path / "val_label.txt").write_text(f"{names[1]} 970\r\n{names[0]}\t65\n\n {names[2]}   0 \n")
    assert imagenet_val.detect(tmp_path)
    dataset = imagenet_val.load(tmp_path)
    assert list(references(dataset).items()) == [
        ("ILSVRC2012_val_00000002", "970"),
        ("ILSVRC2012_val_00000001", "65"),
        ("ILSVRC2012_val_00000003", "0"),
        ("extra", None),
    ]
    assert dataset.items[0].source.path.is_file()


def test_the_label_file_stands_for_its_folder(tmp_path):
    names = validation(tmp_path, 2)
    (tmp_path / "val_label.txt").write_text(f"{names[0]} 65\n{names[1]} 970\n")
    dataset = open_dataset(tmp_path / "val_label.txt")
    assert (dataset.kind, list(references(dataset).values())) == (imagenet_val.KIND, ["65", "970"])


def test_pictures_in_class_folders_are_found_by_name(tmp_path):
    touch(tmp_path, "val/n01440764/x.JPEG", "val/n01443537/y.JPEG")
    (tmp_path / "val_label.txt").write_text("y.JPEG 1\nval/n01440764/x.JPEG 0\n")
    assert references(imagenet_val.load(tmp_path)) == {"y": "1", "val/n01440764/x": "0"}


def test_bad_lines_and_missing_pictures_are_rejected(tmp_path):
    names = validation(tmp_path, 1)
    lines = ["nonsense", f"{names[0]} 65", "nowhere.JPEG 3", f"{names[0]} 65", f"{names[0]} -3"]
    (tmp_path / "val_label.txt").write_text("\n".join(lines))
    dataset = imagenet_val.load(tmp_path)
    assert list(references(dataset).values()) == ["65"]
    reasons = [reason for _, reason in rejected(dataset)]
    assert len(reasons) == 4
    for word in ("line 1", "line 5", "is missing: nowhere.JPEG", "used twice"):
        assert any(word in reason for reason in reasons)


def write_meta(path, leaves=1000):
    """meta.mat as the development kit has it: leaves first, then inner nodes; WordNet ids in a seeded order."""

    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    def matrix(kind, shape, name, *parts):
        head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<2i", *shape))
        content = head + element(1, name) + b"".join(parts)
        return element(14, content)

    def number(value):
        return matrix(6, (1, 1), b"", element(9, struct.pack("<d", value)))

    def text(value):
        return matrix(4, (1, len(value)), b"", element(4, value.encode("utf-16-le")))

    ids = np.random.default_rng(3).permutation(leaves + 60)
    names = element(1, b"".join(name.ljust(16, b"\0") for name in (b"ILSVRC2012_ID", b"WNID", b"num_children")))
    rows = [
        (number(place + 1), text(f"n{wordnet:08}"), number(0 if place < leaves else 2))
        for place, wordnet in enumerate(ids)
    ]
    cells = [cell for row in rows for cell in row]
    table = matrix(2, (len(rows), 1), b"synsets", element(5, struct.pack("<i", 16)), names, *cells)
    path.write_bytes(b"MATLAB 5.0".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49) + table)
    order = np.argsort(np.argsort(ids[:leaves]))
    return {place + 1: int(number) for place, number in enumerate(order)}


def test_the_development_kit_is_translated(tmp_path):
    validation(tmp_path / "val", 3)
    kit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n361\n1000\n171\n")
    with pytest.raises(DatasetError, match=r"meta\.mat beside it"):
        imagenet_val.load(tmp_path)
    classes = write_meta(kit / "meta.mat")
    assert imagenet_val.detect(tmp_path)
    dataset = imagenet_val.load(tmp_path)
    assert list(references(dataset).values()) == [str(classes[number]) for number in (490, 361, 1000)]
    assert rejected(dataset) == []


@pytest.mark.parametrize("labels", [(490, 361), (7, 1000)])
def test_val_label_in_the_other_numbering_is_recognised(tmp_path, labels):
    names = validation(tmp_path, 2)
    (tmp_path / "val_label.txt").write_text("".join(f"{n} {x}\n" for n, x in zip(names, labels, strict=True)))
    with pytest.raises(DatasetError, match="from 1 to 1000 as ImageNet's development kit does"):
        imagenet_val.load(tmp_path)
    classes = write_meta(tmp_path / "meta.mat")
    assert list(references(imagenet_val.load(tmp_path)).values()) == [str(classes[label]) for label in labels]


def test_a_network_with_more_classes_may_have_a_class_1000(tmp_path):
    names = validation(tmp_path, 2)
    (tmp_path / "val_label.txt").write_text(f"{names[0]} 65\n{names[1]} 21840\n")
    assert list(references(imagenet_val.load(tmp_path)).values()) == ["65", "21840"]


def test_a_wrong_table_of_classes_is_refused(tmp_path):
    validation(tmp_path, 1)
    truth = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("490\n")
    write_meta(tmp_path / "meta.mat", leaves=999)
    with pytest.raises(DatasetError, match="lists 999 classes, expected 1000"):
        imagenet_val.load(tmp_path)
    write_meta(tmp_path / "meta.mat")
    truth.write_text("1001\n")
    with pytest.raises(DatasetError, match="has the class 1001"):
        imagenet_val.load(tmp_path)
    truth.write_text("cat\n")
    assert "expected a class from 1 to 1000" in rejected(imagenet_val.load(tmp_path))[0][1]


def test_a_label_file_that_is_missing_or_no_text(tmp_path):
    validation(tmp_path, 1)
    with pytest.raises(DatasetError, match="has no label file"):
        imagenet_val.load(tmp_path)
    (tmp_path / "val_label.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DatasetError, match="UTF-8"):
        imagenet_val.load(tmp_path)


# ---------------------------------------------------------------------------------------------------- recognising


@pytest.mark.parametrize(
    ("where", "kind", "count"),
    [
        ("data/caltech101_imagenet", "imagenet-any-of", 144),
        ("data/photos_imagenet", "imagenet-any-of", 26),
        ("data/photos_imagenet/coco", "image-folder", 14),
        ("data/caltech101_test", "class-folders", 250),
        ("golden/beit/images", "image-folder", 4),
    ],
)
def test_real_photos_are_recognised(shared, where, kind, count):
    dataset = open_dataset(shared / where)
    assert (dataset.kind, len(dataset.items)) == (kind, count)


def test_the_validation_set_goes_before_its_class_folders(tmp_path):
    touch(tmp_path, "a/x.JPEG", "b/y.JPEG")
    assert open_dataset(tmp_path).kind == "class-folders"
    (tmp_path / "val_label.txt").write_text("y.JPEG 1\nx.JPEG 0\n")
    assert open_dataset(tmp_path).kind == "imagenet-val"
    assert references(open_dataset(tmp_path, "image-folder")) == {"a/x": None, "b/y": None}
