"""A bundle's pictures for an om with AIPP: uint8 on the way in, and the proof that the om normalises as we do."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inferry.ascend.aipp import LEVELS, Normalisation, aipp_text, emulate_aipp, rounding_bound
from inferry.ascend.atc_aipp import parse_aipp
from inferry.core.bundle import PROCESSOR, Bundle
from inferry.core.errors import ParityError, SampleError, UsageError
from inferry.core.samples import Features
from inferry.core.specs import BATCH, Array, FloatArray, TensorSpec
from inferry.processing.images import ImageSettings, normalised

CONFIG: Final = "aipp.cfg"
"""Name of the file."""


@dataclass(frozen=True)
class PictureInput:
    """How an om with AIPP takes a bundle's pictures.

    What is proven: all 256 values of all three channels become what our preprocessing makes of them, but for half
    precision: AIPP hands the network float16, our processing float32. `difference` is the most that the two are apart;
    `beyond_half` is how far AIPP is from our own numbers rounded to float16, which an fp16 om without AIPP sees.

    Attributes:
        spec: The input as the om takes it: uint8 (batch, height, width, 3).
        config: Text of the file for ``--insert_op_conf``.
        difference: Greatest absolute difference from the float32 that our preprocessing gives.
        beyond_half: The same from these numbers rounded to half precision.
        scale: Greatest absolute value of a pixel that the network sees.
        settings: Of the bundle's preprocessing.
    """

    spec: TensorSpec
    config: str
    difference: float
    beyond_half: float
    scale: float
    settings: ImageSettings

    def to_uint8(self, features: Features) -> Array:
        """The picture that an om with AIPP takes for a processed sample: uint8 (height, width, 3).

        Raises:
            SampleError: Its values are none that a picture's normalisation gives.
        """
        return to_uint8(features.inputs[self.spec.name], self.settings)

    def emulate(self, pictures: Array) -> Array:
        """What AIPP hands the network for uint8 (batch, height, width, 3): float16 (batch, 3, height, width)."""
        return emulate_aipp(parse_aipp(self.config).blocks[0], pictures)

    @property
    def proof(self) -> str:
        """What was proven, as a sentence."""
        return (
            f"AIPP, emulated: all {LEVELS} values of a pixel become what the preprocessing makes of them, to within"
            f" {self.difference:.2g} where they reach {self.scale:.3g}"
        )


def picture_input(bundle: Bundle, *, any_size: bool = False) -> PictureInput:
    """The AIPP form of a bundle's input, proven on every value that a pixel can have.

    Args:
        bundle: A picture classifier.
        any_size: Leave the pictures' size out of the file, as ``--dynamic_image_size`` wants it.

    Raises:
        UsageError: AIPP cannot take the bundle's inputs, with the reason.
        ParityError: It would give other numbers than our preprocessing, beyond half precision.
    """
    settings = _settings(bundle)
    (spec,) = bundle.manifest.inputs
    form = Normalisation.of(settings.mean, settings.std)
    config = aipp_text(form, None if any_size else (settings.size, settings.size))
    pictures = _all_levels(settings.size)
    wanted = np.stack([normalised(picture, settings) for picture in pictures])
    found = emulate_aipp(parse_aipp(config).blocks[0], pictures).astype(np.float32)
    apart = np.abs(found - wanted)
    if (wrong := apart > rounding_bound(wanted, form)).any():
        where = tuple(int(place[0]) for place in np.nonzero(wrong))
        raise ParityError(
            f"AIPP makes {found[where]:g} of a pixel of channel {where[1]}, our preprocessing {wanted[where]:g}:"
            " more than half precision explains"
        )
    half = wanted.astype(np.float16).astype(np.float32)
    return PictureInput(
        spec=TensorSpec(spec.name, "uint8", (BATCH, *spec.dims[2:], spec.dims[1])),
        config=config,
        difference=float(apart.max()),
        beyond_half=float(np.abs(found - half).max()),
        scale=float(np.abs(wanted).max()),
        settings=settings,
    )


def to_uint8(values: FloatArray, settings: ImageSettings) -> Array:
    """The exact picture that `inferry.processing.images.normalised` made these values of, proven by going forth again.

    Args:
        values: float32 (3, height, width).
        settings: They were made with.

    Returns:
        uint8 (height, width, 3).

    Raises:
        SampleError: There is no such picture: the values do not lie on the grid of 256 levels, bit for bit.
    """
    mean, std = (np.array(numbers)[:, None, None] for numbers in (settings.mean, settings.std))
    levels = np.rint((values.astype(np.float64) * std + mean) * (LEVELS - 1))
    pixels = np.clip(np.nan_to_num(levels), 0, LEVELS - 1).astype(np.uint8).transpose(1, 2, 0)
    if not np.array_equal(normalised(pixels, settings), values):
        raise SampleError("process", "its values are none that come of a uint8 picture, so AIPP cannot take it")
    return np.ascontiguousarray(pixels)


def _all_levels(size: int) -> Array:
    """As many pictures as hold every value in every channel: uint8 (pictures, size, size, 3)."""
    count = -(-LEVELS // size**2)
    levels = np.resize(np.arange(LEVELS, dtype=np.uint8), (count, size, size, 1))
    return np.repeat(levels, 3, axis=3)


def _settings(bundle: Bundle) -> ImageSettings:
    """The preprocessing, where AIPP can stand in for the end of it."""
    row, inputs = bundle.read_json(PROCESSOR).get("input", {}), bundle.manifest.inputs
    kind = row.get("kind")
    if kind == "question-and-regions":
        raise UsageError(
            "AIPP cannot prepare the inputs of this bundle: its graph takes regions, and the region detector's pictures"
            " are resized after they are normalised, so they are no uint8 pictures. Leave --aipp out"
        )
    if kind != "image":
        raise UsageError(f"AIPP prepares pictures, and this bundle takes a {kind}: leave --aipp out")
    if len(inputs) != 1 or len(inputs[0].dims) != 4 or inputs[0].dims[1] != 3 or inputs[0].dtype != "float32":
        found = ", ".join(f"{spec.name} {spec.dtype} {spec.dims}" for spec in inputs)
        raise UsageError(f"AIPP prepares one float32 input (batch, 3, height, width), and this bundle takes {found}")
    try:
        return ImageSettings.from_json(row)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"processor.json is broken ({error}): export the bundle again") from error
