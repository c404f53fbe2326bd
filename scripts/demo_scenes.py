"""Scenes for the demo of visual question answering: one to four coloured shapes on a plain, noisy background."""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (210, 35, 40),
    "green": (35, 160, 65),
    "blue": (40, 85, 215),
    "yellow": (240, 220, 50),
    "orange": (245, 140, 25),
    "purple": (140, 60, 180),
}
OVERSAMPLING = 4
"""Outlines are drawn at this many times the size, which smooths their edges."""

_SIDES = (128, 176)
_RADII = (15, 30)
_MARGIN = 4
_TRIES = 60
_QUALITY = 88


@dataclass(frozen=True)
class Shape:
    """One thing in a scene.

    Attributes:
        form: One of `SHAPES`.
        colour: A key of `COLOURS`.
        x: Of its centre, in pixels from the left.
        y: Of its centre, in pixels from the top.
        radius: From the centre to the corners, in pixels.
        angle: By which it is turned, in radians.
        rgb: Its true colour, near that of `COLOURS`.
    """

    form: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float
    rgb: tuple[int, int, int]

    @property
    def outline(self) -> np.ndarray:
        """Corners (n, 2), x and y in pixels."""
        count = {"circle": 64, "square": 4, "triangle": 3, "star": 10}[self.form]
        start = math.pi / 4 if self.form == "square" else 0.0
        turns = np.arange(count) * 2 * math.pi / count + start + self.angle
        radii = np.where(np.arange(count) % 2, 0.45, 1.0) if self.form == "star" else np.ones(count)
        corners = np.stack([np.sin(turns), -np.cos(turns)], axis=1) * (radii * self.radius)[:, None]
        return corners + np.array([self.x, self.y])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn.

    Attributes:
        width: In pixels.
        height: In pixels.
        background: Red, green and blue, 0 to 255.
        noise: Standard deviation of the noise on all pixels.
        seed: Of the noise.
        shapes: What stands in it; no two touch.
    """

    width: int
    height: int
    background: tuple[int, int, int]
    noise: float
    seed: int
    shapes: tuple[Shape, ...]


def random_scene(rng: np.random.Generator, most: int = 4) -> Scene:
    """A scene of its own size and background, with up to `most` shapes of any places, sizes and colours."""
    width, height = (int(side) for side in rng.integers(*_SIDES, size=2, endpoint=True))
    grey = int(rng.choice((rng.integers(20, 70), rng.integers(185, 240))))
    background = tuple(int(part) for part in np.clip(grey + rng.integers(-10, 11, 3), 0, 255))
    shapes: list[Shape] = []
    wanted = int(rng.integers(1, most + 1))
    for _ in range(_TRIES):
        shape = _random_shape(rng, width, height)
        if len(shapes) < wanted and not any(_touch(shape, other) for other in shapes):
            shapes.append(shape)
    return Scene(width, height, background, float(rng.uniform(2, 9)), int(rng.integers(2**31)), tuple(shapes))


def jpeg(scene: Scene) -> bytes:
    """The picture as a JPEG file."""
    size = (scene.width * OVERSAMPLING, scene.height * OVERSAMPLING)
    canvas = Image.new("RGB", size, scene.background)
    draw = ImageDraw.Draw(canvas)
    for shape in scene.shapes:
        draw.polygon([tuple(corner) for corner in shape.outline * OVERSAMPLING], fill=shape.rgb)
    smooth = np.asarray(canvas.resize((scene.width, scene.height), Image.Resampling.BOX), np.float32)
    noise = np.random.default_rng(scene.seed).normal(0, scene.noise, smooth.shape)
    stream = io.BytesIO()
    Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def pixels(scene: Scene) -> np.ndarray:
    """The picture (height, width, 3) uint8, as it comes out of its JPEG file."""
    return np.asarray(Image.open(io.BytesIO(jpeg(scene))))


def _random_shape(rng: np.random.Generator, width: int, height: int) -> Shape:
    radius = float(rng.uniform(*_RADII))
    colour = str(rng.choice(list(COLOURS)))
    x, y = (float(rng.uniform(radius + 2, side - radius - 2)) for side in (width, height))
    rgb = tuple(int(part) for part in np.clip(np.array(COLOURS[colour]) + rng.integers(-12, 13, 3), 0, 255))
    return Shape(str(rng.choice(SHAPES)), colour, x, y, radius, float(rng.uniform(-0.3, 0.3)), rgb)


def _touch(one: Shape, other: Shape) -> bool:
    """Whether the circles around both come closer than the margin."""
    return math.hypot(one.x - other.x, one.y - other.y) < one.radius + other.radius + _MARGIN
