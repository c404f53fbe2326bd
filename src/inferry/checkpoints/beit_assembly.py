"""From BEiT's tensors under unilm's names to a checkpoint: the part that both file layouts share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from inferry.checkpoints.beit_positions import GREATEST_GRID, resize_embedding, resize_table
from inferry.checkpoints.beit_table import INDEX, TABLE, beit_table, config_of, indices_of, split_indices
from inferry.checkpoints.tensor_checks import problems_of, to_float32
from inferry.core.errors import CheckpointError, UsageError
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

INCEPTION: Final = (0.5, 0.5, 0.5)
"""Mean and standard deviation of a channel that the original uses unless it is told otherwise."""


@dataclass(frozen=True)
class Normalisation:
    """What is done to pixels in 0 to 1, by channel.

    Attributes:
        mean: Taken away first.
        std: What it is then divided by.
    """

    mean: tuple[float, ...] = INCEPTION
    std: tuple[float, ...] = INCEPTION


@dataclass(frozen=True)
class Parts:
    """What a file layout yields.

    Attributes:
        path: The file or folder.
        sha256: Of the weight file.
        tensors: Under the names of unilm.
        labels: Class names in the head's order, None if unknown.
        normalisation: Of the pixels.
        notes: For the user.
        problems: All found so far.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Array]
    labels: Sequence[str] | None
    normalisation: Normalisation
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def assemble(parts: Parts, fix: str) -> Checkpoint:
    """The checkpoint, checked completely.

    Returns:
        Tensors float32 under unilm's names; beside every relative position table its int64 index buffer.

    Raises:
        CheckpointError: Lists everything that is missing, contradictory, not supported or not finite; says `fix`.
    """
    config, found, assumed = config_of(parts.tensors)
    tensors, wrong = split_indices(to_float32(parts.tensors))
    problems = [*parts.problems, *found, *wrong]
    if not found:
        problems += problems_of(tensors, beit_table(config))
    if problems:
        raise CheckpointError(parts.path, problems, fix)
    labels, notes = _labels(parts.labels, config["num_classes"])
    return Checkpoint(
        family="beit",
        path=parts.path,
        sha256=parts.sha256,
        tensors=tensors | indices_of(tensors, config["img_size"] // config["patch_size"]),
        config=config,
        processor=processor_of(config["img_size"], parts.normalisation),
        files={"labels.txt": "".join(f"{label}\n" for label in labels)},
        notes=(*parts.notes, *assumed, *notes),
    )


def processor_of(size: int, normalisation: Normalisation) -> dict[str, Any]:
    """The original's ``datasets.build_transform(is_train=False)`` for this input size, and the decoder."""
    return {
        "input": {
            "kind": "image",
            "size": size,
            "resize": int(size / (224 / 256)) if size < 384 else size,
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
            "interpolation": "bicubic",
        },
        "decode": {"kind": "classification"},
    }


def with_image_size(checkpoint: Checkpoint, size: int) -> Checkpoint:
    """The same classifier for another input size, its positions interpolated as the original does for fine-tuning.

    Args:
        checkpoint: Of this family.
        size: Pixels along a side.

    Raises:
        UsageError: It is no multiple of the patch size, or out of range.
    """
    patch = checkpoint.config["patch_size"]
    if size % patch or not patch <= size <= patch * GREATEST_GRID:
        raise UsageError(
            f"the input size is {size}; expected a multiple of the patch size {patch} up to {patch * GREATEST_GRID}"
        )
    if size == checkpoint.config["img_size"]:
        return checkpoint
    grid = size // patch
    tensors = {name: array for name, array in checkpoint.tensors.items() if not name.endswith(f".{INDEX}")}
    for name, array in tensors.items():
        if name.endswith(f".{TABLE}"):
            tensors[name] = resize_table(array, grid)
        elif name == "pos_embed":
            tensors[name] = resize_embedding(array, grid)
    pixels = checkpoint.processor["input"]
    note = f"positions were interpolated from input size {checkpoint.config['img_size']} to {size}"
    return replace(
        checkpoint,
        tensors=tensors | indices_of(tensors, grid),
        config={**checkpoint.config, "img_size": size},
        processor=processor_of(size, Normalisation(tuple(pixels["mean"]), tuple(pixels["std"]))),
        notes=(*checkpoint.notes, note),
    )


def _labels(known: Sequence[str] | None, classes: int) -> tuple[Sequence[str], list[str]]:
    if known is not None and len(known) == classes:
        return known, []
    reason = "the checkpoint has none" if known is None else f"there are {len(known)} names for {classes} classes"
    return [f"class {index}" for index in range(classes)], [f"classes are named by their numbers: {reason}"]
