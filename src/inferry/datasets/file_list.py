"""Single sounds or pictures: one file, several, or a text file (.txt, .lst) that lists one path a line."""

import os
from collections.abc import Sequence
from pathlib import Path

from inferry.core.errors import DatasetError
from inferry.core.samples import AudioFile, Dataset, ImageFile
from inferry.datasets.rows import Rows, file_ids, is_audio, is_image, read_sidecar, read_text

KIND = "files"
LOOKS_FOR = "a sound or picture file, or a .txt or .lst file that lists one path a line"
_LISTS = {".txt", ".lst"}
_OTHERS = {"val_label.txt", "ILSVRC2012_validation_ground_truth.txt"}
"""ImageNet's label files, which list no paths."""


def detect(path: Path) -> bool:
    """Whether this is a sound, a picture or a list, by its name (a transcript or ImageNet's labels are none)."""
    listing = path.suffix.lower() in _LISTS and not path.name.endswith(".trans.txt") and path.name not in _OTHERS
    return path.is_file() and (is_audio(path.name) or is_image(path.name) or listing)


def load(path: Path) -> Dataset:
    """The file, or the files of the list in its order; relative paths are taken from the list's folder.

    Raises:
        DatasetError: The list is no UTF-8 text.
    """
    if path.suffix.lower() not in _LISTS:
        return load_files([path])
    text = read_text(path)
    if text is None or "\0" in text:
        raise DatasetError(f"{path} cannot be read as UTF-8 text. Expected {LOOKS_FOR}")
    names = [line.strip() for line in text.split("\n") if line.strip()]
    rows = Rows()
    _add(rows, names, path.parent, path)
    return rows.dataset(KIND, path)


def load_files(paths: Sequence[Path]) -> Dataset:
    """Several sounds or pictures in the given order.

    Raises:
        DatasetError: There is none.
    """
    if not paths:
        raise DatasetError("the list of files is empty; name at least one sound or picture")
    rows = Rows()
    _add(rows, [str(path) for path in paths], Path(), None)
    together = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    return rows.dataset(KIND, paths[0] if len(paths) == 1 else together)


def _add(rows: Rows, names: list[str], folder: Path, listing: Path | None) -> None:
    """Add files under their stem, or their path without suffix where stems clash; a path listed twice is rejected."""
    for key, name in zip(file_ids(names, short=True), names, strict=True):
        file = folder / name
        if is_image(name):
            rows.add(key, ImageFile(file), None)
            continue
        text = file.parent / f"{file.stem}.txt"
        rows.add(key, AudioFile(file), None if text == listing else read_sidecar(text))
