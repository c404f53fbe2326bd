"""Any folder of pictures, and class folders: one folder a class, in the order of their names."""

from pathlib import Path

from inferry.core.errors import DatasetError
from inferry.core.samples import Dataset, ImageFile
from inferry.datasets.rows import Rows, class_reference, file_ids, is_image, relative_to, walk

KIND = "image-folder"
LOOKS_FOR = "a folder with pictures (.jpg .png …)"
CLASS_KIND = "class-folders"
CLASS_LOOKS_FOR = "a folder with one folder of pictures for each of at least two classes, and no other pictures"


def detect(path: Path) -> bool:
    """Whether a picture lies somewhere in the folder."""
    return path.is_dir() and any(is_image(name) for folder in walk(path) for name in folder.files)


def load(path: Path) -> Dataset:
    """All pictures without references, sorted by folder and name; a folder that cannot be read is rejected."""
    rows = Rows()
    names = _pictures(rows, path, path)
    for key, name in zip(file_ids(names, short=False), names, strict=True):
        rows.add(key, ImageFile(path / name), None)
    return rows.dataset(KIND, path)


def detect_classes(path: Path) -> bool:
    """Whether all pictures lie one level down, in at least two folders."""
    if not path.is_dir():
        return False
    levels: dict[int, int] = {}
    for folder in walk(path):
        if any(is_image(name) for name in folder.files):
            below = relative_to(folder.path, path)
            level = 0 if below == "." else below.count("/") + 1
            levels[level] = levels.get(level, 0) + 1
    return levels.keys() == {1} and levels[1] > 1


def load_classes(path: Path) -> Dataset:
    """All pictures with the place of their class folder among all class folders as reference, from 0 on.

    Folders are sorted by name as Python sorts text (upper case first), and every folder counts, an empty one as well:
    this is torchvision's `ImageFolder`, by which ImageNet's folders ``n01440764`` … have the classes 0 to 999. A part
    of the classes gets other numbers than the whole.

    Raises:
        DatasetError: There are no folders in it.
    """
    classes = _classes(path)
    if not classes:
        raise DatasetError(f"{path} has no folders in it. Expected {CLASS_LOOKS_FOR}")
    rows = Rows()
    found = [(name, number) for number, folder in enumerate(classes) for name in _pictures(rows, path / folder, path)]
    for key, (name, number) in zip(file_ids([name for name, _ in found], short=False), found, strict=True):
        rows.add(key, ImageFile(path / name), class_reference([number]))
    return rows.dataset(CLASS_KIND, path)


def _classes(path: Path) -> tuple[str, ...]:
    return next(walk(path, 0)).folders


def _pictures(rows: Rows, folder: Path, root: Path) -> list[str]:
    """Pictures below a folder by their path below the root; folders that cannot be read are rejected."""
    found = []
    for each in walk(folder):
        below = relative_to(each.path, root)
        prefix = "" if below == "." else f"{below}/"
        if each.problem:
            rows.reject(each.path, each.path, f"the folder cannot be read: {each.problem}")
        found += [prefix + name for name in each.files if is_image(name)]
    return found
