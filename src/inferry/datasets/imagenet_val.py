"""ImageNet's validation pictures (ILSVRC2012) with one of two label files.

``val_label.txt`` has a line ``ILSVRC2012_val_00000001.JPEG 65`` a picture, classes counted from 0 by sorted WordNet
ids, as the networks have them. The development kit's ``ILSVRC2012_validation_ground_truth.txt`` has one number a line,
for the pictures in the order of their names, in another numbering: 1 to 1000 by ``ILSVRC2012_ID``. Its ``meta.mat``
leads from there over the WordNet id to the class. Both numbers of the first picture are known (65 and 490), and 1000
is a class of the second numbering only, so that one is not taken for the other.
Source: torchvision, `datasets.imagenet.parse_devkit_archive`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from inferry.core.errors import DatasetError
from inferry.core.samples import Dataset, ImageFile
from inferry.datasets.mat_files import Value, read_struct
from inferry.datasets.rows import Rows, class_reference, file_ids, is_image, read_text, walk

KIND = "imagenet-val"
LOOKS_FOR = "a folder with pictures and val_label.txt, or ILSVRC2012_validation_ground_truth.txt and meta.mat"
LABELS: Final = "val_label.txt"
GROUND_TRUTH: Final = "ILSVRC2012_validation_ground_truth.txt"
META: Final = "meta.mat"
_FIRST, _FIRST_DEVKIT = "ILSVRC2012_val_00000001.JPEG", 490
_CLASSES: Final = 1000
_DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class _Folder:
    """What lies in the folder and at most three levels below.

    Attributes:
        pictures: By file name, the first of each name.
        labels: Label file of the first kind, None if there is none.
        truth: Of the development kit's kind.
        meta: The development kit's table of classes.
    """

    pictures: dict[str, Path]
    labels: Path | None
    truth: Path | None
    meta: Path | None


def detect(path: Path) -> bool:
    """Whether one of the label files lies in the folder, or at most three levels below; or whether this is one."""
    if path.is_file():
        return path.name in {LABELS, GROUND_TRUTH}
    return path.is_dir() and any({LABELS, GROUND_TRUTH} & {*folder.files} for folder in walk(path, _DEPTH))


def load(path: Path) -> Dataset:
    """All pictures in the order of the label file, then those that it does not name, without a reference.

    ``val_label.txt`` goes first where both are there. Rejected: a line without a name and a class, a picture that is
    missing or named twice.

    Raises:
        DatasetError: There is no label file, it cannot be read, or it counts like the development kit and there is no
            ``meta.mat`` to translate it.
    """
    folder = _search(path.parent if path.is_file() else path)
    rows = Rows()
    if folder.labels is not None:
        lines = _label_lines(rows, folder.labels)
    elif folder.truth is not None:
        lines = _truth_lines(rows, folder.truth, folder.pictures)
    else:
        raise DatasetError(f"{path} has no label file. Looked for {LOOKS_FOR}")
    _add(rows, folder, _translated(lines, folder))
    return rows.dataset(KIND, path)


def _search(path: Path) -> _Folder:
    pictures: dict[str, Path] = {}
    found: dict[str, Path] = {}
    for folder in walk(path, _DEPTH):
        for name in folder.files:
            if is_image(name):
                pictures.setdefault(name, Path(folder.path, name))
            elif name in {LABELS, GROUND_TRUTH, META}:
                found.setdefault(name, Path(folder.path, name))
    return _Folder(pictures, found.get(LABELS), found.get(GROUND_TRUTH), found.get(META))


def _text(path: Path) -> list[str]:
    text = read_text(path)
    if text is None:
        raise DatasetError(f"{path} cannot be read as UTF-8 text")
    return text.rstrip("\n").split("\n")


def _label_lines(rows: Rows, path: Path) -> list[tuple[str, int]]:
    """Names and classes; other lines are rejected."""
    lines = []
    for number, line in enumerate(_text(path), 1):
        *name, label = line.strip().rsplit(maxsplit=1) or [""]
        if name and label.isascii() and label.isdigit():
            lines.append((name[0], int(label)))
        elif line.strip():
            reason = f"{path.name}, line {number}: expected a file name and a class, found: {line[:80]}"
            rows.reject(f"{path.name}:{number}", str(path), reason)
    return lines


def _truth_lines(rows: Rows, path: Path, pictures: dict[str, Path]) -> list[tuple[str, int]]:
    """Pictures by their number, for the numbers of the development kit; lines without a picture are left out.

    Most people keep a part of the 50,000 pictures, so that is no fault.
    """
    lines = []
    for number, line in enumerate(_text(path), 1):
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        if name not in pictures:
            continue
        if line.strip().isascii() and line.strip().isdigit():
            lines.append((name, int(line)))
        else:
            reason = f"{path.name}, line {number}: expected a class from 1 to {_CLASSES}, found: {line[:80]}"
            rows.reject(f"{path.name}:{number}", str(path), reason)
    return lines


def _translated(lines: list[tuple[str, int]], folder: _Folder) -> list[tuple[str, int]]:
    """The lines in the networks' numbering."""
    source = folder.labels or folder.truth
    labels = {label for _, label in lines}
    devkit = folder.labels is None or (_FIRST, _FIRST_DEVKIT) in lines
    if not devkit and (0 in labels or max(labels, default=0) != _CLASSES):
        return lines
    if folder.meta is None:
        raise DatasetError(
            f"{source} counts the classes from 1 to {_CLASSES} as ImageNet's development kit does, which is not the "
            f"order of the networks' outputs. Put the kit's {META} beside it, and they are translated"
        )
    classes = classes_by_devkit_id(folder.meta)
    unknown = sorted(labels - classes.keys())
    if unknown:
        raise DatasetError(f"{source} has the class {unknown[0]}, which {folder.meta} does not list")
    return [(name, classes[label]) for name, label in lines]


