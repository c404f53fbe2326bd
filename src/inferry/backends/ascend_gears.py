"""Gears: the fixed shapes that an om was compiled for. Which one takes a batch, and how the batch fills it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from inferry.core.errors import BackendError
from inferry.core.specs import Array

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gear:
    """One set of shapes of an om.

    Attributes:
        setting: What the setter takes: ``(batch,)``, ``(height, width)``, or all sizes of all inputs; empty if static.
        shapes: Of every input, in the om's order.
    """

    setting: Shape
    shapes: tuple[Shape, ...]

    @property
    def cost(self) -> int:
        """Elements of all inputs."""
        return sum(prod(shape) for shape in self.shapes)


def choose(gears: Sequence[Gear], shapes: Sequence[Shape], growing: Sequence[frozenset[int]]) -> Gear:
    """The smallest gear that takes these inputs.

    Args:
        gears: Of the om; at least one.
        shapes: Of the inputs, in the om's order.
        growing: Axes of each input that may be padded.

    Raises:
        BackendError: No gear takes them.
    """
    fitting = [gear for gear in gears if _fits(gear, shapes, growing)]
    if not fitting:
        available = ", ".join(" ".join(map(str, gear.shapes)) for gear in gears)
        axes = ", ".join(str(sorted(one)) for one in growing)
        raise BackendError(
            f"no shape of this om takes inputs of {' '.join(map(str, shapes))}; it was compiled for {available}; axes "
            f"that may be padded, input by input: {axes}. Compile it for this shape, or batch as its shape plan says"
        )
    return min(fitting, key=lambda gear: gear.cost)


def _fits(gear: Gear, shapes: Sequence[Shape], growing: Sequence[frozenset[int]]) -> bool:
    for have, want, axes in zip(shapes, gear.shapes, growing, strict=True):
        if len(have) != len(want):
            return False
        if any(a != b and not (axis in axes and 0 < a < b) for axis, (a, b) in enumerate(zip(have, want, strict=True))):
            return False
    return len(_batches(gear, shapes, growing)) <= 1


def _batches(gear: Gear, shapes: Sequence[Shape], growing: Sequence[frozenset[int]]) -> set[tuple[int, int]]:
    """Rows given and rows of the gear, of the inputs that have a batch axis: one pair, if they agree."""
    zipped = zip(shapes, gear.shapes, growing, strict=True)
    return {(have[0], want[0]) for have, want, axes in zipped if 0 in axes}


def rows(gear: Gear, shapes: Sequence[Shape], growing: Sequence[frozenset[int]]) -> tuple[int, int] | None:
    """Rows given and rows of the gear; None where no input has a batch axis."""
    return next(iter(_batches(gear, shapes, growing)), None)


def pad(array: Array, shape: Shape) -> Array:
    """The array in the gear's shape: zeros at the ends, as `collate` pads, and the first row again in further rows.

    A row of zeros is nothing that a network was made for; a repeated one is. Padded rows are cut from the outputs.
    """
    if array.shape == shape:
        return np.asarray(array, order="C")
    padded: Array = np.zeros(shape, array.dtype)
    padded[tuple(slice(size) for size in array.shape)] = array
    if array.shape[0] < shape[0]:
        padded[array.shape[0] :] = padded[:1]
    return padded
