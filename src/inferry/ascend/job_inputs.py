"""Input folders in the layout that ais_bench reads, and their check."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from inferry.ascend.job_manifest import MANIFEST, JobInput, JobManifest, JobRow, read_manifest
from inferry.ascend.job_rules import (
    FILE_MODE,
    FOLDER_MODE,
    MAX_BIN_BYTES,
    MAX_FILES,
    input_problems,
    listing,
    path_problems,
)
from inferry.core.errors import RunError, UsageError
from inferry.core.files import atomic_folder, sha256_of, to_json_text
from inferry.core.specs import Array, TensorSpec

_LONGEST_NAME = 100


def write_inputs(
    folder: Path, specs: Sequence[TensorSpec], rows: Iterable[tuple[str, Mapping[str, Array]]]
) -> JobManifest:
    """One folder an input, one file a sample, and the manifest beside them.

    Args:
        folder: Of the job; it appears when all is written. An older job in it is replaced.
        specs: Inputs of the offline model in its order, with its dtypes; every dimension but the batch is a number.
        rows: Sample ids with their inputs by name, without the batch dimension and not larger than the model's shape.
            They are read once, one after the other.

    Returns:
        What `read_outputs` needs to find the samples again.

    Raises:
        UsageError: ais_bench would refuse the files, or an array does not fit the model.
    """
    _require_usable(folder, specs)
    with atomic_folder(folder) as work:
        writer = InputWriter(work, specs)
        for sample, arrays in rows:
            writer.add(sample, arrays)
        manifest = writer.close()
    folder.chmod(FOLDER_MODE)
    return manifest


class InputWriter:
    """Writes a job sample by sample; its folder is no job before it is closed.

    Args:
        folder: It exists and is empty.
        specs: As for `write_inputs`.

    Raises:
        UsageError: A shape is open, or too large for ais_bench.
    """

    def __init__(self, folder: Path, specs: Sequence[TensorSpec]) -> None:
        if problems := _spec_problems(specs):
            raise UsageError(f"these input folders cannot be written:\n{listing(problems)}")
        self._folder = folder
        self._inputs = tuple(JobInput(spec, _folder_name(index, spec.name)) for index, spec in enumerate(specs))
        self._rows: dict[str, JobRow] = {}
        for one in self._inputs:
            (folder / one.folder).mkdir()
            (folder / one.folder).chmod(FOLDER_MODE)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_full(self) -> bool:
        """Whether ais_bench would read no further file of this folder."""
        return len(self._rows) >= MAX_FILES

    def add(self, sample: str, arrays: Mapping[str, Array]) -> str:
        """One sample; where it is refused nothing is written.

        Args:
            sample: Its id, unique.
            arrays: As for `write_inputs`.

        Returns:
            The stem of its files.

        Raises:
            UsageError: ais_bench would refuse it, or it does not fit the model.
        """
        if sample in self._rows:
            raise UsageError(f"two samples are called {sample}; give each its own id")
        if self.is_full:
            raise UsageError(f"ais_bench reads {MAX_FILES:,} files a folder; split the data set")
        if set(arrays) != {one.spec.name for one in self._inputs}:
            expected = ", ".join(one.spec.name for one in self._inputs)
            raise UsageError(
                f"{sample} has the inputs {', '.join(sorted(arrays)) or 'none'}; the model takes {expected}"
            )
        row = _write_row(self._folder, self._inputs, f"{len(self._rows):06d}", (sample, arrays))
        self._rows[sample] = row
        return row.stem

    def close(self) -> JobManifest:
        """Write the manifest.

        Raises:
            UsageError: There was no sample.
        """
        if not self._rows:
            raise UsageError("there is no sample to write")
        manifest = JobManifest(self._inputs, tuple(self._rows.values()))
        _write(self._folder / MANIFEST, to_json_text(manifest.to_json()).encode())
        self._folder.chmod(FOLDER_MODE)
        return manifest


def verify_inputs(folder: Path) -> JobManifest:
    """Check a job before it is shipped: ais_bench's rules, and every file against the manifest.

    Raises:
        RunError: Something is refused, missing or changed; all problems are listed.
    """
    manifest = read_manifest(folder)
    problems = list(input_problems(manifest.folders(folder)))
    for one in manifest.inputs:
        names = {row.stem: row.sha256.get(one.spec.name) for row in manifest.rows}
        for stem, sha256 in names.items():
            path = folder / one.folder / f"{stem}.bin"
            if not path.is_file():
                problems.append(f"{path}: is missing")
            elif path.stat().st_size != one.bytes_per_file:
                problems.append(f"{path}: has {path.stat().st_size:,} bytes, the model takes {one.bytes_per_file:,}")
            elif sha256_of(path) != sha256:
                problems.append(f"{path}: was changed after it was written")
        if (folder / one.folder).is_dir():
            found = sorted((folder / one.folder).iterdir())
            problems += [f"{path}: belongs to no sample" for path in found if path.stem not in names]
    if problems:
        raise RunError(f"{folder} cannot be shipped; write it again:\n{listing(problems)}")
    return manifest


def _require_usable(folder: Path, specs: Sequence[TensorSpec]) -> None:
    # A path that is too long cannot even be looked at.
    problems = path_problems(folder) or _place_problems(folder)
    problems += _spec_problems(specs)
    if problems:
        raise UsageError(f"these input folders cannot be written:\n{listing(problems)}")


def _place_problems(folder: Path) -> list[str]:
    if folder.is_symlink():
        return [f"{folder}: is a link, which ais_bench refuses"]
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if free or (folder / MANIFEST).is_file():
        return []
    return [f"{folder}: exists and holds something else; choose a new folder"]


def _spec_problems(specs: Sequence[TensorSpec]) -> list[str]:
    problems = [] if specs else ["the model has no inputs"]
    names = Counter(spec.name for spec in specs)
    problems += [f"{count} inputs are called {name}" for name, count in names.items() if count > 1]
    for spec in specs:
        if not spec.dims or not all(isinstance(dim, int) and dim > 0 for dim in spec.dims[1:]):
            problems.append(
                f"the input {spec.name} has the shape {list(spec.dims)}; a job has one shape: name its gear"
            )
        elif JobInput(spec, "").bytes_per_file > MAX_BIN_BYTES:
            problems.append(f"one sample of the input {spec.name} is larger than the 4 GB that ais_bench reads")
    return problems


def _folder_name(index: int, name: str) -> str:
    """Unique by the index; characters of graph names (``/``, ``:``) that no path may hold become ``_``."""
    return f"{index:02d}_{re.sub(r'[^_A-Za-z0-9-]', '_', name)[:_LONGEST_NAME]}"


def _write_row(work: Path, inputs: Sequence[JobInput], stem: str, row: tuple[str, Mapping[str, Array]]) -> JobRow:
    sample, arrays = row
    contents: list[tuple[JobInput, bytes]] = []
    for one in inputs:
        try:
            contents.append((one, _fitted(np.asarray(arrays[one.spec.name]), one).tobytes()))
        except ValueError as error:
            raise UsageError(f"{sample}: its input {one.spec.name} {error}") from error
    for one, content in contents:
        _write(work / one.folder / f"{stem}.bin", content)
    shapes = {name: tuple(value.shape) for name, value in arrays.items()}
    return JobRow(sample, stem, shapes, {one.spec.name: hashlib.sha256(c).hexdigest() for one, c in contents})


def _fitted(value: Array, one: JobInput) -> Array:
    """The array in the model's dtype, little-endian, zero padded to the model's shape.

    Raises:
        ValueError: It cannot be; the end of a sentence that begins with its name.
    """
    if value.ndim != len(one.shape) or any(size > room for size, room in zip(value.shape, one.shape, strict=True)):
        raise ValueError(f"has the shape {list(value.shape)}; this gear takes at most {list(one.shape)}")
    padded = np.zeros(one.shape, dtype=np.dtype(one.spec.dtype).newbyteorder("<"))
    padded[tuple(slice(size) for size in value.shape)] = _converted(value, np.dtype(one.spec.dtype))
    return padded


def _converted(value: Array, dtype: np.dtype[np.generic]) -> Array:
    """Whole numbers exactly, fractions rounded.

    Raises:
        ValueError: A number does not survive it.
    """
    if not np.can_cast(value.dtype, dtype, "same_kind"):
        raise ValueError(f"is {value.dtype}, which cannot become the model's {dtype}")
    with np.errstate(over="ignore"):
        converted: Array = value.astype(dtype)
    whole = value.dtype.kind in "biu"
    kept = np.array_equal(converted, value) if whole else np.array_equal(np.isinf(converted), np.isinf(value))
    if not kept:
        raise ValueError(f"holds numbers (up to {np.abs(value).max()}) that the model's {dtype} cannot hold")
    return converted


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(FILE_MODE)
