"""LibriSpeech (OpenSLR 12): ``<split>/<speaker>/<chapter>/<id>.flac`` with one ``*.trans.txt`` per chapter.

Each line of a transcript file is an utterance id and its words. The root, a split, a speaker or a chapter may be
opened; other text files (README.TXT, SPEAKERS.TXT) are no transcripts. Rows stand chapter by chapter in sorted order,
within a chapter as in its transcript, then sounds that the transcript does not name.
"""

import os
from pathlib import Path

from inferry.core.errors import DatasetError
from inferry.core.samples import AudioFile, Dataset
from inferry.datasets.rows import Folder, Rows, walk

KIND = "librispeech"
LOOKS_FOR = "a folder with *.trans.txt files and .flac or .wav files beside them"
_SUFFIXES = (".flac", ".wav")


def detect(path: Path) -> bool:
    """Whether a transcript file lies somewhere in the folder."""
    return path.is_dir() and any(name.endswith(".trans.txt") for folder in walk(path) for name in folder.files)


def load(path: Path) -> Dataset:
    """All utterances.

    Rejected: a line without words, an id without sound, an id used twice, a transcript file or folder that cannot be
    read. A sound without a transcript, or with one that is not UTF-8, is kept without a reference.

    Raises:
        DatasetError: There is no transcript file at all.
    """
    rows = Rows()
    transcripts = 0
    for folder in walk(path):
        transcripts += sum(name.endswith(".trans.txt") for name in folder.files)
        if folder.problem:
            rows.reject(folder.path, folder.path, f"the folder cannot be read: {folder.problem}")
        _chapter(rows, folder)
    if not transcripts:
        raise DatasetError(f"{path} holds no transcript file. Looked for {LOOKS_FOR}")
    return rows.dataset(KIND, path)


def _chapter(rows: Rows, folder: Folder) -> None:
    sounds = {
        name[: -len(suffix)]: name
        for suffix in reversed(_SUFFIXES)
        for name in folder.files
        if name.lower().endswith(suffix)
    }
    named = set()
    for name in folder.files:
        if name.endswith(".trans.txt"):
            named |= _transcript(rows, folder, name, sounds)
    for name in folder.files:
        stem = os.path.splitext(name)[0]  # noqa: PTH122 -- a Path for each of 100,000 is slow
        if name.lower().endswith(_SUFFIXES) and (stem not in named or sounds[stem] != name):
            rows.add(stem, AudioFile(Path(folder.path, name)), None)


def _transcript(rows: Rows, folder: Folder, name: str, sounds: dict[str, str]) -> set[str]:
    """Add the rows of one transcript file.

    Returns:
        The ids it names.
    """
    path = Path(folder.path, name)
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        rows.reject(str(path), str(path), f"the transcript file cannot be read: {error.strerror or error}")
        return set()
    named = set()
    for number, line in enumerate(lines, 1):
        if line.strip():
            named.add(_utterance(rows, path, number, line, sounds))
    return named


def _utterance(rows: Rows, path: Path, number: int, line: bytes, sounds: dict[str, str]) -> str:
    """Add one line of a transcript file.

    Returns:
        Its id.
    """
    first, _, rest = line.strip().partition(b" ") if b"\t" not in line else line.strip().partition(b"\t")
    utterance = first.decode("utf-8", "backslashreplace")
    place = f"{path}, line {number}"
    sound = path.with_name(sounds[utterance]) if utterance in sounds else None
    if not rest.strip():
        rows.reject(utterance, str(sound or path), f"{place}: expected an id and words, found only: {utterance[:80]}")
    elif sound is None:
        rows.reject(utterance, str(path), f"{place}: no {utterance[:80]}.flac or .wav lies beside the transcript")
    else:
        rows.add(utterance, AudioFile(sound), _decoded(rest), place)
    return utterance


def _decoded(words: bytes) -> str | None:
    try:
        return words.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
