"""CMU AN4, as deepspeech.pytorch arranges it or as CMU ships it.

deepspeech.pytorch: ``…/wav/name.wav`` with ``…/txt/name.txt`` (a ``flac`` or ``sph`` folder may stand for ``wav``).
CMU: ``wav/…/name.sph`` with ``etc/*.transcription``, lines ``WORDS (name)``. A name that occurs in several of these
folders is one recording in several formats: the first of wav, flac, sph is taken.
Sources: deepspeech_pytorch/loader/data_loader.py (`_parse_input`), data/an4.py (`_process_transcript`).
"""

import os
import re
from pathlib import Path

from inferry.core.errors import DatasetError
from inferry.core.samples import AudioFile, Dataset
from inferry.datasets.rows import Rows, file_ids, read_one_line, read_text, relative_to, walk

KIND = "an4"
LOOKS_FOR = "a folder with wav/, flac/ or sph/ (.wav .flac .sph) beside txt/, or beside etc/*.transcription"
_SOUNDS = ("wav", "flac", "sph")
_DEPTH = 3
_NAME = re.compile(r"\(([^()]+)\)\s*$")


def clean_an4_transcript(line: str) -> str:
    """The words of one line of an AN4 transcription file, exactly as `_process_transcript` of data/an4.py cleans it.

    The original's ``strip("<s>")`` takes the characters ``<``, ``s`` and ``>`` off both ends, not the tag: a text in
    lower case loses an s there (``stop it (x)`` becomes ``TOP IT``). Text in upper case, as in AN4, is safe. All after
    the first ``(`` or ``<`` is dropped. Kept, because the published error rates were measured so.
    """
    return line.split("(", 1)[0].strip("<s>").split("<", 1)[0].strip().upper()


def detect(path: Path) -> bool:
    """Whether sounds and transcripts lie side by side, here or at most three levels down."""
    return path.is_dir() and bool(_bases(path))


def load(path: Path) -> Dataset:
    """All recordings, sorted; then transcripts that have no recording, rejected.

    A transcription file counts for the latter only if it names at least one recording (AN4 has one for training and one
    for the test). A recording without transcript is kept without a reference.

    Raises:
        DatasetError: The folder is not laid out so.
    """
    bases = _bases(path)
    if not bases:
        raise DatasetError(f"{path} is not laid out like AN4. Looked for {LOOKS_FOR}")
    rows = Rows()
    found = [(base, name, sound) for base in bases for name, sound in _recordings(rows, base).items()]
    ids = file_ids([relative_to(str(base / f"{name}.wav"), path) for base, name, _ in found], short=True)
    listed = {base: _transcriptions(rows, base) for base in bases}
    for key, (base, name, sound) in zip(ids, found, strict=True):
        rows.add(key, AudioFile(sound), _reference(base, name, listed[base]))
    for base in bases:
        _without_recording(rows, base, {name for owner, name, _ in found if owner == base}, listed[base])
    return rows.dataset(KIND, path)


def _bases(path: Path) -> list[Path]:
    """Folders that hold a folder of sounds and one of transcripts."""
    return [
        Path(folder.path)
        for folder in walk(path, _DEPTH)
        if set(_SOUNDS) & set(folder.folders)
        and ("txt" in folder.folders or ("etc" in folder.folders and any(_etc(Path(folder.path)))))
    ]


def _etc(base: Path) -> list[Path]:
    return sorted((base / "etc").glob("*.transcription"))


def _recordings(rows: Rows, base: Path) -> dict[str, Path]:
    """Sounds by their path below wav/, flac/ or sph/ without suffix; a folder that cannot be read is rejected."""
    found: dict[str, Path] = {}
    for kind in _SOUNDS:
        for folder in walk(base / kind) if (base / kind).is_dir() else ():
            if folder.problem:
                rows.reject(folder.path, folder.path, f"the folder cannot be read: {folder.problem}")
            below = relative_to(folder.path, base / kind)
            for name in folder.files:
                stem, suffix = os.path.splitext(name)  # noqa: PTH122 -- a Path for each file is slow
                if suffix.lower() in {".wav", ".flac", ".sph"}:
                    found.setdefault(stem if below == "." else f"{below}/{stem}", Path(folder.path, name))
    return dict(sorted(found.items()))


def _transcriptions(rows: Rows, base: Path) -> dict[Path, dict[str, str]]:
    """Text by the recording's name, for each etc/*.transcription; bad lines are rejected."""
    tables: dict[Path, dict[str, str]] = {}
    for path in _etc(base):
        text = read_text(path)
        if text is None:
            rows.reject(str(path), str(path), "the transcription file cannot be read as UTF-8 text")
            continue
        table = tables.setdefault(path, {})
        for number, line in enumerate(text.split("\n"), 1):
            name = _NAME.search(line)
            if name:
                table.setdefault(name[1].strip(), clean_an4_transcript(line))
            elif line.strip():
                place = f"{path.name}:{number}"
                rows.reject(place, str(path), f"{path.name}, line {number}: expected WORDS (name), found: {line[:80]}")
    return tables


def _reference(base: Path, name: str, listed: dict[Path, dict[str, str]]) -> str | None:
    """The words of txt/name.txt, else of the first transcription file that has the name."""
    text = read_one_line(base / "txt" / f"{name}.txt")
    if text is not None:
        return text
    stem = name.rpartition("/")[2]
    return next((table[stem] for table in listed.values() if stem in table), None)


def _without_recording(rows: Rows, base: Path, names: set[str], listed: dict[Path, dict[str, str]]) -> None:
    """Reject transcripts whose recording is missing."""
    stems = {name.rpartition("/")[2] for name in names}
    for folder in walk(base / "txt") if (base / "txt").is_dir() else ():
        below = relative_to(folder.path, base / "txt")
        for file in folder.files:
            name = file.removesuffix(".txt") if below == "." else f"{below}/{file.removesuffix('.txt')}"
            if file.endswith(".txt") and name not in names:
                path = str(Path(folder.path, file))
                rows.reject(name, path, f"this transcript has no recording: no {name} in {', '.join(_SOUNDS)}")
    for source, table in listed.items():
        for stem in table if stems & table.keys() else ():
            if stem not in stems:
                rows.reject(stem, str(source), f"{source.name} names a recording that is missing: {stem}")
