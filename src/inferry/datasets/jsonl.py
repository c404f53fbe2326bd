"""A manifest in JSON lines: one object a line, ``{"id": …, "audio": …, "text": …, "start": …, "end": …}``.

``id`` and ``audio`` are needed; ``text`` is the reference; ``start`` and ``end`` cut a segment, in seconds. Relative
paths are taken from the manifest's folder. Further keys are ignored.
"""

import json
from math import isfinite
from pathlib import Path

from inferry.core.errors import DatasetError
from inferry.core.samples import AudioFile, Dataset, Sample
from inferry.datasets.rows import Rows

KIND = "jsonl"
LOOKS_FOR = 'a .jsonl or .ndjson file, each line an object: {"id": …, "audio": …, "text": …, "start": …, "end": …}'


def detect(path: Path) -> bool:
    """Whether the name ends in .jsonl or .ndjson."""
    return path.suffix.lower() in {".jsonl", ".ndjson"} and path.is_file()


def load(path: Path) -> Dataset:
    """All lines in their order; a bad line is rejected with its number, blank lines are skipped.

    Raises:
        DatasetError: The file cannot be read.
    """
    rows = Rows()
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    _add(rows, path, number, line)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    return rows.dataset(KIND, path)


def _add(rows: Rows, path: Path, number: int, line: bytes) -> None:
    try:
        sample = _sample(path.parent, line)
    except (ValueError, OverflowError, RecursionError) as error:
        rows.reject(f"{path.name}:{number}", str(path), f"{path.name}, line {number}: {error}")
    else:
        assert isinstance(sample.source, AudioFile)
        rows.add(sample.id, sample.source, sample.reference, f"{path.name}, line {number}")


def _sample(folder: Path, line: bytes) -> Sample:
    """One line.

    Raises:
        ValueError: What is wrong with it.
    """
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"no valid JSON in UTF-8: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, found {type(row).__name__}")  # noqa: TRY004 -- one type for the caller
    name, audio, text = row.get("id"), row.get("audio"), row.get("text")
    missing = [key for key in ("id", "audio") if key not in row]
    if missing:
        raise ValueError(f"{' and '.join(missing)} missing; found the keys: {', '.join(row) or 'none'}")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError("id must be text or a whole number")  # noqa: TRY004 -- likewise
    if not isinstance(audio, str) or not audio:
        raise ValueError("audio must be the path of a file")
    if not isinstance(text, str | None):
        raise ValueError("text must be text or null")  # noqa: TRY004 -- likewise
    start, end = _seconds(row.get("start"), "start"), _seconds(row.get("end"), "end")
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"start {start or 0.0:g} s is not before end {end:g} s")
    return Sample(str(name), AudioFile(folder / audio, start or 0.0, end), text)


def _seconds(value: object, key: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError(f"{key} must be seconds, a finite number from 0 on, not {value!r}")
    return float(value)
