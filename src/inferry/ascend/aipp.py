"""AIPP: the pictures' normalisation moved into the om, as a configuration file and as an emulation of what it does.

An om that is compiled with such a file (``--insert_op_conf``) takes uint8 pictures, height x width x channels, and its
first operation makes the network's input of them. Source: the AIPP chapter of the ATC documentation; the order is swap,
crop, colour conversion, ``(x - mean_chn - min_chn) * var_reci_chn``, padding. `inferry.ascend.atc_aipp` knows the
fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferry.ascend.atc_aipp import AippBlock, aipp_problems, parse_aipp
from inferry.core.errors import UsageError
from inferry.core.specs import Array, FloatArray

LEVELS: Final = 256
"""Values of a uint8 pixel."""

_CHANNELS: Final = {"RGB888_U8": 3, "XRGB8888_U8": 4, "YUV400_U8": 1}
"""Of the formats that are emulated: one value a channel and pixel. YUV420SP_U8 shares colours between pixels."""

_HALF_EPSILON: Final = float(np.finfo(np.float16).eps) / 2
_HALF_SMALLEST: Final = float(np.finfo(np.float16).smallest_subnormal)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """``(x - mean - least) * reciprocal`` for red, green and blue, as AIPP's fields hold it.

    Attributes:
        mean: Whole numbers from 0 to 255 (``mean_chn``).
        least: What ``mean`` leaves over (``min_chn``), rounded to half precision by AIPP.
        reciprocal: Likewise (``var_reci_chn``).
    """

    mean: tuple[int, ...]
    least: tuple[float, ...]
    reciprocal: tuple[float, ...]

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> "Normalisation":
        """The form of ``(x / 255 - mean) / std``: 123.675 becomes 123 and 0.675, as ``mean_chn`` is uint8.

        Args:
            mean: Of the channels, where a pixel is 0 to 1.
            std: Likewise.

        Raises:
            UsageError: A field cannot hold it: a mean beyond 0 to 1, or a deviation whose reciprocal half precision
                rounds to zero or infinity.
        """
        if beyond := [value for value in mean if not 0 <= value <= 1]:
            raise UsageError(
                f"AIPP cannot subtract a mean of {beyond[0]:g}: mean_chn and min_chn are 0 to 255, so a mean is 0 to 1"
            )
        with np.errstate(all="ignore"):
            reciprocal = [float(np.float64(1) / (np.float64(value) * (LEVELS - 1))) for value in std]
            kept = [bool(np.isfinite(np.float16(value)) and np.float16(value)) for value in reciprocal]
        if not all(kept):
            raise UsageError(
                f"AIPP cannot divide by a deviation of {std[kept.index(False)]:g}: its reciprocal is no number of"
                " half precision, which var_reci_chn is"
            )
        # Nine digits are more than half precision has, and hide the noise of the product.
        parts = [divmod(round(float(value) * (LEVELS - 1), 9), 1) for value in mean]
        return cls(
            tuple(int(whole) for whole, _ in parts), tuple(round(rest, 9) for _, rest in parts), tuple(reciprocal)
        )


def aipp_text(normalisation: Normalisation, size: tuple[int, int] | None, *, rank: int = 0) -> str:
    """A configuration file for one input: RGB pictures of that size, no crop, padding, swap or colour conversion.

    Args:
        normalisation: Of the three channels.
        size: Height and width; None leaves them out, which ``--dynamic_image_size`` asks for.
        rank: Which input of the model it prepares.

    Raises:
        UsageError: AIPP takes no such picture.
    """
    lines = ["aipp_mode: static", f"related_input_rank: {rank}", "input_format: RGB888_U8"]
    if size is not None:
        lines += [f"src_image_size_w: {size[1]}", f"src_image_size_h: {size[0]}"]
    lines += ["csc_switch: false", "rbuv_swap_switch: false"]
    for channel, values in enumerate(
        zip(normalisation.mean, normalisation.least, normalisation.reciprocal, strict=True)
    ):
        fields = zip(("mean_chn", "min_chn", "var_reci_chn"), values, strict=True)
        lines += [f"{name}_{channel}: {value:.9g}" for name, value in fields]
    text = "aipp_op {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"
    if problems := aipp_problems(parse_aipp(text).blocks):
        raise UsageError("AIPP cannot do this: " + "; ".join(problem.found for problem in problems))
    return text


def emulate_aipp(block: AippBlock, pixels: Array) -> Array:
    """What a static block makes of pictures; every operation is rounded to half precision.

    The documentation gives the formula and its types, not the chip's rounding between the steps: another order of
    rounding moves a value by at most what `rounding_bound` says.

    Args:
        block: From `inferry.ascend.atc_aipp.parse_aipp`.
        pixels: uint8 (batch, height, width, channels of the format).

    Returns:
        float16 (batch, 3, height, width), as the network's graph takes it; one channel for YUV400_U8.

    Raises:
        UsageError: The block is dynamic or of a format that is not emulated, or the pictures are not its own.
    """
    _require_pictures(block, pixels)
    values: Array = _cropped(block, _swapped(block, pixels)).astype(np.int64)
    if block.on("csc_switch"):
        values = _converted(block, values)
    channels = range(values.shape[-1])
    mean = np.array([block.size(f"mean_chn_{channel}") for channel in channels])
    least, reciprocal = (
        np.array([_number(block, f"{name}_{channel}", default) for channel in channels]).astype(np.float16)
        for name, default in (("min_chn", 0.0), ("var_reci_chn", 1.0))
    )
    with np.errstate(over="ignore"):
        normalised = ((values - mean).astype(np.float16) - least) * reciprocal
    return _padded(block, np.ascontiguousarray(normalised.transpose(0, 3, 1, 2)))


def rounding_bound(wanted: FloatArray, normalisation: Normalisation) -> Array:
    """How far half precision may move a normalised value, in any order of rounding.

    The two constants, the two differences and the product are rounded once each, by at most 2^-11 of their value.

    Args:
        wanted: (batch, 3, height, width) as the processing computes it.
        normalisation: Of the three channels.
    """
    offset = np.abs(np.multiply(normalisation.least, normalisation.reciprocal))[:, None, None]
    size = np.abs(wanted.astype(np.float64))
    # The fifth share is for second-order terms and for our own float32.
    bound: Array = _HALF_EPSILON * (5 * size + 2 * offset) + _HALF_SMALLEST
    return bound


def _require_pictures(block: AippBlock, pixels: Array) -> None:
    name = block.fields.get("input_format", "")
    if block.is_dynamic or name not in _CHANNELS:
        found = "a dynamic block" if block.is_dynamic else f"the format {name or '(none)'}"
        raise UsageError(f"{found} is not emulated; emulated are static blocks of {', '.join(_CHANNELS)}")
    channels = _CHANNELS[name]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != channels:
        raise UsageError(f"{name} takes uint8 (batch, height, width, {channels}), not {pixels.dtype} {pixels.shape}")
    wanted = [block.size(f"src_image_size_{axis}") for axis in ("h", "w")]
    if any(size not in {0, found} for size, found in zip(wanted, pixels.shape[1:3], strict=True)):
        raise UsageError(
            f"the block takes pictures of {wanted[1]}x{wanted[0]}, not {pixels.shape[2]}x{pixels.shape[1]}"
        )


def _swapped(block: AippBlock, pixels: Array) -> Array:
    """``ax_swap`` puts the first of four channels last, where it is dropped; ``rbuv_swap`` exchanges red and blue."""
    if pixels.shape[3] == 4:
        pixels = pixels[..., 1:] if block.on("ax_swap_switch") else pixels[..., :3]
    return pixels[..., ::-1] if block.on("rbuv_swap_switch") and pixels.shape[3] == 3 else pixels


def _cropped(block: AippBlock, pixels: Array) -> Array:
    if not block.on("crop"):
        return pixels
    top, left = (block.size(f"load_start_pos_{axis}") for axis in ("h", "w"))
    height, width = (
        block.size(f"crop_size_{axis}") or rest
        for axis, rest in (("h", pixels.shape[1] - top), ("w", pixels.shape[2] - left))
    )
    if top + height > pixels.shape[1] or left + width > pixels.shape[2] or min(height, width) < 1:
        raise UsageError(
            f"the crop of {width}x{height} at {left},{top} leaves {pixels.shape[2]}x{pixels.shape[1]} pixels"
        )
    return pixels[:, top : top + height, left : left + width]


def _converted(block: AippBlock, values: Array) -> Array:
    """``(matrix · (x - input_bias) >> 8) + output_bias``, cut to a byte."""
    if values.shape[-1] != 3:
        raise UsageError("csc_switch needs three channels")
    matrix = np.array(
        [[int(block.fields.get(f"matrix_r{row}c{column}", 0)) for column in range(3)] for row in range(3)]
    )
    before, after = (
        np.array([block.size(f"{kind}_bias_{index}") for index in range(3)]) for kind in ("input", "output")
    )
    converted: Array = np.clip((((values - before) @ matrix.T) >> 8) + after, 0, LEVELS - 1)
    return converted


def _padded(block: AippBlock, planes: Array) -> Array:
    if not block.on("padding"):
        return planes
    top, bottom, left, right = (block.size(f"{side}_padding_size") for side in ("top", "bottom", "left", "right"))
    value = np.float16(_number(block, "padding_value", 0.0))
    return np.pad(planes, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _number(block: AippBlock, name: str, default: float) -> float:
    return float(block.fields[name].removesuffix("f")) if name in block.fields else default
