"""Pictures as the image classifiers take them, equal to torchvision's pipeline on Pillow to the last bit.

Source: beit/datasets.py, `build_transform(False)` (unilm), that is torchvision's `default_loader`, `Resize` (bicubic,
of the shorter side), `CenterCrop`, `ToTensor` and `Normalize`. The loader is ``PIL.Image.open(f).convert("RGB")``: the
EXIF orientation is not applied, the first frame of an animation is taken, transparency is dropped, and a 16-bit grey
picture is clipped at 255, because the published accuracy was measured so.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import PIL.Image
import PIL.ImageOps

from inferry.core.errors import BundleError, SampleError, UsageError
from inferry.core.protocols import Processor, Runner
from inferry.core.samples import Audio, AudioFile, Features, Image, ImageFile, Question, Source
from inferry.core.specs import Array, FloatArray

MAX_PIXELS: Final = 178_956_970
"""Pillow's own limit: a picture with more pixels, as it stands or resized, is taken for a decompression bomb."""

_FORMATS: Final = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Of Pillow's formats those of photos. EPS, for one, would start another program."""


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How a picture becomes a tensor.

    Attributes:
        resize: Pixels of the shorter side after resizing.
        size: Pixels of both sides of the centre crop.
        mean: Of red, green and blue, subtracted after the division by 255.
        std: Of red, green and blue, by which the difference is divided.
    """

    resize: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.resize < 1 or self.size < 1 or len(self.mean) != 3 or len(self.std) != 3 or 0 in self.std:
            raise ValueError(f"{self}: sizes must be 1 or more, and mean and std three numbers, std not 0")

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "ImageSettings":
        """From processor.json's ``input``: ``{"kind": "image", "resize": …, "size": …, "mean": […], "std": […]}``.

        Raises:
            ValueError: A number is out of range, or ``interpolation`` is another than ``bicubic``.
        """
        if (found := row.get("interpolation", "bicubic")) != "bicubic":
            raise ValueError(f"interpolation {found!r} is unknown; available: bicubic")
        return cls(int(row["resize"]), int(row["size"]), _three(row["mean"]), _three(row["std"]))


class ImageProcessor:
    """Reads pictures and computes the network's input.

    Args:
        settings: Sizes and normalisation.
    """

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings

    def source(self, sample: object) -> Image | ImageFile:
        """See `picture_of`."""
        return picture_of(sample, "a sample")

    def measure(self, source: Source) -> int:
        """Always 1: every picture is cut to one size.

        Raises:
            SampleError: The source is no picture.
        """
        if not isinstance(source, Image | ImageFile):
            raise _refuse(_no_picture(source))
        return 1

    def read(self, source: Source) -> Image:
        """The whole picture, decoded.

        Raises:
            SampleError: It cannot be read.
        """
        return Image(np.asarray(open_rgb(source)))

    def process(self, source: Source) -> Features:
        """The network's input ``pixel_values``: float32 ``(3, size, size)``.

        Raises:
            SampleError: The picture cannot be read, or is so narrow that it cannot be resized.
        """
        pixels = resized_and_cropped(open_rgb(source), self._settings)
        return Features({"pixel_values": normalised(pixels, self._settings)}, length=1)


def picture_of(given: object, what: str) -> Image | ImageFile:
    """A path becomes the picture it names, an array a picture in memory.

    Args:
        given: By the user.
        what: It stands for, to begin the message with.

    Raises:
        UsageError: It is no picture.
    """
    if isinstance(given, str | Path):
        return ImageFile(Path(given))
    if isinstance(given, np.ndarray):
        return Image(given)
    if isinstance(given, Image | ImageFile):
        return given
    if isinstance(given, Audio | AudioFile | Question):
        raise UsageError(_no_picture(given))
    raise UsageError(f"{what} is a path, a (height, width, 3) uint8 array or inferry.Image, not {type(given).__name__}")


def processor(
    config: Mapping[str, Any],
    files: Mapping[str, str],  # noqa: ARG001 -- a recipe's signature
    parts: Mapping[str, Runner],  # noqa: ARG001 -- likewise
) -> Processor:
    """The processor that a bundle's processor.json describes.

    Raises:
        BundleError: It describes something else.
    """
    try:
        kind = config["input"]["kind"]
        if kind == "image":
            return ImageProcessor(ImageSettings.from_json(config["input"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"processor.json is broken ({type(error).__name__}: {error}): export the bundle again"
        ) from error
    raise BundleError(f"processor.json asks for input {kind!r}; available: image")


def probes(config: Mapping[str, Any]) -> list[Image]:
    """Pictures for the self-check at export: seeded, of four shapes, two of them smaller than the crop.

    Args:
        config: processor.json.
    """
    size = int(config["input"]["size"])
    random = np.random.default_rng(0)
    shapes = ((size, size), (size * 3 // 2 + 1, size + 5), (size // 2 + 3, size // 3 + 3), (size // 3 + 2, size))
    return [Image(_gradients(height, width, random)) for height, width in shapes]


# ------------------------------------------------------------------------------------------------------ reading


def open_rgb(source: Source) -> PIL.Image.Image:
    """A picture in red, green and blue, as torchvision's `default_loader` gives it.

    Args:
        source: In memory or in a file (BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TIFF, WebP).

    Raises:
        SampleError: Stage ``read``; the picture is missing, no picture, cut short, damaged or too large.
    """
    if isinstance(source, Image):
        return PIL.Image.fromarray(_checked(source.pixels))
    if not isinstance(source, ImageFile):
        raise _refuse(_no_picture(source))
    _check_file(source.path)
    try:
        with _no_warnings.within(), PIL.Image.open(source.path, formats=_FORMATS) as picture:
            _check_size(*picture.size)
            return picture.convert("RGB")
    except SampleError:
        raise
    except PIL.UnidentifiedImageError as error:
        names = ", ".join(_FORMATS)
        raise _refuse(f"the file is no picture, or of a format that is not read. Formats: {names}") from error
    except PIL.Image.DecompressionBombError as error:
        limit = f"at most {MAX_PIXELS:,} are read"
        raise _refuse(f"the picture claims too many pixels, as a decompression bomb does; {limit}") from error
    except MemoryError as error:
        raise _refuse("the picture does not fit into memory") from error
    except Exception as error:  # on damaged files Pillow's formats raise nearly every kind of error
        raise _refuse(f"the picture cannot be decoded: {str(error) or type(error).__name__}") from error


class _NoWarnings:
    """Switches warnings off while any thread decodes: Pillow warns of what the originals decode without a word.

    `warnings.catch_warnings` alone is not made for threads: the first one in must be the last one out.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    @contextmanager
    def within(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._caught.__exit__(None, None, None)


_no_warnings: Final = _NoWarnings()


def _refuse(reason: str, stage: str = "read") -> SampleError:
    return SampleError(stage, reason)


def _no_picture(source: Audio | AudioFile | Question) -> str:
    kind = "a question" if isinstance(source, Question) else "a sound"
    return f"expected a picture, found {kind}: name pictures, or a data set of them"


def _check_file(path: Path) -> None:
    try:
        regular, folder, exists = path.is_file(), path.is_dir(), path.exists()
        empty = regular and path.stat().st_size == 0
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise _refuse(f"the file cannot be read: {error}") from error
    if folder:
        raise _refuse("this is a folder; name the pictures in it")
    if not regular:
        raise _refuse("this is no regular file" if exists else "the file does not exist")
    if empty:
        raise _refuse("the file is empty")


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise _refuse(f"the picture has no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise _refuse(f"{width:,} x {height:,} pixels are too many; at most {MAX_PIXELS:,} are read")


def _checked(pixels: object) -> Array:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        kind = pixels.dtype if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise _refuse(f"pixels must be a numpy array of uint8, not {kind}")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise _refuse(f"pixels must have the shape (height, width, 3), not {pixels.shape}")
    _check_size(pixels.shape[1], pixels.shape[0])
    return np.ascontiguousarray(pixels)


# -------------------------------------------------------------------------------------------------- computing


def resized_and_cropped(picture: PIL.Image.Image, settings: ImageSettings) -> Array:
    """The centre of a picture, with torchvision's rounding.

    The shorter side becomes `resize`, the longer one is rounded down. A side shorter than `size` is padded with black,
    the odd pixel at the right and at the bottom; the corner of the crop is rounded to the even number.

    Args:
        picture: In red, green and blue.
        settings: The sizes.

    Returns:
        uint8 ``(size, size, 3)``.

    Raises:
        SampleError: Stage ``process``; the longer side would become too long.
    """
    size, shorter = settings.size, min(picture.size)
    width, height = (
        settings.resize if side == shorter else int(settings.resize * side / shorter) for side in picture.size
    )
    if width * height > MAX_PIXELS:
        found = f"{picture.width:,} x {picture.height:,} pixels are too narrow"
        raise _refuse(f"{found}: resized they are {width:,} x {height:,}, at most {MAX_PIXELS:,} in all", "process")
    picture = picture.resize((width, height), PIL.Image.Resampling.BICUBIC)
    missing = max(size - width, 0), max(size - height, 0)
    if any(missing):
        before, after = [side // 2 for side in missing], [(side + 1) // 2 for side in missing]
        picture = PIL.ImageOps.expand(picture, (*before, *after))
    left, top = (round((side - size) / 2.0) for side in picture.size)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def normalised(pixels: Array, settings: ImageSettings) -> FloatArray:
    """``(value / 255 - mean) / std`` in float32, channels first.

    Args:
        pixels: uint8 ``(height, width, 3)``.
        settings: Mean and standard deviation.

    Returns:
        float32 ``(3, height, width)``.
    """
    scaled = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (settings.mean, settings.std))
    result: FloatArray = (scaled - mean) / std
    return result


def _three(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _gradients(height: int, width: int, random: np.random.Generator) -> Array:
    """Waves of three colours with noise: uint8 ``(height, width, 3)``, like a photo neither flat nor all noise."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows * down + columns * across) for down, across in random.uniform(0.01, 0.2, (3, 2))]
    noise = random.normal(0, 20, (height, width, 3))
    return np.clip(127 + 90 * np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)
