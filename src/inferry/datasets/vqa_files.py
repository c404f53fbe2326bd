"""Where the parts of a VQA v2 data set lie: questions, annotations, pictures and ready-made regions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inferry.core.errors import DatasetError
from inferry.core.samples import ImageFile, RegionFile
from inferry.datasets.rows import Folder, is_image, walk

QUESTIONS_LOOK_LIKE: Final = "a JSON file with questions in its name (v2_OpenEnded_mscoco_val2014_questions.json)"
FEATURES, COORDINATES, MASK, TOKENS = "box_features", "box_coordinates", "box_mask", "token_ids"
_DEPTH: Final = 3
_HEAD: Final = 1 << 16
_IMAGE_ID = re.compile(r"[0-9]{12}\Z|\A[0-9]{1,11}\Z")
_KINDS_OF_TASK = re.compile(r"openended_|multiplechoice_|questions?|annotations?")


@dataclass(frozen=True, slots=True)
class VqaFiles:
    """What lies in a folder and at most three levels below.

    Attributes:
        root: The folder.
        questions: Files with questions.
        annotations: Files with annotations.
        pictures: Paths by image id; more than one where pictures share it.
        regions: Likewise: .npz files, and .npy files in folders ``box_features``.
        beside: Names of the files in each folder ``box_coordinates`` and ``box_mask``, by its path.
        problems: Folders that could not be listed, with the reason.
    """

    root: Path
    questions: list[Path] = field(default_factory=list)
    annotations: list[Path] = field(default_factory=list)
    pictures: dict[int, list[str]] = field(default_factory=dict)
    regions: dict[int, list[str]] = field(default_factory=dict)
    beside: dict[str, frozenset[str]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def picture(self, image: int) -> ImageFile:
        """The picture with an id.

        Raises:
            ValueError: There is none, or more than one.
        """
        return ImageFile(Path(_only(self.pictures, image, "picture", self.root)))

    def region_file(self, image: int) -> RegionFile:
        """The ready-made regions of the picture with an id.

        Raises:
            ValueError: There are none, or more than once, or an array is missing.
        """
        features = Path(_only(self.regions, image, "region file", self.root))
        if features.suffix.lower() == ".npz":
            return RegionFile(features, features, features)
        folder = features.parent.parent
        masks = str(folder / MASK) in self.beside
        for name in (COORDINATES, MASK) if masks else (COORDINATES,):
            if features.name not in self.beside.get(str(folder / name), ()):
                raise ValueError(f"{features} has no {name}/{features.name} beside it")
        return RegionFile(
            features, folder / COORDINATES / features.name, folder / MASK / features.name if masks else None
        )


def scan(path: Path) -> VqaFiles:
    """All parts of a data set.

    Args:
        path: The folder of all, or the questions file. For a file its folder is searched, or the folder above where
            that is called ``Questions``, as visualqa.org's own code expects it.
    """
    root = path
    if not path.is_dir():
        root = path.parent.parent if path.parent.name.lower() == "questions" else path.parent
    files = VqaFiles(root)
    tensors = set()
    for folder in walk(root, _DEPTH):
        if TOKENS in folder.folders:  # arrays that were made for the network: their names are no image ids
            tensors.add(Path(folder.path))
        _sort(folder, files, is_tensors=Path(folder.path).parent in tensors)
    return files


def holds_questions(path: Path) -> bool:
    """Whether this is a questions file, or a folder with one in it or at most three levels below."""
    if path.is_dir():
        return any(_is_list(folder.path, name, "questions") for folder in walk(path, _DEPTH) for name in folder.files)
    by_name = _is_list(str(path.parent), path.name, "questions")
    return by_name or (path.suffix.lower() == ".json" and b'"questions"' in _head(path))


def questions_file(path: Path, files: VqaFiles) -> Path:
    """The file whose questions are meant.

    Raises:
        DatasetError: The folder has none, or more than one.
    """
    if not path.is_dir():
        return path
    if not files.questions:
        raise DatasetError(f"{path} has no questions. Looked for {QUESTIONS_LOOK_LIKE}")
    if len(files.questions) > 1:
        raise DatasetError(f"{path} has {_listed(files.questions, 'questions files')}. Name the one to use")
    return files.questions[0]


def annotations_file(questions: Path, files: VqaFiles) -> Path | None:
    """The annotations of a questions file; None where there are none.

    They have the same name but for ``questions`` and ``OpenEnded``. Failing that, the only annotations that belong to
    no other questions file are taken.

    Raises:
        DatasetError: Several may be meant.
    """
    others = {_pair(other) for other in files.questions if other != questions}
    found = [path for path in files.annotations if _pair(path) == _pair(questions)]
    found = found or [path for path in files.annotations if _pair(path) not in others]
    if len(found) > 1:
        raise DatasetError(
            f"{questions} may belong to {_listed(found, 'annotations files')}. Give the right one the name of the "
            "questions file, with annotations for questions, or move the others away"
        )
    return found[0] if found else None


def _sort(folder: Folder, files: VqaFiles, *, is_tensors: bool) -> None:
    """Take down what lies in one folder. No file is touched but those with questions or annotations in their name."""
    path = Path(folder.path)
    if folder.problem:
        files.problems.append((folder.path, folder.problem))
    if path.name in {COORDINATES, MASK}:
        files.beside[str(path)] = frozenset(folder.files)
    for name in folder.files:
        lower = name.lower()
        if is_image(name):
            _add(files.pictures, folder.path, name)
        elif lower.endswith(".npz") or (path.name == FEATURES and not is_tensors and lower.endswith(".npy")):
            _add(files.regions, folder.path, name)
        elif _is_list(folder.path, name, "questions"):
            files.questions.append(path / name)
        elif _is_list(folder.path, name, "annotations"):
            files.annotations.append(path / name)


def _add(found: dict[int, list[str]], folder: str, file: str) -> None:
    """Take down a file under its image id: the last 12 digits of its stem, or a stem that is a shorter number."""
    number = _IMAGE_ID.search(file.rpartition(".")[0])
    if number:
        found.setdefault(int(number[0]), []).append(f"{folder}/{file}")


def _is_list(folder: str, name: str, key: str) -> bool:
    """Whether a file is one of questions or annotations.

    By name and content; an official name is enough, so that a broken file is named and not passed over.
    """
    lower = name.lower()
    if not lower.endswith(".json") or key[:-1] not in lower:
        return False
    return "mscoco" in lower or f'"{key}"'.encode() in _head(Path(folder, name))


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _only(found: dict[int, list[str]], image: int, what: str, root: Path) -> str:
    paths = found.get(image, [])
    if not paths:
        raise ValueError(f"no {what} below {root} has the image id {image:012} at the end of its name")
    if len(paths) > 1:
        raise ValueError(f"{len(paths)} {what}s have the image id {image:012}: {' and '.join(paths[:2])}; keep one")
    return paths[0]


def _listed(paths: Sequence[Path], what: str) -> str:
    return f"{len(paths)} {what}: {', '.join(map(str, paths[:5]))}{' …' if len(paths) > 5 else ''}"


def _pair(path: Path) -> str:
    """What the names of questions and their annotations have in common."""
    return _KINDS_OF_TASK.sub("", path.name.lower())
