"""Sound to the inputs of a speech network: reading joined with the family's features."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from inferry.core.errors import BundleError
from inferry.core.protocols import Decoder, Decoding, Processor
from inferry.core.samples import Audio, Features, Source, Transcription
from inferry.processing import audio
from inferry.processing.ctc import GreedyCtcDecoder
from inferry.processing.spectrogram import SpectrogramSettings, spectrogram_features
from inferry.processing.spectrogram import length_of as spectrogram_length
from inferry.processing.waveform import WaveformSettings, is_silent, waveform_features
from inferry.processing.waveform import length_of as waveform_length


class SpeechProcessor:
    """Reads sound at the network's rate and computes its features.

    Args:
        settings: Which features, at which rate.
    """

    def __init__(self, settings: WaveformSettings | SpectrogramSettings) -> None:
        self._settings = settings

    def measure(self, source: Source) -> int:
        """Samples (waveform) or frames (spectrogram), from the file's header.

        Raises:
            SampleError: The sound cannot be read or is too short.
        """
        count = audio.measure(source, self._settings.sampling_rate)
        if isinstance(self._settings, WaveformSettings):
            return waveform_length(count, self._settings)
        return spectrogram_length(count, self._settings)

    def read(self, source: Source) -> Audio:
        """Mono float32 sound at the network's rate.

        Raises:
            SampleError: The sound cannot be read.
        """
        rate = self._settings.sampling_rate
        return Audio(audio.read(source, rate), rate)

    def process(self, source: Source) -> Features:
        """The network's inputs; silence is answered at once with an empty text.

        Raises:
            SampleError: The sound cannot be read, is too short, or holds NaN or infinite values.
        """
        rate = self._settings.sampling_rate
        sound = audio.read(source, rate)
        if isinstance(self._settings, WaveformSettings):
            features = waveform_features(sound, self._settings)
        else:
            features = spectrogram_features(sound, self._settings)
        answer = Transcription(text="", frames=0) if is_silent(sound) else None
        return replace(features, seconds=len(sound) / rate, answer=answer)


def processor(config: Mapping[str, Any], files: Mapping[str, str]) -> Processor:  # noqa: ARG001 -- a recipe's signature
    """The processor that a bundle's processor.json describes.

    Raises:
        BundleError: It describes something else.
    """
    try:
        kind = config["input"]["kind"]
        if kind == "waveform":
            return SpeechProcessor(WaveformSettings.from_json(config["input"]))
        if kind == "spectrogram":
            return SpeechProcessor(SpectrogramSettings.from_json(config["input"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"processor.json is broken ({type(error).__name__}: {error}): export the bundle again"
        ) from error
    raise BundleError(f"processor.json asks for input {kind!r}; available: spectrogram, waveform")


def decoder(config: Mapping[str, Any], files: Mapping[str, str], decoding: Decoding | None = None) -> Decoder:  # noqa: ARG001 -- soon
    """The decoder that a bundle's processor.json and vocab.json describe.

    Raises:
        BundleError: They describe something else.
    """
    try:
        decode = config["decode"]
        tokens = tuple(str(token) for token in json.loads(files["vocab.json"]))
        if decode["kind"] == "ctc-greedy":
            return GreedyCtcDecoder(tokens, decode["style"], int(decode["blank"]), decode["word_delimiter"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"processor.json or vocab.json is broken ({type(error).__name__}: {error})") from error
    raise BundleError(f"processor.json asks for decoder {decode['kind']!r}; available: ctc-greedy")


def probes(config: Mapping[str, Any]) -> list[Audio]:
    """Sounds for the self-check at export: seeded noise bursts of four lengths, the shortest just long enough.

    Args:
        config: processor.json.

    Returns:
        Mono float32 sounds at the network's rate.
    """
    rate = int(config["input"]["sampling_rate"])
    shortest = int(config["input"]["minimum_samples"])
    random = np.random.default_rng(0)
    sounds = []
    for length in (shortest + 1, rate * 7 // 10, rate * 11 // 10 + 7, rate * 2 + 3):
        envelope = 0.55 + 0.45 * np.sin(np.arange(length) * (2 * np.pi * 3.1 / rate))
        sounds.append(Audio((random.standard_normal(length) * envelope * 0.1).astype(np.float32), rate))
    return sounds
