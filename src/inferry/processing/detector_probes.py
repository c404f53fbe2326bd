"""Pictures on which an exported region detector is compared with the original: drawn, small and seeded."""

from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from inferry.core.specs import Array
from inferry.processing.detector_image import prepare

_SIZES: Final = ((160, 128), (150, 100), (256, 320))
"""Width and height. The second is padded to multiples of 32; the third has room for larger regions, which come from
other levels of the pyramid."""

_SHAPES: Final = 4


def detector_probes() -> list[dict[str, Array]]:
    """Inputs of the detector's graph, as it takes them, not enlarged: the original runs slowly, in float64."""
    random = np.random.default_rng(0)
    pictures = [prepare(_drawn(*size, random), min(size), max(size)) for size in _SIZES]
    return [{"image": picture.image, "image_size": picture.image_size} for picture in pictures]


def _drawn(width: int, height: int, random: np.random.Generator) -> Array:
    """Plain shapes on a wavy ground, uint8 (height, width, 3).

    Noise lies over all of it: where a picture is flat, many places have one score, and rounding decides among them.
    """
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows * down + columns * across) for down, across in random.uniform(0.01, 0.1, (3, 2))]
    picture = Image.fromarray((127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8))
    pencil = ImageDraw.Draw(picture)
    for index in range(_SHAPES):
        side = random.uniform(0.25, 0.6) * min(width, height)
        left, top = random.uniform(0, width - side), random.uniform(0, height - side)
        draw = pencil.ellipse if index % 2 else pencil.rectangle
        red, green, blue = random.integers(0, 256, 3).tolist()
        draw((left, top, left + side, top + side * random.uniform(0.6, 1)), fill=(red, green, blue))
    noisy = np.asarray(picture) + random.normal(0, 12, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)
