"""A JSON manifest of photos with the ImageNet classes that are right for each.

``{"files": [{"file": …, "imagenet_any_of": [288, 290]} or {"file": …, "imagenet_label": 285}, …]}``.
Classes are counted from 0, paths are taken from the manifest's folder. The manifest or its folder (as
``manifest.json``) may be opened.
"""

import json
from pathlib import Path
from typing import Any

from inferry.core.errors import DatasetError
from inferry.core.samples import Dataset, ImageFile
from inferry.datasets.rows import Rows, class_reference, file_ids, read_text

KIND = "imagenet-any-of"
LOOKS_FOR = 'a manifest.json: {"files": [{"file": …, "imagenet_any_of": [288, 290]} or {…, "imagenet_label": 285}]}'
_MANIFEST = "manifest.json"
_KEYS = ("imagenet_any_of", "imagenet_label")


def detect(path: Path) -> bool:
    """Whether this is such a manifest, or a folder with one."""
    text = read_text(_manifest(path)) if _manifest(path).suffix.lower() == ".json" else None
    return text is not None and '"files"' in text and any(f'"{key}"' in text for key in _KEYS)


def load(path: Path) -> Dataset:
    """All photos in the manifest's order; a file without classes is kept without a reference.

    Rejected: an entry that is no object or names no file, classes that are no whole numbers from 0 on, a file listed
    twice.

    Raises:
        DatasetError: The file is no such manifest.
    """
    manifest = _manifest(path)
    entries = _entries(manifest)
    problems = [_problem(entry) for entry in entries]
    names = [entry["file"] for entry, problem in zip(entries, problems, strict=True) if problem is None]
    following = zip(file_ids(names, short=False), names, strict=True)
    rows = Rows()
    for index, (entry, problem) in enumerate(zip(entries, problems, strict=True)):
        place = f"{manifest.name}, files[{index}]"
        if problem is not None:
            rows.reject(f"{manifest.name}:files[{index}]", str(manifest), f"{place}: {problem}")
            continue
        key, name = next(following)
        classes = _classes(entry)
        rows.add(key, ImageFile(manifest.parent / name), class_reference(classes) if classes else None, place)
    return rows.dataset(KIND, path)


def _manifest(path: Path) -> Path:
    return path / _MANIFEST if path.is_dir() else path


def _entries(manifest: Path) -> list[Any]:
    try:
        content = json.loads(manifest.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{manifest} is no JSON manifest: {error}. Expected {LOOKS_FOR}") from error
    entries = content.get("files") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DatasetError(f"{manifest} has no list of files. Expected {LOOKS_FOR}")
    return entries


def _classes(entry: dict[str, Any]) -> list[Any]:
    """The right classes as they are written, at most one of the keys being used."""
    if "imagenet_any_of" in entry:
        return list(entry["imagenet_any_of"])
    return [entry["imagenet_label"]] if "imagenet_label" in entry else []


def _problem(entry: object) -> str | None:
    """Why an entry cannot be used, None if it can."""
    if not isinstance(entry, dict):
        return f"expected an object with file, found {type(entry).__name__}"
    if not isinstance(entry.get("file"), str) or not entry["file"]:
        return f"expected a file, found the keys: {', '.join(map(str, entry)) or 'none'}"
    if not isinstance(entry.get("imagenet_any_of", []), list):
        return "imagenet_any_of must be a list of classes"
    bad = [one for one in _classes(entry) if isinstance(one, bool) or not isinstance(one, int) or one < 0]
    return f"a class is a whole number from 0 on, not {bad[0]!r}" if bad else None
