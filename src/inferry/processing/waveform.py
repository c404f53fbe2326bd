"""Mono sound at the model's rate as the input of wav2vec2 and data2vec-audio.

The normalisation is that of `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm` in transformers, on one utterance alone:
its padded batches take the statistics over the padding too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferry.core.errors import SampleError
from inferry.core.samples import Features
from inferry.core.specs import FloatArray


@dataclass(frozen=True, slots=True)
class WaveformSettings:
    """How sound becomes a waveform input.

    Attributes:
        sampling_rate: Samples per second that the model expects.
        normalize: Whether each utterance is brought to zero mean and unit variance.
        epsilon: Added to the variance.
        minimum_samples: Fewest samples that give one output frame.
    """

    sampling_rate: int
    normalize: bool
    epsilon: float
    minimum_samples: int

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "WaveformSettings":
        """From the `input` object of processor.json."""
        return cls(
            sampling_rate=int(row["sampling_rate"]),
            normalize=bool(row["normalize"]),
            epsilon=float(row["epsilon"]),
            minimum_samples=int(row["minimum_samples"]),
        )


def length_of(sample_count: int, settings: WaveformSettings) -> int:
    """Size of the input along its planned axis: the samples themselves.

    Raises:
        SampleError: Too short for one output frame.
    """
    check_duration(sample_count, settings.minimum_samples, settings.sampling_rate)
    return sample_count


def waveform_features(samples: FloatArray, settings: WaveformSettings) -> Features:
    """The graph's inputs for one utterance.

    Args:
        samples: Mono float32 (n,) at `settings.sampling_rate`.
        settings: From processor.json.

    Returns:
        `input_values`, float32 (n,), and `input_lengths`, int64 (); the length is n.

    Raises:
        SampleError: Too short, or samples that are no finite numbers or too large to normalise.
    """
    length = length_of(samples.size, settings)
    check_finite(samples)
    values = _normalized(samples, settings.epsilon) if settings.normalize else samples
    return Features(
        inputs={"input_values": values, "input_lengths": np.array(length, dtype=np.int64)},
        length=length,
        seconds=samples.size / settings.sampling_rate,
    )


def is_silent(samples: FloatArray) -> bool:
    """Whether all samples are equal: no text can be in it, whatever a model makes of it."""
    return samples.size == 0 or bool(samples.max() == samples.min())


def check_duration(sample_count: int, minimum: int, rate: int) -> None:
    """Refuse sound that is too short for the model.

    Raises:
        SampleError: Fewer than `minimum` samples; names both in samples and in milliseconds.
    """
    if sample_count < minimum:
        raise SampleError(
            "process",
            f"the sound is too short: {sample_count} samples ({1000 * sample_count / rate:.1f} ms) at {rate} Hz, "
            f"the model needs at least {minimum} ({1000 * minimum / rate:.1f} ms)",
        )


def check_finite(samples: FloatArray) -> None:
    """Refuse sound with broken numbers, from which every output would be broken.

    Raises:
        SampleError: A sample is NaN or infinite; says how many and where the first one is.
    """
    bad = ~np.isfinite(samples)
    if bad.any():
        raise SampleError(
            "process",
            f"{np.count_nonzero(bad)} of {samples.size} samples are NaN or infinite, the first at {int(bad.argmax())}; "
            "expected finite numbers, usually in [-1, 1]",
        )


def _normalized(samples: FloatArray, epsilon: float) -> FloatArray:
    """(x - mean) / sqrt(variance + epsilon), population variance, all in float32 as in the original."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = samples.mean(), samples.var()
    if not np.isfinite(mean + variance):
        peak = float(np.abs(samples).max())
        raise SampleError(
            "process", f"the samples reach {peak:.3g}, too large to normalise; expected values in [-1, 1]"
        )
    values: FloatArray = (samples - mean) / np.sqrt(variance + np.float32(epsilon))
    return values