def classes_by_devkit_id(meta: Path) -> dict[int, int]:
    """From ``ILSVRC2012_ID`` (1 to 1000) to the class in order of WordNet ids (0 to 999).

    Args:
        meta: The development kit's ``meta.mat``.

    Raises:
        DatasetError: The file cannot be read, or lists other than 1,000 classes.
    """
    leaves = {
        _number(row.get("ILSVRC2012_ID")): row.get("WNID")
        for row in read_struct(meta, "synsets")
        if _number(row.get("num_children")) == 0
    }
    names = sorted({name for name in leaves.values() if isinstance(name, str)})
    if leaves.keys() != {*range(1, _CLASSES + 1)} or len(names) != _CLASSES:
        raise DatasetError(f"{meta} lists {len(names)} classes, expected {_CLASSES} with the ids 1 to {_CLASSES}")
    order = {name: number for number, name in enumerate(names)}
    return {number: order[str(name)] for number, name in leaves.items() if number is not None}


def _number(value: Value) -> int | None:
    return int(value[0]) if isinstance(value, np.ndarray) and value.size else None


def _add(rows: Rows, folder: _Folder, lines: list[tuple[str, int]]) -> None:
    named: set[Path] = set()
    source = folder.labels or folder.truth
    assert source is not None
    for key, (name, label) in zip(file_ids([name for name, _ in lines], short=False), lines, strict=True):
        beside = source.parent / name
        picture = beside if beside.is_file() else folder.pictures.get(Path(name).name)
        if picture is None:
            rows.reject(key, str(beside), f"{source.name} names a picture that is missing: {name}")
            continue
        named.add(picture)
        rows.add(key, ImageFile(picture), class_reference([label]), f"{source.name} ({name})")
    rest = [path for path in folder.pictures.values() if path not in named]
    for path in sorted(rest):
        rows.add(path.stem, ImageFile(path), None)
