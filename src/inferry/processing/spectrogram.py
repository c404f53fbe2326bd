"""Mono sound at the model's rate as the input of DeepSpeech2: a normalised log spectrogram.

The transform is `SpectrogramParser.compute_spectrogram` of deepspeech.pytorch V3.0 (`loader/data_loader.py`) with the
`stft` of librosa 0.8, on which the released weights were trained: frames centred by reflection at the ends. Since 0.9
librosa pads with zeros, which `pad_mode="constant"` reproduces.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from inferry.core.errors import BundleError, SampleError
from inferry.core.samples import Features
from inferry.core.specs import FloatArray
from inferry.processing.waveform import check_duration, check_finite

_BLOCK: Final = 2048
"""Frames transformed at once: a few MB of float64, however long the sound is."""

_WINDOWS: Final[Mapping[str, Callable[[int], npt.NDArray[np.float64]]]] = {
    "hamming": np.hamming,
    "hann": np.hanning,
    "blackman": np.blackman,
    "bartlett": np.bartlett,
}
_PAD_MODES: Final = ("reflect", "constant")


@dataclass(frozen=True, slots=True)
class SpectrogramSettings:
    """How sound becomes a spectrogram.

    Attributes:
        sampling_rate: Samples per second that the model expects.
        window_size: Seconds of one frame; the transform has as many points.
        window_stride: Seconds from one frame to the next.
        window: ``hamming``, ``hann``, ``blackman`` or ``bartlett``, periodic.
        pad_mode: ``reflect`` or ``constant`` (zeros), at both ends, by half a window.
        minimum_samples: Fewest samples that `pad_mode` allows.
    """

    sampling_rate: int
    window_size: float
    window_stride: float
    window: str
    pad_mode: Literal["reflect", "constant"]
    minimum_samples: int

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "SpectrogramSettings":
        """From the `input` object of processor.json.

        Raises:
            BundleError: The window or the padding is unknown.
        """
        problems = [
            f"{name} is {row[name]!r}, available: {', '.join(known)}"
            for name, known in (("window", tuple(_WINDOWS)), ("pad_mode", _PAD_MODES))
            if row[name] not in known
        ]
        if problems:
            raise BundleError(f"processor.json cannot be used: {'; '.join(problems)}. Export the checkpoint again.")
        return cls(
            sampling_rate=int(row["sampling_rate"]),
            window_size=float(row["window_size"]),
            window_stride=float(row["window_stride"]),
            window=str(row["window"]),
            pad_mode=row["pad_mode"],
            minimum_samples=int(row["minimum_samples"]),
        )

    @property
    def points(self) -> int:
        """Samples of one frame."""
        return int(self.sampling_rate * self.window_size)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return int(self.sampling_rate * self.window_stride)


def length_of(sample_count: int, settings: SpectrogramSettings) -> int:
    """Frames of the spectrogram: 1 + samples // hop for an even window.

    Raises:
        SampleError: Too short.
    """
    check_duration(sample_count, settings.minimum_samples, settings.sampling_rate)
    # Half a window on each side is one sample less than a window where its size is odd.
    return 1 + (sample_count - settings.points % 2) // settings.hop


def spectrogram_features(samples: FloatArray, settings: SpectrogramSettings) -> Features:
    """The graph's inputs for one utterance.

    Args:
        samples: Mono float32 (n,) at `settings.sampling_rate`.
        settings: From processor.json.

    Returns:
        `spectrogram`, float32 (1, frequencies, time), zero everywhere for a sound whose spectrogram is the same
        everywhere (silence), and `input_lengths`, int64 (); the length is the number of frames.

    Raises:
        SampleError: Too short, or samples that are no finite numbers or too large to transform.
    """
    length = length_of(samples.size, settings)
    check_finite(samples)
    spectrogram = _log_magnitudes(samples, settings)
    _normalize(spectrogram)
    return Features(
        inputs={"spectrogram": spectrogram[None], "input_lengths": np.array(length, dtype=np.int64)},
        length=length,
        seconds=samples.size / settings.sampling_rate,
    )


def _log_magnitudes(samples: FloatArray, settings: SpectrogramSettings) -> FloatArray:
    """log(1 + |STFT|), float32 (frequencies, time).

    As in librosa, the transform is computed in float64 and stored as complex64 before its magnitude is taken.
    """
    points, hop = settings.points, settings.hop
    window = _WINDOWS[settings.window](points + 1)[:-1]
    padded = np.pad(samples, points // 2, mode=settings.pad_mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, points)[::hop]
    result = np.empty((points // 2 + 1, len(frames)), dtype=np.float32)
    for start in range(0, len(frames), _BLOCK):
        block = np.fft.rfft(frames[start : start + _BLOCK] * window, axis=-1)
        with np.errstate(over="ignore", invalid="ignore"):
            result[:, start : start + _BLOCK] = np.log1p(np.abs(block.astype(np.complex64))).T
    if not np.isfinite(result).all():
        peak = float(np.abs(samples).max())
        raise SampleError(
            "process", f"the samples reach {peak:.3g}, too large to transform; expected values in [-1, 1]"
        )
    return result


def _normalize(spectrogram: FloatArray) -> None:
    """(S - mean) / std in place, over the whole spectrogram, with the unbiased std and no epsilon.

    The sums run in float64, row by row, so that a long sound needs no second spectrogram.
    """
    spectrogram -= np.float32(spectrogram.mean(dtype=np.float64))
    squares = sum(float(np.square(row, dtype=np.float64).sum()) for row in spectrogram)
    deviation = np.float32(np.sqrt(squares / (spectrogram.size - 1)))
    if deviation > 0:
        spectrogram /= deviation
