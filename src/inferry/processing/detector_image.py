"""Pictures for the region detector: normalised, resized and padded as AllenNLP's ``TorchImageLoader`` does.

Source: allennlp ``data/image_loader.py``. The pixels are divided by 256, not by 255, and resized after they were
normalised, bilinearly and without a low-pass filter (``torch.nn.functional.interpolate``).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferry.core.errors import SampleError
from inferry.core.specs import Array

SHORT_SIDE: Final = 800
LONG_SIDE: Final = 1333
DIVISOR: Final = 32
_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DetectorImage:
    """A picture as the detector's graph reads it.

    Attributes:
        image: (1, 3, height, width) float32, zero padded on the right and below to multiples of 32.
        image_size: (2,) int64: height and width without the padding.
    """

    image: Array
    image_size: Array


def prepare(pixels: Array, short_side: int = SHORT_SIDE, long_side: int = LONG_SIDE) -> DetectorImage:
    """The detector's inputs for one picture.

    Args:
        pixels: (height, width, 3) uint8, red green blue; (height, width) is grey.
        short_side: What the shorter side becomes.
        long_side: The most that the longer side may become; the shorter one is then smaller than `short_side`.

    Raises:
        SampleError: The array is no picture, or so long and thin that nothing of it would remain.
    """
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)) or not pixels.size:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise SampleError("process", f"the picture is {found}, expected uint8 [height, width, 3]")
    height, width = resized_size(pixels.shape[0], pixels.shape[1], short_side, long_side)
    if not min(height, width):
        raise SampleError("process", f"the picture has {pixels.shape[1]}x{pixels.shape[0]} pixels, too long and thin")
    values = pixels.astype(np.float32)[..., None] if grey else pixels.astype(np.float32)
    values = (values / np.float32(256) - _MEAN) / _DEVIATION
    padded = np.zeros((1, 3, _padded(height), _padded(width)), np.float32)
    padded[0, :, :height, :width] = resize_bilinear(values.transpose(2, 0, 1), height, width)
    return DetectorImage(padded, np.array([height, width], np.int64))


def resized_size(height: int, width: int, short_side: int = SHORT_SIDE, long_side: int = LONG_SIDE) -> tuple[int, int]:
    """Height and width after resizing, rounded down in double precision as ``interpolate`` does."""
    scale = short_side / min(height, width)
    if max(height, width) * scale > long_side:
        scale = long_side / max(height, width)
    return math.floor(float(height) * scale), math.floor(float(width) * scale)


def resize_bilinear(planes: Array, height: int, width: int) -> Array:
    """``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`` to a given size.

    Args:
        planes: (channels, height, width) float32.
        height: Of the result.
        width: Of the result.

    Returns:
        (channels, height, width) float32.
    """
    columns = _lines(planes.shape[2], width)
    rows = _lines(planes.shape[1], height)
    across = planes[:, :, columns.low] * (1 - columns.share) + planes[:, :, columns.high] * columns.share
    share = rows.share[:, None]
    resized: Array = across[:, rows.low] * (1 - share) + across[:, rows.high] * share
    return resized


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    low: Array
    high: Array
    share: Array


def _lines(size: int, size_out: int) -> _Lines:
    """Which two lines each new line lies between, and how much of the second one it takes.

    The scale is float32, and its product is rounded once with the difference, as torch's fused operation does it.
    """
    scale = np.float32(size) / np.float32(size_out)
    places = (np.arange(size_out) + 0.5) * np.float64(scale) - 0.5
    places = np.maximum(places.astype(np.float32), np.float32(0))
    low = np.minimum(places.astype(np.int64), size - 1)
    share = np.minimum(places - low.astype(np.float32), 1).astype(np.float32)
    return _Lines(low, np.minimum(low + 1, size - 1), share)


def _padded(size: int) -> int:
    return -(-size // DIVISOR) * DIVISOR
