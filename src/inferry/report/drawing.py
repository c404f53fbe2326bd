"""Regions drawn over the picture that they were found in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

BEST: Final = 5
"""Regions that are drawn in a colour, with a tag."""

_COLOURS: Final = ("#e69f00", "#56b4e9", "#00c08b", "#f0e442", "#ff8fc7")
"""After Okabe and Ito, whom also the colour-blind can follow; all of them carry black text."""
_SMALLEST: Final = 640
"""Pixels of the longer side: smaller pictures are enlarged, for the tags would cover them."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture that a detector found.

    Attributes:
        box: In pixels of the picture.
        score: Of the detector, 0 to 1; None if unknown.
    """

    box: Box
    score: float | None = None


def draw_regions(picture: PIL.Image.Image, regions: Sequence[Region]) -> PIL.Image.Image:
    """Thin outlines, the best few thick with their rank and score; each has a dark rim, to be seen on any picture.

    Args:
        picture: In red, green and blue.
        regions: Best first.

    Returns:
        Another picture; a whole number of times as large where the longer side had under 640 pixels.
    """
    factor = ceil(_SMALLEST / max(picture.size))
    size = picture.width * factor, picture.height * factor
    drawn = picture.resize(size, PIL.Image.Resampling.BICUBIC) if factor > 1 else picture.copy()
    draw = PIL.ImageDraw.Draw(drawn, "RGBA")
    unit = max(1, round(max(size) / 900))
    boxes = [_scaled(region.box, factor) for region in regions]
    for box in boxes[BEST:]:
        _outline(draw, box, "#ffffffb0", unit)
    for box, colour in reversed(list(zip(boxes, _COLOURS, strict=False))):
        _outline(draw, box, colour, 3 * unit)
    _tags(draw, boxes, regions, size)
    return drawn


def _scaled(box: Box, factor: int) -> Box:
    left, top, right, bottom = (side * factor for side in box)
    return left, top, right, bottom


def _outline(draw: PIL.ImageDraw.ImageDraw, box: Box, colour: str, width: int) -> None:
    """A rectangle whose outer edge is the box's, between dark rims of a third of its width."""
    rim = max(1, width // 3)
    left, top, right, bottom = box
    for grow, line, ink in ((rim, width + 2 * rim, "#00000090"), (0, width, colour)):
        corners = left - grow, top - grow, max(right, left + 1) + grow, max(bottom, top + 1) + grow
        draw.rectangle(corners, outline=ink, width=line)


def _tags(
    draw: PIL.ImageDraw.ImageDraw, boxes: Sequence[Box], regions: Sequence[Region], size: tuple[int, int]
) -> None:
    """Rank and score of the best at a corner of their box, where no tag of a better one is."""
    height = max(14, max(size) // 48)
    font = PIL.ImageFont.load_default(height)
    taken: list[Box] = []
    best = zip(boxes[:BEST], regions, _COLOURS, strict=False)
    for rank, (box, region, colour) in enumerate(best, 1):
        text = f"{rank}" if region.score is None else f"{rank}  {region.score:.0%}"
        width = draw.textlength(text, font=font) + height // 2
        places = [_inside(place, size) for place in _corners(box, width, height * 1.3)]
        place = next((one for one in places if not any(_overlap(one, other) for other in taken)), places[0])
        taken.append(place)
        draw.rectangle(place, fill=colour, outline="#000000")
        draw.text((place[0] + height / 4, (place[1] + place[3]) / 2), text, fill="#000000", font=font, anchor="lm")


def _corners(box: Box, width: float, height: float) -> Iterator[Box]:
    """Where a tag can stand, the best place first: on the box's upper edge, within it, below it, then further away."""
    left, top, right, bottom = box
    for x, y in (
        (left, top - height),
        (right - width, top - height),
        (left, top),
        (right - width, top),
        (left, bottom),
        (right - width, bottom),
        *((left, top + step * height) for step in range(1, BEST)),
        *((left, top - step * height) for step in range(2, BEST + 1)),
    ):
        yield x, y, x + width, y + height


def _inside(place: Box, size: tuple[int, int]) -> Box:
    """The same tag, moved into the picture."""
    left, top, right, bottom = place
    across = min(0.0, size[0] - 1 - right) if right > size[0] - 1 else max(0.0, -left)
    down = min(0.0, size[1] - 1 - bottom) if bottom > size[1] - 1 else max(0.0, -top)
    return left + across, top + down, right + across, bottom + down


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
