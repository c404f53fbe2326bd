"""What can be heard or seen of a sample on the page, small enough to stand in it."""

import base64
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import PIL.Image
import soundfile

from inferry.core.samples import Box
from inferry.core.specs import FloatArray
from inferry.report.markup import Markup, element

SECONDS = 30.0
"""Longest sound in the page; of a longer one the beginning is heard."""

PIXELS: Final = 192
"""Of the longer side of a picture in the page, at most."""

_QUALITY: Final = 70
_COLUMNS = 240
_COMPRESSION = 0.9
"""Of the constant bit rates for speech: 24 kbit/s at 16 kHz."""


@dataclass(frozen=True)
class Sound:
    """A sound as the page plays it.

    Attributes:
        mp3: Mono; MP3 plays in every browser.
        peaks: Greatest magnitude of each of equal stretches, 0 to 1.
        cut: Whether only the beginning is there.
    """

    mp3: bytes
    peaks: tuple[float, ...]
    cut: bool

    @property
    def size(self) -> int:
        """Bytes of the MP3."""
        return len(self.mp3)

    def to_markup(self, name: str) -> Markup:
        """Waveform and player; `name` is what the page's script calls it."""
        address = _address("audio/mpeg", self.mp3)
        player = element("audio", controls=True, preload="metadata", src=address, data_id=name, aria_label=name)
        said = element("p", f"The first {SECONDS:.0f} seconds.", class_="note") if self.cut else Markup()
        return Markup(_waveform(self.peaks) + player + said)


@dataclass(frozen=True)
class Thumbnail:
    """A picture as the page shows it.

    Attributes:
        jpeg: Red, green and blue.
        width: In pixels.
        height: In pixels.
        regions: Where a network looked at, the best first.
    """

    jpeg: bytes
    width: int
    height: int
    regions: tuple[Box, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the JPEG."""
        return len(self.jpeg)

    def to_markup(self, name: str) -> Markup:
        """The picture with its regions; `name` is what the page's script calls it."""
        address = _address("image/jpeg", self.jpeg)
        picture = element("img", src=address, width=self.width, height=self.height, alt=name, data_id=name)
        return element("div", picture, self._outlines(), class_="seen") if self.regions else picture

    def _outlines(self) -> Markup:
        """Of the regions, the best last so that it lies on top; each light on dark, to be seen on both."""
        corners = (
            (left * self.width, top * self.height, right * self.width, bottom * self.height)
            for left, top, right, bottom in reversed(self.regions)
        )
        outlines = [
            element(
                "rect",
                x=f"{left:.1f}",
                y=f"{top:.1f}",
                width=f"{right - left:.1f}",
                height=f"{bottom - top:.1f}",
                class_=kind,
            )
            for left, top, right, bottom in corners
            for kind in ("under", "over")
        ]
        return element("svg", *outlines, viewBox=f"0 0 {self.width} {self.height}", aria_hidden="true")


def encode_picture(picture: PIL.Image.Image) -> Thumbnail:
    """A picture for the page, its longer side at most `PIXELS`; a smaller one keeps its size.

    Args:
        picture: In red, green and blue.
    """
    small = picture.copy()
    small.thumbnail((PIXELS, PIXELS), reducing_gap=3.0)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return Thumbnail(file.getvalue(), small.width, small.height)


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def encode_sound(samples: FloatArray, rate: int) -> Sound:
    """A sound for the page.

    Args:
        samples: ``(n,)`` float32, at least one.
        rate: Samples per second; one that MP3 knows (8, 11.025, 12, 16, 22.05, 24, 32, 44.1 or 48 kHz).
    """
    shown = samples[: int(SECONDS * rate)]
    file = io.BytesIO()
    options = {"bitrate_mode": "CONSTANT", "compression_level": _COMPRESSION}
    soundfile.write(file, np.clip(shown, -1, 1), rate, format="MP3", subtype="MPEG_LAYER_III", **options)
    stretches = np.array_split(np.abs(shown), min(_COLUMNS, len(shown)))
    peaks = np.array([stretch.max() for stretch in stretches])
    loudest = float(peaks.max()) or 1.0
    return Sound(file.getvalue(), tuple(float(peak) for peak in peaks / loudest), len(shown) < len(samples))


def _waveform(peaks: tuple[float, ...]) -> Markup:
    """An upright stroke a stretch; decoration beside a player that says the rest."""
    height = 20
    strokes = "".join(
        f"M{column} {height - max(0.5, peak * height):.1f}V{height + max(0.5, peak * height):.1f}"
        for column, peak in enumerate(peaks)
    )
    box = f"-1 0 {len(peaks) + 1} {2 * height}"
    return element(
        "svg",
        element("path", d=strokes),
        class_="waveform",
        viewBox=box,
        preserveAspectRatio="none",
        aria_hidden="true",
    )
