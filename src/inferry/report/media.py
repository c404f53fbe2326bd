"""What can be heard or seen of a sample on the page, small enough to stand in it."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import soundfile

from inferry.core.specs import FloatArray
from inferry.report.markup import Markup, element

SECONDS = 30.0
"""Longest sound in the page; of a longer one the beginning is heard."""

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

    def to_markup(self, name: str) -> Markup:
        """Waveform and player; `name` is what the page's script calls it."""
        address = "data:audio/mpeg;base64," + base64.b64encode(self.mp3).decode()
        player = element("audio", controls=True, preload="metadata", src=address, data_id=name, aria_label=name)
        said = element("p", f"The first {SECONDS:.0f} seconds.", class_="note") if self.cut else Markup()
        return Markup(_waveform(self.peaks) + player + said)


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
