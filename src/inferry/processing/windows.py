"""Long sounds in overlapping windows, joined on the outputs of the network.

Windows start on the grid of the network's output frames, so that a frame of the whole is the same frame in both windows
of an overlap. Two windows are joined near the middle of their overlap, where both know the sound on either side, and
between frames on which they agree, so that no letter is said by both or by neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, Final

import numpy as np

from inferry.core.errors import BundleError, SampleError
from inferry.core.protocols import Cutter, Window
from inferry.core.samples import Audio, AudioFile, Source
from inferry.core.specs import Array
from inferry.processing import audio
from inferry.processing.audio import Extent

_OVERLAP: Final = 4
"""A window shares its fourth part with the next one: less loses words near the seams (decision 13)."""

_AGREED: Final = 5
"""Frames on either side of a seam on which both windows agree: the same letter may come a frame or two later."""

_UNLIKELY: Final = -100.0
"""Logit of what cannot be, beside 0: a probability of 0 in float32, yet finite."""


@dataclass(frozen=True, slots=True)
class SpeechCutter:
    """Windows of sound for a network with frames at a fixed distance.

    Attributes:
        rate: Samples per second that the network takes.
        hop: Samples from one output frame to the next.
        blank: Index of the blank.
    """

    rate: int
    hop: int
    blank: int

    def cut(self, source: Source, seconds: float) -> tuple[Window, ...]:
        """Windows of equal length, the last one shifted back to end with the sound.

        A part of a file stays in the file: only the window that is read is in memory.

        Args:
            source: The sound.
            seconds: Most seconds of a window.

        Raises:
            SampleError: The sound's header cannot be read.
        """
        extent = audio.extent(source)
        if extent.count <= seconds * extent.rate + 1e-6:  # 1.001 s at 16 kHz are less than 16,016 in floating point
            return (Window(source),)
        size, last, step, unit = self._grid(extent, seconds)
        starts = [*range(0, last, step), last]
        return tuple(
            Window(
                _part(source, extent, self._place(start * unit, extent), self._place((start + size) * unit, extent)),
                start * unit * self.hop / self.rate,
            )
            for start in starts
        )

    def _grid(self, extent: Extent, seconds: float) -> tuple[int, int, int, int]:
        """A window's size, the last window's start and the step between windows, in units; and the frames of a unit.

        A unit is the fewest frames that are a whole number of samples before resampling too, so that all windows are
        cut and resampled exactly on the grid. An odd rate has coarse units: if they do not fit, the sample nearest to
        the frame has to do.
        """
        unit = self.rate // gcd(self.hop * extent.rate, self.rate)
        frames = max(1, int(seconds * self.rate / self.hop + 1e-9))
        if frames // unit < _OVERLAP:
            unit = 1
        size = frames // unit
        # Rounded up, so that no window is longer than `size`.
        last = -(-(extent.count * self.rate - self._scaled(size * unit, extent)) // (self.hop * extent.rate * unit))
        return size, last, max(1, size - -(-size // _OVERLAP)), unit

    def _scaled(self, frame: int, extent: Extent) -> int:
        """Where a frame begins, in samples before resampling times `rate`: a whole number."""
        return frame * self.hop * extent.rate

    def _place(self, frame: int, extent: Extent) -> int:
        """Where a frame begins, in samples before resampling, at most the end of the sound."""
        return min(extent.count, (self._scaled(frame, extent) + self.rate // 2) // self.rate)

    def empty(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The blank in every frame."""
        return {name: self._blank(name, value) for name, value in outputs.items()}

    def _blank(self, name: str, value: Array) -> Array:
        if value.ndim == 0:
            return value
        impossible, certain = (0.0, 1.0) if name == "probs" else (_UNLIKELY, 0.0)
        result = np.full_like(value, impossible)
        result[..., self.blank] = certain
        return result

    def join(self, windows: Sequence[Window], outputs: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """Outputs of the whole: as many frames as the network gives for it.

        Args:
            windows: As `cut` gave them.
            outputs: Of each: arrays with the frames first, among them `logits`, and numbers of frames without axes.

        Raises:
            SampleError: Stage ``process``: two windows do not even touch.
        """
        starts = [round(window.start * self.rate / self.hop) for window in windows]
        best = [output["logits"].argmax(axis=-1) for output in outputs]
        seams = [starts[0]]
        for index in range(1, len(windows)):
            end = starts[index - 1] + len(best[index - 1])
            if end < starts[index]:
                raise SampleError("process", "two windows leave a gap between them: choose a longer --max-seconds")
            shared = end - starts[index]
            second = best[index][:shared]
            # Resampling may give the second one a frame less.
            first = best[index - 1][len(best[index - 1]) - shared :][: len(second)]
            seams.append(max(seams[-1], starts[index] + seam(first, second)))
        total = starts[-1] + len(best[-1])
        spans = [
            slice(low - start, high - start)
            for low, high, start in zip(seams, [*seams[1:], total], starts, strict=True)
        ]
        return {
            name: np.array(total, value.dtype)
            if value.ndim == 0
            else np.concatenate([output[name][span] for output, span in zip(outputs, spans, strict=True)])
            for name, value in outputs[0].items()
        }


def seam(first: Array, second: Array) -> int:
    """Where to leave the first window for the second one: a place between frames 0 and n of their overlap.

    Args:
        first: Best tokens of the first window, integer (n,).
        second: Those of the second window.

    Returns:
        The place nearest to the middle with `_AGREED` frames on either side on which both agree, or with as many as
        there are anywhere.
    """
    count = len(first)
    places = np.arange(count + 1)
    # The overlap's own ends stand for frames that differ.
    differ = np.concatenate([[-1], np.flatnonzero(first != second), [count]])
    following = np.searchsorted(differ, places)
    agreed = np.minimum(differ[following] - places, places - 1 - differ[following - 1])
    candidates = places[agreed >= min(_AGREED, agreed.max())]
    return int(candidates[np.abs(candidates - count / 2).argmin()])


def _part(source: Source, extent: Extent, start: int, end: int) -> Source:
    """A part of a sound, in its own samples from its own beginning."""
    sound = audio.as_sound(source)
    if isinstance(sound, Audio):
        return Audio(sound.samples[start:end], sound.rate)
    until = sound.end if end == extent.count else (extent.first + end) / extent.rate
    return AudioFile(sound.path, (extent.first + start) / extent.rate, until)


def cutter(config: Mapping[str, Any]) -> Cutter:
    """The cutter that a bundle's processor.json describes.

    Raises:
        BundleError: It describes something else.
    """
    try:
        rate = int(config["input"]["sampling_rate"])
        hop = round(float(config["decode"]["frame_seconds"]) * rate)
        return SpeechCutter(rate, hop, int(config["decode"]["blank"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"processor.json is broken ({type(error).__name__}: {error}): export the bundle again"
        ) from error
