"""The JSON manifest of deepspeech.pytorch V3.

``{"root_path": …, "samples": [{"wav_path": …, "transcript_path": …}, …]}``. A relative root_path is taken from the
manifest's folder, so that a data set can be moved (the original takes it from the working directory).
Source: deepspeech_pytorch/loader/data_loader.py, `_parse_input`.
"""

import json
from pathlib import Path
from typing import Any

from inferry.core.errors import DatasetError
from inferry.core.samples import AudioFile, Dataset
from inferry.datasets.rows import Rows, file_ids, read_one_line

KIND = "manifest-v3"
LOOKS_FOR = 'a .json file: {"root_path": …, "samples": [{"wav_path": …, "transcript_path": …}]}'
_HEAD = 1 << 16


def detect(path: Path) -> bool:
    """Whether this is a .json file that speaks of samples near its beginning."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"samples"' in file.read(_HEAD)


def load(path: Path) -> Dataset:
    """All samples in the manifest's order.

    The id is the file stem, or the path without suffix where stems clash. Rejected: an entry that is no object or
    has no wav_path, and a path listed twice. A missing or unreadable transcript gives no reference.

    Raises:
        DatasetError: The file is no such manifest.
    """
    root, entries = _parsed(path)
    names = [entry["wav_path"] if _problem(entry) is None else "" for entry in entries]
    ids = file_ids([name for name in names if name], short=True)
    rows = Rows()
    following = iter(ids)
    for index, (entry, name) in enumerate(zip(entries, names, strict=True)):
        place = f"{path.name}, samples[{index}]"
        if problem := _problem(entry):
            rows.reject(f"{path.name}:samples[{index}]", str(path), f"{place}: {problem}")
            continue
        transcript = entry.get("transcript_path")
        reference = read_one_line(root / transcript) if transcript else None
        rows.add(next(following), AudioFile(root / name), reference, f"{place} ({name})")
    return rows.dataset(KIND, path)


def _parsed(path: Path) -> tuple[Path, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no JSON manifest: {error}. Expected {LOOKS_FOR}") from error
    entries = content.get("samples") if isinstance(content, dict) else None
    root = content.get("root_path", "") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not isinstance(root, str):
        raise DatasetError(f"{path} has no list of samples or no text as root_path. Expected {LOOKS_FOR}")
    return path.parent / root, entries


def _problem(entry: object) -> str | None:
    """Why an entry cannot be used, None if it can."""
    if not isinstance(entry, dict):
        return f"expected an object with wav_path, found {type(entry).__name__}"
    if not isinstance(entry.get("wav_path"), str) or not entry["wav_path"]:
        return f"expected a wav_path, found the keys: {', '.join(map(str, entry)) or 'none'}"
    if not isinstance(entry.get("transcript_path"), str | None):
        return "transcript_path is no text"
    return None
