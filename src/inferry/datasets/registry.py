"""Opening a data set of any known layout."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferry.core.errors import DatasetError
from inferry.core.samples import Dataset, Rejected, Sample
from inferry.datasets import (
    an4,
    any_of,
    audio_folder,
    file_list,
    image_folder,
    imagenet_val,
    jsonl,
    librispeech,
    manifest_v3,
    vqa_tensors,
    vqa_v2,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay out a data set.

    Attributes:
        kind: Registry key, stands in `Dataset.kind`.
        looks_for: What it consists of, for error messages.
        detect: Whether a path looks like it.
        load: Its rows.
        general: Whether any other layout that matches goes first.
    """

    kind: str
    looks_for: str
    detect: Callable[[Path], bool]
    load: Callable[[Path], Dataset]
    general: bool = False


LAYOUTS: Final[tuple[Layout, ...]] = (
    Layout(librispeech.KIND, librispeech.LOOKS_FOR, librispeech.detect, librispeech.load),
    Layout(an4.KIND, an4.LOOKS_FOR, an4.detect, an4.load),
    Layout(manifest_v3.KIND, manifest_v3.LOOKS_FOR, manifest_v3.detect, manifest_v3.load),
    Layout(jsonl.KIND, jsonl.LOOKS_FOR, jsonl.detect, jsonl.load),
    Layout(file_list.KIND, file_list.LOOKS_FOR, file_list.detect, file_list.load),
    Layout(imagenet_val.KIND, imagenet_val.LOOKS_FOR, imagenet_val.detect, imagenet_val.load),
    Layout(any_of.KIND, any_of.LOOKS_FOR, any_of.detect, any_of.load),
    Layout(vqa_v2.KIND, vqa_v2.LOOKS_FOR, vqa_v2.detect, vqa_v2.load),
    Layout(vqa_v2.REGIONS_KIND, vqa_v2.REGIONS_LOOKS_FOR, vqa_v2.detect_regions, vqa_v2.load_regions),
    Layout(vqa_tensors.KIND, vqa_tensors.LOOKS_FOR, vqa_tensors.detect, vqa_tensors.load),
    Layout(audio_folder.KIND, audio_folder.LOOKS_FOR, audio_folder.detect, audio_folder.load, general=True),
    Layout(
        image_folder.CLASS_KIND,
        image_folder.CLASS_LOOKS_FOR,
        image_folder.detect_classes,
        image_folder.load_classes,
        general=True,
    ),
    Layout(image_folder.KIND, image_folder.LOOKS_FOR, image_folder.detect, image_folder.load, general=True),
)


def open_dataset(path: Path | Sequence[Path], kind: str | None = None) -> Dataset:
    """All samples of a data set, in its own order, with bad entries in their place.

    Sounds and pictures are not opened here: one that is missing or broken shows when it is read.

    Args:
        path: A folder, a manifest, a list, a sound or a picture; or several of the latter.
        kind: One of `LAYOUTS`, None to recognise it.

    Returns:
        At least one sample; ids are unique and printable.

    Raises:
        DatasetError: The path does not exist, the layout is unknown or ambiguous, or there is no sample.
    """
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(each) for each in path]
    try:
        if len(paths) == 1:
            dataset = _layout(paths[0], kind).load(paths[0])
        elif kind in {None, file_list.KIND}:
            dataset = file_list.load_files(paths)
        else:
            raise DatasetError(f"{len(paths)} paths cannot be read as {kind}. Name one path, or files without a kind.")
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise DatasetError(f"{paths[0]} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not any(isinstance(item, Sample) for item in dataset.items):
        raise DatasetError(_no_samples(dataset))
    return dataset


def _layout(path: Path, kind: str | None) -> Layout:
    known = {layout.kind: layout for layout in LAYOUTS}
    if kind is not None and kind not in known:
        raise DatasetError(f"The data set kind {kind} is unknown. Available: {', '.join(known)}.")
    if not path.exists():
        what = "is a link to something that is missing" if path.is_symlink() else "does not exist"
        raise DatasetError(f"{path} {what}. Name a folder, a manifest or a file.")
    return known[kind] if kind is not None else _recognised(path)


def _recognised(path: Path) -> Layout:
    found = [layout for layout in LAYOUTS if not layout.general and layout.detect(path)]
    if len(found) > 1:
        kinds = " and ".join(layout.kind for layout in found)
        raise DatasetError(f"{path} looks like {kinds}. Say which it is (kind), or name a folder within it.")
    found = found or [layout for layout in LAYOUTS if layout.general and layout.detect(path)]
    if not found:
        lines = "\n".join(f"  - {layout.kind}: {layout.looks_for}" for layout in LAYOUTS)
        raise DatasetError(f"{path} is no data set that is known. Looked for:\n{lines}")
    return found[0]


def _no_samples(dataset: Dataset) -> str:
    looks_for = next(layout.looks_for for layout in LAYOUTS if layout.kind == dataset.kind)
    rejected = [item for item in dataset.items if isinstance(item, Rejected)]
    reasons = "".join(f"\n  - {item.reason}" for item in rejected[:5])
    count = f" All {len(rejected)} entries are bad, the first of them:{reasons}" if rejected else ""
    return f"{dataset.path} has no samples. Looked for {looks_for}.{count}"
