"""Draws the demo's pictures: one of ten shapes, anywhere in the middle, on a ground that distracts from it."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SCALE = 3
"""Masks are drawn so many times larger, for smooth edges."""

CONTRAST = 45
"""How much brighter than its ground a shape is at least, so that it is still there in grey."""

TILT = 0.45
"""Greatest angle in radians by which a shape leans to a side."""

ENCODINGS = {"jpeg": 0.66, "grey jpeg": 0.1, "png": 0.1, "grey png": 0.04, "palette png": 0.05, "alpha png": 0.05}
"""Shares of the ways in which pictures are stored."""

RECTANGLE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float)


def polygon(corners: int) -> np.ndarray:
    """Corners of a regular polygon on the unit circle, the first at the top: (corners, 2)."""
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def heart() -> np.ndarray:
    """The curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, made to fit the unit circle."""
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y - 2.5], axis=1) / 17


CIRCLE = polygon(64)
ARROW = np.array([(-1, -0.24), (0, -0.24), (0, -0.7), (1, 0), (0, 0.7), (0, 0.24), (-1, 0.24)])
CROSS = np.array([(1, 0.3), (0.3, 0.3), (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3)])
SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "arrow": (ARROW,),
    "circle": (CIRCLE,),
    "crescent": (CIRCLE, CIRCLE * 0.85 + (0.45, 0)),
    "cross": (np.concatenate([CROSS, -CROSS]),),
    "heart": (heart(),),
    "hexagon": (polygon(6),),
    "ring": (CIRCLE, CIRCLE * 0.6),
    "square": (RECTANGLE * np.sqrt(0.5),),
    "star": (polygon(10) * np.where(np.arange(10) % 2, 0.45, 1)[:, None],),
    "triangle": (polygon(3),),
}
"""Outline of every class in the unit circle, and of the hole in it where there is one."""

CLASSES = tuple(SHAPES)


def draw(name: str, rng: np.random.Generator) -> Image.Image:
    """A picture of one shape, 84 to 200 pixels along a side.

    Args:
        name: One of `CLASSES`.
        rng: Decides on everything else: sizes, place, tilt, stretch, colours, what lies behind and before it.

    Returns:
        RGB.
    """
    width, height = (int(side) for side in rng.integers(84, 200) * rng.uniform(0.85, 1, 2))
    first, second, colour = colours(rng)
    picture = ground(width, height, first, second, rng)
    shorter = min(width, height)
    centre = np.array([width, height]) / 2 + rng.uniform(-0.12, 0.12, 2) * shorter
    radius = rng.uniform(0.2, 0.36) * shorter
    clutter(picture, int(rng.integers(2, 7)), rng)
    stretch = rng.uniform(0.85, 1.18)
    placed = place(SHAPES[name], centre, (radius * stretch, radius / stretch), rng.uniform(-TILT, TILT))
    paste(picture, tuple(colour), placed)
    clutter(picture, int(rng.integers(0, 3)), rng)
    if rng.random() < 0.5:
        occlude(picture, centre, radius, rng)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))


def encode(picture: Image.Image, rng: np.random.Generator) -> tuple[str, bytes]:
    """The content of a picture file, in one of the ways of `ENCODINGS`; JPEG files also get a camera's noise.

    Returns:
        The suffix and the bytes.
    """
    kind = str(rng.choice([*ENCODINGS], p=[*ENCODINGS.values()]))
    file = io.BytesIO()
    if kind.startswith("grey"):
        picture = picture.convert("L")
    if kind.endswith("jpeg"):
        pixels = np.asarray(picture)
        noisy = pixels + rng.normal(0, rng.uniform(0, 15), pixels.shape)
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(file, "JPEG", quality=int(rng.integers(50, 85)))
        return ".jpg", file.getvalue()
    if kind == "palette png":
        picture = picture.quantize(64)
    if kind == "alpha png":
        picture.putalpha(Image.radial_gradient("L").resize(picture.size).point(lambda value: 255 - value // 2))
    picture.save(file, "PNG", optimize=True)
    return ".png", file.getvalue()


def pictures(seed: int, count: int) -> Iterator[tuple[str, str, bytes]]:
    """Picture files with the classes in turn.

    Args:
        seed: The same seed gives the same files.
        count: How many.

    Yields:
        The class, the suffix and the content of each file.
    """
    for index, rng in enumerate(np.random.default_rng(seed).spawn(count)):
        name = CLASSES[index % len(CLASSES)]
        yield name, *encode(draw(name, rng), rng)


def colours(rng: np.random.Generator) -> np.ndarray:
    """Two colours of the ground and a brighter one of the shape: (3, 3) integers."""
    while True:
        chosen = rng.integers(0, 256, (3, 3))
        first, second, shape = chosen @ (0.299, 0.587, 0.114)
        if shape > max(first, second) + CONTRAST:
            return chosen


def ground(width: int, height: int, first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A gradient from one colour to the other in any direction, half of the time with faint waves."""
    rows, columns = np.mgrid[:height, :width] / max(width, height) - 0.5
    angle, wave_angle = rng.uniform(0, 2 * np.pi, 2)
    along = np.clip(0.5 + rows * np.sin(angle) + columns * np.cos(angle), 0, 1)[..., None]
    phase = (rows * np.sin(wave_angle) + columns * np.cos(wave_angle)) * rng.uniform(10, 90)
    waves = np.sin(phase)[..., None] * (rng.uniform(3, 12) if rng.random() < 0.5 else 0)
    return Image.fromarray((first + along * (second - first) + waves).clip(0, 255).astype(np.uint8))


def clutter(picture: Image.Image, count: int, rng: np.random.Generator) -> None:
    """Thin lines and small dots of any colour, anywhere."""
    longer = max(picture.size)
    for _ in range(count):
        centre, colour = rng.uniform(0, picture.size), tuple(rng.integers(0, 256, 3))
        if rng.random() < 0.6:
            sizes = (rng.uniform(0.2, 0.8) * longer, rng.uniform(0.5, 1.5))
            paste(picture, colour, place((RECTANGLE,), centre, sizes, rng.uniform(0, np.pi)))
        else:
            paste(picture, colour, place((CIRCLE,), centre, rng.uniform(0.01, 0.04, 2) * longer, 0))


def occlude(picture: Image.Image, centre: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    """A bar of any colour that hides a part of the shape."""
    angle = rng.uniform(0, 2 * np.pi)
    middle = centre + rng.uniform(0.2, 0.9) * radius * np.array([-np.sin(angle), np.cos(angle)])
    sizes = (rng.uniform(1, 4) * radius, rng.uniform(0.08, 0.22) * radius)
    paste(picture, tuple(rng.integers(0, 256, 3)), place((RECTANGLE,), middle, sizes, angle))


def place(
    outlines: tuple[np.ndarray, ...], centre: np.ndarray, sizes: tuple[float, float] | np.ndarray, angle: float
) -> list[np.ndarray]:
    """Outlines in pixels: stretched along their axes, rotated, and moved."""
    rotation = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return [points * sizes @ rotation + centre for points in outlines]


def paste(picture: Image.Image, colour: tuple[int, ...], outlines: list[np.ndarray]) -> None:
    """Fills the first outline with a colour, but for the second, which is a hole."""
    mask = Image.new("L", (picture.width * SCALE, picture.height * SCALE))
    for points, value in zip(outlines, (255, 0), strict=False):
        ImageDraw.Draw(mask).polygon([tuple(point) for point in points * SCALE], fill=value)
    picture.paste(tuple(int(part) for part in colour), mask=mask.reduce(SCALE))
