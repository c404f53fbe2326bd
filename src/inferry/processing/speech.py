"""Sound to the inputs of a speech network: reading joined with the family's features."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from inferry.core.errors import BundleError, UsageError
from inferry.core.protocols import Decoder, Decoding, Processor, Runner
from inferry.core.samples import Audio, AudioFile, Features, Source, Transcription
from inferry.processing import audio
from inferry.processing.beam_search import DEFAULT_BEAM, BeamSearchDecoder, PrefixBeamSearch, spelling_letters
from inferry.processing.ctc import GreedyCtcDecoder
from inferry.processing.fusion import TextScorer, read_language_model, spelled_hotwords
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

    def source(self, sample: object) -> Source:
        """A path becomes the sound it names.

        Raises:
            UsageError: It is no sound.
        """
        if isinstance(sample, (str, Path)):
            return AudioFile(Path(sample))
        if isinstance(sample, (Audio, AudioFile)):
            return sample
        raise UsageError(f"a sample is a path or inferry.Audio, not {type(sample).__name__}")

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
        if kind == "waveform":
            return SpeechProcessor(WaveformSettings.from_json(config["input"]))
        if kind == "spectrogram":
            return SpeechProcessor(SpectrogramSettings.from_json(config["input"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"processor.json is broken ({type(error).__name__}: {error}): export the bundle again"
        ) from error
    raise BundleError(f"processor.json asks for input {kind!r}; available: spectrogram, waveform")


def decoder(config: Mapping[str, Any], files: Mapping[str, str], decoding: Decoding | None = None) -> Decoder:
    """The decoder that a bundle's processor.json and vocab.json describe.

    Args:
        config: processor.json.
        files: The bundle's text files.
        decoding: What the user wants; None for the original's greedy decoding.

    Raises:
        BundleError: They describe something else.
        UsageError: The language model cannot be read, the network can spell no word of it or not a hotword, the beam is
            less than 1 wide, or a weight is not finite.
    """
    greedy = None
    try:
        decode = config["decode"]
        tokens = tuple(str(token) for token in json.loads(files["vocab.json"]))
        if decode["kind"] == "ctc-greedy":
            blank, frame_seconds = int(decode["blank"]), float(decode["frame_seconds"])
            greedy = GreedyCtcDecoder(tokens, decode["style"], blank, decode["word_delimiter"], frame_seconds)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"processor.json or vocab.json is broken ({type(error).__name__}: {error})") from error
    if greedy is None:
        raise BundleError(f"processor.json asks for decoder {decode['kind']!r}; available: ctc-greedy")
    return greedy if decoding is None or decoding.greedy else _beam_search(greedy, decoding)


def _beam_search(greedy: GreedyCtcDecoder, decoding: Decoding) -> BeamSearchDecoder:
    """A search over the vocabulary that is decoded greedily otherwise."""
    beam = DEFAULT_BEAM if decoding.beam is None else decoding.beam
    if beam < 1:
        raise UsageError(f"the beam must be at least 1 wide, not {beam}")
    weights = {"--alpha": decoding.alpha, "--beta": decoding.beta, "--hotword-weight": decoding.hotword_weight}
    if bad := [f"{name} is {weight}" for name, weight in weights.items() if not math.isfinite(weight)]:
        raise UsageError(f"{'; '.join(bad)}; a weight is a finite number")
    vocabulary = (greedy.tokens, greedy.blank, greedy.word_delimiter)
    letters = spelling_letters(*vocabulary)
    path = decoding.language_model
    model = None if path is None else read_language_model(path, letters)
    hotwords = spelled_hotwords(decoding.hotwords, letters, decoding.hotword_weight)
    scorer = TextScorer(model, decoding.alpha, decoding.beta, hotwords)
    return BeamSearchDecoder(PrefixBeamSearch(*vocabulary, scorer, beam), greedy.frame_seconds)


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
