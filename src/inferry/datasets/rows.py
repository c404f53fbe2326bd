"""What every layout needs: rows with unique, printable ids, names for files, transcripts, and a folder walk."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

from inferry.core.samples import Dataset, Reference, Rejected, Sample, Source, path_of

AUDIO_SUFFIXES: Final = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".aif", ".aiff", ".au")
"""File names that count as sound, compared in lower case."""

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")
"""File names that count as pictures, compared in lower case."""


def printable(text: str) -> str:
    r"""The text with control characters and undecodable bytes escaped (a new line becomes ``\n``)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@dataclass(slots=True)
class Rows:
    """The rows of a data set as they are found; the second row of an id is rejected where it stands."""

    items: list[Sample | Rejected] = field(default_factory=list)
    _places: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, source: Source, reference: Reference | None, place: str = "") -> None:
        """Keep a sample.

        Args:
            name: Its id; characters that cannot be printed are escaped.
            source: The input.
            reference: The transcript, the classes (see `class_reference`), or the answers of people.
            place: Where the row stands, for people; the path of the source if empty.
        """
        key = printable(name)
        where = printable(place or _path(source))
        if not key.strip():
            self.reject(where, _path(source), "the id is empty; every sample needs a name")
        elif key in self._places:
            reason = f"the id {key} is used twice: first by {self._places[key]}, again by {where}; the first is kept"
            self.reject(key, _path(source), reason)
        else:
            self._places[key] = where
            self.items.append(Sample(key, source, reference))

    def reject(self, name: str, path: str, reason: str) -> None:
        """Quarantine a row, stage ``dataset``."""
        self.items.append(Rejected(printable(name), printable(path), "dataset", printable(reason)))

    def dataset(self, kind: str, path: Path) -> Dataset:
        """All rows in their order."""
        return Dataset(kind, path, tuple(self.items))


def _path(source: Source) -> str:
    return str(path_of(source) or "")


def is_audio(name: str) -> bool:
    """Whether a file name ends like a sound."""
    return name.lower().endswith(AUDIO_SUFFIXES)


def is_image(name: str) -> bool:
    """Whether a file name ends like a picture."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def class_reference(classes: Sequence[int]) -> str:
    """How `Sample.reference` says which classes are right: indices of the network's output, joined by ``|``.

    ``"65"`` is one class, ``"65|66"`` means that either is right.
    """
    return "|".join(map(str, classes))


def file_ids(paths: Sequence[str], *, short: bool) -> list[str]:
    """A distinct id for every distinct path; the same path twice gets the same id.

    Args:
        paths: As the data set writes them.
        short: Begin with the bare file stem; else with the path without its suffix.

    Returns:
        The first of these that no other path shares: the stem (if short), the path without suffix, the path.
    """
    forms = (_stem, _without_suffix) if short else (_without_suffix,)
    counts = [Counter(map(form, set(paths))) for form in forms]
    return [
        next((form(path) for form, count in zip(forms, counts, strict=True) if count[form(path)] == 1), path)
        for path in paths
    ]


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122 -- a Path for each of 100,000 is slow


def _without_suffix(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122 -- likewise


def read_text(path: Path) -> str | None:
    """A small UTF-8 text with plain line ends; None if it is missing, no regular file, unreadable or not UTF-8."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, ValueError):  # ValueError: not UTF-8, or a NUL character in the path
        return None


def read_one_line(path: Path) -> str | None:
    """A transcript as deepspeech.pytorch reads it: newlines removed (not replaced); None as `read_text`."""
    text = read_text(path)
    return None if text is None else text.replace("\n", "").strip()


def read_sidecar(path: Path) -> str | None:
    """The transcript beside a sound (``name.txt`` for ``name.wav``), lines joined by spaces; None as `read_text`."""
    text = read_text(path)
    return None if text is None else " ".join(line.strip() for line in text.splitlines()).strip()


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a walk.

    Attributes:
        path: Of the folder.
        files: Names of what is in it and is no folder, sorted.
        folders: Names of its folders, sorted.
        problem: Why it could not be listed, empty if it could.
    """

    path: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    problem: str = ""


def walk(root: Path, depth: int | None = None) -> Iterator[Folder]:
    """All folders from the root down, each before those within it, in sorted order.

    Links to folders are followed, each folder is visited once. Hidden files and folders (``.name``) are left out.

    Args:
        root: Where to begin.
        depth: How many levels below the root to visit, None for all.
    """
    seen: set[tuple[int, int]] = set()
    pending = [(str(root), 0)]
    while pending:
        path, level = pending.pop()
        try:
            status = os.stat(path)  # noqa: PTH116 -- likewise
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            folder = _list(path)
        except OSError as error:
            yield Folder(path, (), (), error.strerror or str(error))
            continue
        yield folder
        if depth is None or level < depth:
            pending += [(os.path.join(path, name), level + 1) for name in reversed(folder.folders)]  # noqa: PTH118 -- likewise


def _list(path: str) -> Folder:
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if _is_folder(entry) else files).append(entry.name)
    return Folder(path, tuple(sorted(files)), tuple(sorted(folders)))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself
        return False


def relative_to(path: str, root: Path) -> str:
    """A path below the root, with forward slashes on every system."""
    return PurePath(os.path.relpath(path, root)).as_posix()
