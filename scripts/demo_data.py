"""The demo's training speech, its batches, and the shipped clips."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from demo_speech import SAMPLE_RATE, synthesize, training_utterances, with_silence
from make_demo_speech import test_texts

BUCKET = SAMPLE_RATE // 5
"""Lengths of training clips are multiples of this, so that a batch needs no padding."""


@dataclass(frozen=True)
class Clip:
    """Speech with its transcript.

    Attributes:
        samples: Mono float32 samples at 16 kHz.
        text: Words in upper case.
        start: Where the speech begins, in samples.
        stop: Where it ends.
    """

    samples: np.ndarray
    text: str
    start: int
    stop: int


def training_corpus(seed: int, count: int, cache: Path) -> list[Clip]:
    """Synthesises the training speech, or reads it back from `cache` if it was made with the same seed and count."""
    file = cache / f"demo-speech-{seed}-{count}.npz"
    if not file.exists():
        utterances = list(training_utterances(seed, count, test_texts()))
        with ThreadPoolExecutor(2) as pool:
            waves = list(pool.map(synthesize, utterances))
        texts = np.array([utterance.text for utterance in utterances])
        ends = np.cumsum([len(wave) for wave in waves])
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, samples=np.concatenate(waves).astype(np.float16), ends=ends, texts=texts)
    with np.load(file) as archive:
        waves = np.split(archive["samples"].astype(np.float32), archive["ends"][:-1])
        return [Clip(wave, str(text), 0, len(wave)) for wave, text in zip(waves, archive["texts"], strict=True)]


def shipped_clips(folder: Path) -> list[Clip]:
    """Reads clips in LibriSpeech's layout."""
    clips = []
    for transcript in sorted(folder.rglob("*.trans.txt")):
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, text = line.split(" ", 1)
            samples, _ = soundfile.read(transcript.parent / f"{name}.flac", dtype="float32")
            clips.append(Clip(samples, text, 0, len(samples)))
    return clips


def joined(clips: Sequence[Clip], rng: np.random.Generator) -> list[Clip]:
    """All clips once, side by side in clips of 3 to 30 seconds, which sound like a recording of many speakers.

    A network that only ever heard single utterances hears other words as soon as utterances stand side by side.
    """
    result: list[Clip] = []
    members: list[Clip] = []
    seconds = rng.uniform(3, 30)
    for index in rng.permutation(len(clips)):
        members.append(clips[index])
        if sum(len(clip.samples) for clip in members) >= seconds * SAMPLE_RATE:
            result.append(side_by_side(members, rng))
            members, seconds = [], rng.uniform(3, 30)
    return result


def side_by_side(clips: Sequence[Clip], rng: np.random.Generator) -> Clip:
    """One clip of several, each as loud as a speaker of its own, with pauses of 0.05 to 2.5 seconds, often short."""
    parts = []
    for clip in clips:
        pause = np.zeros(int(np.exp(rng.uniform(*np.log([0.05, 2.5]))) * SAMPLE_RATE), np.float32)
        parts += [clip.samples * np.float32(rng.uniform(0.5, 1.5)), pause]
    samples = np.concatenate(parts[:-1])
    return Clip(samples, " ".join(clip.text for clip in clips), 0, len(samples))


def batches(clips: Sequence[Clip], seconds: float, rng: np.random.Generator) -> list[list[Clip]]:
    """One epoch of batches; all clips of a batch have the same length.

    Args:
        clips: Speech without silence at its ends.
        seconds: Greatest sum of lengths in a batch.
        rng: Decides on order, loudness and on the silence before and after the speech.

    Returns:
        Batches in random order.
    """
    buckets: dict[int, list[Clip]] = {}
    for index in rng.permutation(len(clips)):
        clip = clips[index]
        slack = int(rng.integers(BUCKET // 4, 3 * BUCKET))
        length = -(-(len(clip.samples) + slack) // BUCKET) * BUCKET
        padded, start = with_silence(clip.samples * np.float32(rng.uniform(0.3, 1.5)), length, rng)
        buckets.setdefault(length, []).append(Clip(padded, clip.text, start, start + len(clip.samples)))
    result = []
    for length, members in buckets.items():
        size = max(1, int(seconds * SAMPLE_RATE / length))
        result += [members[start : start + size] for start in range(0, len(members), size)]
    rng.shuffle(result)  # type: ignore[arg-type]
    return result
