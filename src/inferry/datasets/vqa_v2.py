"""Questions about pictures, as VQA v2 has them (visualqa.org), with COCO's pictures or with ready-made regions.

A questions JSON, its annotations JSON if there is one, and in the same folder or at most three levels below either
pictures (``COCO_val2014_000000000071.jpg``) or regions (``….npz`` with ``box_features``, ``box_coordinates`` and
``box_mask`` if need be; or folders of these names with ``….npy``). The last 12 digits of a name are the id of the
picture. Where regions lie there they are meant, as somebody made them for this network; the layout `KIND`, named on
purpose, takes the pictures.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from inferry.core.errors import DatasetError
from inferry.core.samples import Dataset, ImageFile, Question, RegionFile
from inferry.datasets.rows import Rows
from inferry.datasets.vqa_files import (
    QUESTIONS_LOOK_LIKE,
    VqaFiles,
    annotations_file,
    holds_questions,
    questions_file,
    scan,
)
from inferry.datasets.vqa_json import Annotations, Asked, question_id, read_annotations, read_questions

KIND = "vqa-v2"
LOOKS_FOR = f"{QUESTIONS_LOOK_LIKE}, or its folder, with pictures whose names end with the image id"
REGIONS_KIND = "vqa-regions"
REGIONS_LOOKS_FOR = "the same with ready-made regions: .npz files, or box_features/*.npy beside box_coordinates/*.npy"

_Find = Callable[[int], ImageFile | RegionFile]


def detect(path: Path) -> bool:
    """Whether there are questions and no regions; pictures may be missing, so that this is said."""
    return holds_questions(path) and not scan(path).regions


def detect_regions(path: Path) -> bool:
    """Whether there are questions and regions."""
    return holds_questions(path) and bool(scan(path).regions)


def load(path: Path) -> Dataset:
    """All questions in the order of their file, each with its picture and the answers of all people.

    Without an annotations file no question has a reference. Rejected: an entry without id, picture or text, an id used
    twice, a picture that is missing or there twice, and, where there are annotations, a question without answers.

    Raises:
        DatasetError: A JSON file is broken, several may be meant, the annotations are for other questions, or there is
            no picture at all.
    """
    files = scan(path)
    if not files.pictures:
        raise DatasetError(f"{files.root} has no pictures. Looked for {LOOKS_FOR}")
    return _dataset(KIND, path, files, files.picture)


def load_regions(path: Path) -> Dataset:
    """The same with regions instead of pictures; rejected: a question whose regions are missing or there twice.

    Raises:
        DatasetError: As `load`; or there are no regions at all.
    """
    files = scan(path)
    if not files.regions:
        raise DatasetError(f"{files.root} has no regions. Looked for {REGIONS_LOOKS_FOR}")
    return _dataset(REGIONS_KIND, path, files, files.region_file)


def _dataset(kind: str, path: Path, files: VqaFiles, find: _Find) -> Dataset:
    source = questions_file(path, files)
    entries = read_questions(source)
    annotations = _annotations(source, files, entries)
    rows = Rows()
    for folder, problem in files.problems:
        rows.reject(folder, folder, f"the folder cannot be read: {problem}")
    find = cache(find)  # several questions are about one picture
    for index, entry in enumerate(entries):
        _add(rows, entry, annotations, find, (source, index))
    if annotations is not None:
        name = annotations.path.name
        for index, reason in annotations.bad:
            place = f"{name}, annotations[{index}]"
            rows.reject(f"{name}:annotations[{index}]", str(annotations.path), f"{place}: {reason}")
    return rows.dataset(kind, path)


def _annotations(questions: Path, files: VqaFiles, entries: list[object]) -> Annotations | None:
    path = annotations_file(questions, files)
    if path is None:
        return None
    annotations = read_annotations(path)
    if entries and not any(_name(entry) in annotations.by_question for entry in entries):
        raise DatasetError(
            f"{path} answers none of the {len(entries)} questions of {questions}. Put their own annotations beside "
            "them, or move these away to ask without references"
        )
    return annotations


def _add(rows: Rows, entry: object, annotations: Annotations | None, find: _Find, place: tuple[Path, int]) -> None:
    path, index = place
    where = f"{path.name}, questions[{index}]"
    try:
        asked = Asked.from_json(entry)
        reference = None if annotations is None else annotations.answers(asked)
        source = find(asked.image)
    except ValueError as error:
        rows.reject(_name(entry) or f"{path.name}:questions[{index}]", str(path), f"{where}: {error}")
        return
    if isinstance(source, RegionFile):
        rows.add(asked.id, Question(regions=source, text=asked.text), reference, where)
    else:
        rows.add(asked.id, Question(image=source, text=asked.text), reference, where)


def _name(entry: object) -> str:
    try:
        return question_id(entry)
    except ValueError:
        return ""
