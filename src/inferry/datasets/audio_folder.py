"""Any folder of sounds, searched to the bottom; ``name.txt`` beside ``name.wav`` is its reference."""

from pathlib import Path

from inferry.core.samples import AudioFile, Dataset
from inferry.datasets.rows import AUDIO_SUFFIXES, Rows, file_ids, is_audio, read_sidecar, relative_to, walk

KIND = "audio-folder"
LOOKS_FOR = f"a folder with sounds ({' '.join(AUDIO_SUFFIXES)})"


def detect(path: Path) -> bool:
    """Whether a sound lies somewhere in the folder."""
    return path.is_dir() and any(is_audio(name) for folder in walk(path) for name in folder.files)


def load(path: Path) -> Dataset:
    """All sounds, sorted by folder and name.

    The id is the path below the folder without suffix, or with it where two sounds differ only there. A folder that
    cannot be read is rejected in its place.
    """
    found: list[tuple[str, bool]] = []
    rows = Rows()
    for folder in walk(path):
        below = relative_to(folder.path, path)
        prefix = "" if below == "." else f"{below}/"
        if folder.problem:
            rows.reject(folder.path, folder.path, f"the folder cannot be read: {folder.problem}")
        names = set(folder.files)
        found += [(prefix + name, f"{name.rpartition('.')[0]}.txt" in names) for name in folder.files if is_audio(name)]
    ids = file_ids([name for name, _ in found], short=False)
    for key, (name, has_text) in zip(ids, found, strict=True):
        sound = path / name
        rows.add(key, AudioFile(sound), read_sidecar(sound.with_suffix(".txt")) if has_text else None)
    return rows.dataset(KIND, path)
