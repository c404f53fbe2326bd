"""Questions and regions as arrays that are ready for the network, as the Ascend recipe of VilBERT saves them.

Folders ``box_features``, ``box_coordinates`` and ``token_ids``, and mostly ``box_mask``, ``mask`` and ``type_ids``,
with one ``<number>.npy`` a question each, usually with a leading batch dimension of 1. ``mask`` says which tokens are
no padding. There are no answers in it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from inferry.core.arrays import read_array
from inferry.core.errors import DatasetError
from inferry.core.samples import Dataset, Question, RegionFile
from inferry.core.specs import Array
from inferry.datasets.rows import Rows, walk
from inferry.datasets.vqa_files import COORDINATES, FEATURES, MASK, TOKENS

KIND = "vqa-tensors"
LOOKS_FOR = "folders box_features, box_coordinates and token_ids (and box_mask, mask, type_ids) with <number>.npy each"
VALID: Final = "mask"
TYPES: Final = "type_ids"
_NEEDED: Final = (FEATURES, COORDINATES, TOKENS)
_ALL: Final = (*_NEEDED, MASK, VALID, TYPES)


@dataclass(frozen=True, slots=True)
class _Arrays:
    """Files of one question, by the name of the array."""

    files: dict[str, Path]

    def regions(self) -> RegionFile:
        return RegionFile(self.files[FEATURES], self.files[COORDINATES], self.files.get(MASK))

    def tokens(self) -> tuple[Array, Array | None]:
        """Ids and types without the padding, both int64 ``(tokens,)``; no types where there is no file of them.

        Raises:
            ValueError: An array is broken or does not fit the others.
        """
        ids = self._row(TOKENS)
        types = self._row(TYPES) if TYPES in self.files else None
        valid = self._row(VALID) != 0 if VALID in self.files else np.ones(ids.shape, bool)
        count = int(valid.sum())
        for name, other in ((VALID, valid), (TYPES, types)):
            if other is not None and other.shape != ids.shape:
                raise ValueError(f"{name} has {other.size} tokens, {TOKENS} has {ids.size}")
        if not count or not valid[:count].all():
            raise ValueError(f"{VALID} has {count} valid tokens; expected at least one, and padding at the end only")
        return ids[:count], None if types is None else types[:count]

    def _row(self, name: str) -> Array:
        """One array of whole numbers without its batch dimension, int64."""
        path = self.files[name]
        try:
            array = read_array(path, name)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} {error.args[0]}") from error
        row = array[0] if array.ndim == 2 and len(array) == 1 else array
        if row.ndim != 1 or row.dtype.kind not in "biuf":
            raise ValueError(f"{path} has shape {array.shape} and dtype {array.dtype}; expected a row of whole numbers")
        with np.errstate(invalid="ignore"):
            whole = row.astype(np.int64)
        if not np.array_equal(whole, row):
            raise ValueError(f"{path} has numbers that are not whole")
        return whole


def detect(path: Path) -> bool:
    """Whether there are such folders."""
    return path.is_dir() and {FEATURES, TOKENS} <= {*next(walk(path, 0)).folders}


def load(path: Path) -> Dataset:
    """All questions in the order of their numbers (other names after them), without references.

    Features are not opened, tokens are. Rejected: a question of which an array is missing in a folder that is there,
    and one whose tokens cannot be used.

    Raises:
        DatasetError: A folder that is needed is missing.
    """
    folders = {*next(walk(path, 0)).folders} if path.is_dir() else set()
    if missing := [name for name in _NEEDED if name not in folders]:
        raise DatasetError(f"{path} has no {' and no '.join(missing)}. Looked for {LOOKS_FOR}")
    rows = Rows()
    names = {name: _stems(rows, path / name) for name in _ALL if name in folders}
    for stem in sorted(names[FEATURES] | names[TOKENS], key=_number):
        files = {name: path / name / f"{stem}.npy" for name in names}
        absent = [f"{name}/{stem}.npy" for name, stems in names.items() if stem not in stems]
        if absent:
            rows.reject(stem, str(files[TOKENS]), f"{' and '.join(absent)} missing")
        else:
            _add(rows, stem, _Arrays(files))
    return rows.dataset(KIND, path)


def _add(rows: Rows, stem: str, arrays: _Arrays) -> None:
    try:
        ids, types = arrays.tokens()
    except ValueError as error:
        rows.reject(stem, str(arrays.files[TOKENS]), str(error))
    else:
        rows.add(stem, Question(regions=arrays.regions(), token_ids=ids, type_ids=types), None)


def _stems(rows: Rows, folder: Path) -> frozenset[str]:
    listed = next(walk(folder, 0))
    if listed.problem:
        rows.reject(listed.path, listed.path, f"the folder cannot be read: {listed.problem}")
    return frozenset(name.removesuffix(".npy") for name in listed.files if name.endswith(".npy"))


def _number(stem: str) -> tuple[bool, int, str]:
    is_number = stem.isascii() and stem.isdigit()
    return not is_number, int(stem) if is_number else 0, stem
