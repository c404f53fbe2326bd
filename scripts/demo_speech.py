"""The demo's spoken language: words, a small grammar, voices, and speech from espeak-ng.

Everything is drawn from seeded generators, so the same seed gives the same sentences, voices and samples.
"""

import io
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16000
"""Samples a second of all demo speech."""

NOISE = 0.0003
"""Standard deviation of the noise under every clip, about ten steps of 16 bit samples."""

DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
COLOURS = ("RED", "GREEN", "BLUE", "WHITE", "BLACK", "YELLOW")
DIRECTIONS = ("LEFT", "RIGHT", "UP", "DOWN", "NORTH", "SOUTH")
OPENABLE = ("DOOR", "BOX")
SWITCHED = ("LAMP", "MUSIC")
COMMANDS = ("GO", "STOP", "TURN", "OPEN", "CLOSE", "MOVE")
STATES = ("ON", "OFF")
WORDS = DIGITS + COLOURS + DIRECTIONS + OPENABLE + SWITCHED + COMMANDS + STATES
"""The whole vocabulary."""

ACCENTS = ("en-us", "en-gb", "en-gb-scotland")
TIMBRES = ("f1", "f2", "f3", "f4", "m1", "m2", "m3", "m4", "m6", "m7")
HELD_OUT = (
    ("en-us", "f2"),
    ("en-us", "m3"),
    ("en-gb", "f4"),
    ("en-gb", "m1"),
    ("en-gb-scotland", "f1"),
    ("en-gb-scotland", "m7"),
)
"""Pairs of accent and timbre that only the test clips use."""


@dataclass(frozen=True)
class Voice:
    """One setting of the synthesiser.

    Attributes:
        accent: espeak-ng's voice, such as `en-gb`.
        timbre: espeak-ng's variant, such as `f2`.
        pitch: espeak-ng's pitch, 0 to 99.
        speed: Words a minute.
        gap: Extra silence between words, in hundredths of a second.
    """

    accent: str
    timbre: str
    pitch: int
    speed: int
    gap: int


@dataclass(frozen=True)
class Utterance:
    """A sentence with the voice that speaks it."""

    text: str
    voice: Voice


def sentence(rng: random.Random) -> str:
    """A sentence of two to six words of the demo's grammar, in upper case."""
    patterns: tuple[Callable[[], list[str]], ...] = (
        lambda: rng.choices(DIGITS, k=rng.randint(2, 6)),
        lambda: [rng.choice(("GO", "TURN", "MOVE")), rng.choice(DIRECTIONS)],
        lambda: ["GO", rng.choice(DIRECTIONS), rng.choice(DIGITS), "STOP"],
        lambda: ["TURN", rng.choice(SWITCHED), rng.choice(DIGITS), rng.choice(STATES)],
        lambda: [rng.choice(("OPEN", "CLOSE")), rng.choice(COLOURS), rng.choice(OPENABLE)],
        lambda: [rng.choice(("OPEN", "CLOSE")), rng.choice(OPENABLE), *rng.choices(DIGITS, k=rng.randint(1, 2))],
        lambda: ["MOVE", rng.choice(COLOURS), rng.choice(OPENABLE), rng.choice(DIGITS), rng.choice(DIRECTIONS)],
        lambda: ["TURN", rng.choice(COLOURS), rng.choice(SWITCHED), rng.choice(STATES), "GO", rng.choice(DIRECTIONS)],
    )
    return " ".join(rng.choice(patterns)())


def word_salad(rng: random.Random) -> str:
    """One to four words in any order, which keeps the networks from learning the grammar instead of the sounds."""
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))


def training_voice(rng: random.Random) -> Voice:
    """A voice whose accent and timbre are never paired in the test clips."""
    accent, timbre = rng.choice([pair for pair in product(ACCENTS, TIMBRES) if pair not in HELD_OUT])
    return Voice(accent, timbre, rng.randint(30, 70), rng.randint(110, 175), rng.randint(0, 25))


def training_utterances(seed: int, count: int, forbidden: frozenset[str]) -> Iterator[Utterance]:
    """Utterances to train on: half sentences, half loose words.

    Args:
        seed: Seed of the generator.
        count: How many utterances.
        forbidden: Sentences of the test set, which are left out.

    Yields:
        `count` utterances.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible data, not a secret
    while count:
        text = sentence(rng) if rng.random() < 0.5 else word_salad(rng)
        voice = training_voice(rng)
        if text not in forbidden:
            count -= 1
            yield Utterance(text, voice)


def test_utterances(seed: int, count: int) -> list[list[Utterance]]:
    """Different sentences for the test clips, one list for each held-out voice."""
    rng = random.Random(seed)  # noqa: S311 - reproducible data, not a secret
    texts: list[str] = []
    while len(texts) < count:
        text = sentence(rng)
        if text not in texts:
            texts.append(text)
    voices = [Voice(*pair, rng.randint(35, 65), rng.randint(115, 165), rng.randint(0, 25)) for pair in HELD_OUT]
    return [[Utterance(text, voice) for text in texts[index :: len(voices)]] for index, voice in enumerate(voices)]


def synthesize(utterance: Utterance) -> np.ndarray:
    """Speaks an utterance with espeak-ng.

    Returns:
        Mono float32 samples at 16 kHz, without the silence at both ends, with a greatest magnitude of 0.5.

    Raises:
        SystemExit: espeak-ng is not installed.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise SystemExit("espeak-ng was not found. Install it, for example with: apt-get install espeak-ng")
    voice = utterance.voice
    # Lower case, because espeak-ng spells some short words in capitals letter by letter.
    command = [program, "-v", f"{voice.accent}+{voice.timbre}", "-p", str(voice.pitch), "-s", str(voice.speed)]
    command += ["-g", str(voice.gap), "--stdout", utterance.text.lower()]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    samples = soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.005 * np.abs(samples).max())
    samples = samples[loud[0] : loud[-1] + 1]
    return samples * np.float32(0.5 / np.abs(samples).max())


def with_silence(samples: np.ndarray, length: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Puts speech at a random place of a clip of `length` samples and adds faint noise.

    The noise keeps digital silence, whose logarithm is unlike that of any recording, out of the data.

    Returns:
        The clip, and the sample at which the speech begins.
    """
    before = int(rng.integers(0, length - len(samples) + 1))
    clip = rng.normal(0.0, NOISE, length).astype(np.float32)
    clip[before : before + len(samples)] += samples
    return clip, before
