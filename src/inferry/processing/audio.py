"""Sound as the speech models take it: mono, float32, at the model's rate.

Integer samples become ``value / 2**(bits - 1)`` as in torchaudio, channels are averaged in float32, and only a
sound of another rate is resampled (soxr, quality HQ).
"""

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from inferry.core.errors import SampleError
from inferry.core.samples import Audio, AudioFile, Source
from inferry.core.specs import Array, FloatArray
from inferry.processing import audio_headers

_QUALITY = "HQ"
_MAX_CHANNELS = 256
_RATES = range(1_000, 768_001)
_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "NIST", "AIFF", "AU", "CAF"})
"""Of libsndfile's formats those whose cut files are known to be noticed."""

_BLOCK = 1 << 20
"""Frames read at once, so that a header that lies about the length cannot ask for more memory than the file fills."""

_UNKNOWN_LENGTH = 1 << 62
"""libsndfile gives an absurd number of frames for a FLAC stream that does not state its length."""


@dataclass(frozen=True, slots=True)
class _Span:
    """The frames of one file to read."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a sound lies, in its own samples.

    Attributes:
        first: Its first sample; 0 for a sound in memory.
        count: Samples of one channel.
        rate: Samples per second.
    """

    first: int
    count: int
    rate: int


def read(source: Source, rate: int) -> FloatArray:
    """A sound as mono samples.

    Args:
        source: In memory or in a file (WAV and its 64-bit kinds, FLAC, OGG, MP3, NIST SPHERE, AIFF, AU, CAF). For a
            damaged MP3 file the decoder may write lines of its own to stderr.
        rate: Wanted samples per second.

    Returns:
        ``(n,)`` float32, nominally in [-1, 1]; float sources are not clipped.

    Raises:
        SampleError: Stage ``read``; the source is missing, no sound, cut short, empty or not finite.
    """
    sound = as_sound(source)
    samples, found_rate = _from_memory(sound) if isinstance(sound, Audio) else _from_file(sound)
    if not np.isfinite(samples).all():
        raise _refuse("the sound holds samples that are NaN or infinite")
    count = _resampled(len(samples), found_rate, rate)
    if found_rate == rate:
        return samples
    try:
        result: FloatArray = soxr.resample(samples, found_rate, rate, quality=_QUALITY)
    except (RuntimeError, ValueError) as error:
        raise _refuse(f"cannot resample from {found_rate} to {rate} Hz: {error}") from error
    # One sample more or less is rounding of another soxr, and no reason to refuse a good sound.
    if abs(len(result) - count) > 1 or not np.isfinite(result).all():
        raise _refuse(f"resampling from {found_rate} to {rate} Hz failed: {len(result)} samples instead of {count}")
    return result


def measure(source: Source, rate: int) -> int:
    """How many samples `read` will return, from headers only.

    Exact for sounds in memory and for WAV, FLAC, OGG, AIFF, AU and SPHERE files. An MP3 without a Xing header, and a
    FLAC or MP3 file whose end is missing, may differ (`read` refuses the latter); a shape plan needs an estimate only.

    Args:
        source: In memory or in a file.
        rate: Wanted samples per second.

    Raises:
        SampleError: Stage ``read``; what the header can tell is checked as in `read`.
    """
    found = extent(source)
    return _resampled(found.count, found.rate, rate)


def extent(source: Source) -> Extent:
    """A sound's place and rate before resampling, from headers only; see `measure`.

    Raises:
        SampleError: Stage ``read``.
    """
    sound = as_sound(source)
    if isinstance(sound, Audio):
        return Extent(0, _checked(sound).shape[0], _rate(sound.rate))
    with _opened(sound.path) as (file, frames):
        span = _span(sound, frames, file.samplerate)
        return Extent(span.first, span.count, file.samplerate)


def as_sound(source: Source) -> Audio | AudioFile:
    """The source, if it is a sound.

    Raises:
        SampleError: Stage ``read``; it belongs to another task.
    """
    if isinstance(source, (Audio, AudioFile)):
        return source
    raise _refuse(f"expected a sound, found {type(source).__name__}")


def _refuse(reason: str) -> SampleError:
    return SampleError("read", reason)


def _resampled(count: int, found: int, wanted: int) -> int:
    """Length after resampling, as soxr computes it: in float64, by division through the ratio of the rates.

    In whole numbers an exact half would round up; here ``1000 / (12000 / 22050)`` is just below 1837.5.
    """
    length = count if found == wanted else math.floor(count / (found / wanted) + 0.5)
    if count == 0:
        raise _refuse("the sound has no samples")
    if length == 0:
        raise _refuse(f"the sound is too short: {count} samples at {found} Hz give none at {wanted} Hz")
    return length


def _rate(rate: object) -> int:
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer | float) or rate != rate // 1:
        raise _refuse(f"the rate must be a whole number of samples per second, not {rate!r}")
    if int(rate) not in _RATES:
        raise _refuse(f"a rate of {int(rate)} Hz is outside {_RATES[0]} to {_RATES[-1]} Hz")
    return int(rate)


def _mono(samples: Array) -> FloatArray:
    """Mean of the channels of ``(n, channels)`` float32 samples."""
    return np.ascontiguousarray(samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32))


# ---------------------------------------------------------------------------------------------------- in memory


def _checked(source: Audio) -> Array:
    samples = source.samples
    if not isinstance(samples, np.ndarray) or samples.dtype.kind not in "fiu":
        kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise _refuse(f"samples must be a numpy array of floats or integers, not {kind}")
    if samples.ndim not in {1, 2}:
        raise _refuse(f"samples must have the shape (n,) or (n, channels), not {samples.shape}")
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    if not 1 <= channels <= _MAX_CHANNELS:
        raise _refuse(f"{channels} channels are outside 1 to {_MAX_CHANNELS}; the shape must be (n, channels)")
    return samples


def _from_memory(source: Audio) -> tuple[FloatArray, int]:
    samples = _checked(source)
    rate = _rate(source.rate)
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which `read` refuses
            scaled = samples.astype(np.float32)
    else:
        full_scale = 2.0 ** (8 * samples.itemsize - 1)
        exact = samples.astype(np.float64)
        scaled = ((exact - (full_scale if samples.dtype.kind == "u" else 0.0)) / full_scale).astype(np.float32)
    return _mono(scaled.reshape(len(scaled), -1)) if scaled.size else np.empty(0, np.float32), rate


# ------------------------------------------------------------------------------------------------------- files


def _from_file(source: AudioFile) -> tuple[FloatArray, int]:
    with _opened(source.path) as (file, frames):
        rate: int = file.samplerate
        span = _span(source, frames, rate)
        return _decode(file, span), rate


def _span(source: AudioFile, frames: int, rate: int) -> _Span:
    """Frames between the start and the end; seconds are rounded to the nearest frame."""
    if not isfinite(source.start) or (source.end is not None and not isfinite(source.end)):
        raise _refuse(f"the segment from {source.start} to {source.end} s is not finite")
    if source.start < 0:
        raise _refuse(f"the segment starts at {source.start} s, before the file")
    first = round(source.start * rate)
    last = frames if source.end is None else round(source.end * rate)
    if (source.end is not None or source.start) and first >= last:
        end = frames / rate if source.end is None else source.end
        raise _refuse(f"the segment starts at {source.start} s, which is not before its end at {end:g} s")
    if last > frames:
        raise _refuse(f"the segment ends at {source.end} s, beyond the end of the file at {frames / rate:g} s")
    return _Span(first, last - first)


def _decode(file: Any, span: _Span) -> FloatArray:  # noqa: ANN401 -- soundfile publishes no types
    """Mono samples of a span, block by block."""
    blocks = [np.empty(0, np.float32)]
    done = 0
    while done < span.count:
        # What the decoder did not reach stays NaN, which tells how far it came.
        buffer = np.full((min(_BLOCK, span.count - done), file.channels), np.nan, np.float32)
        try:
            if done == 0 and span.first:
                file.seek(span.first)
            got = len(file.read(out=buffer))
        except (soundfile.SoundFileError, RuntimeError) as error:
            reached = span.first + done + int((~np.isnan(buffer[:, 0])).sum())
            raise _cut_short(file.frames, reached, f" ({_vendor(error)})") from error
        if got < len(buffer):
            raise _cut_short(file.frames, span.first + done + got)
        blocks.append(_mono(buffer))
        done += got
    return np.concatenate(blocks)


def _cut_short(promised: int, found: int, detail: str = "") -> SampleError:
    what = "cut short or damaged" if detail else "cut short"
    return _refuse(f"the file is {what}: header says {promised} frames, {found} could be read{detail}")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, int]]:
    """An open `soundfile.SoundFile` whose header holds, and its number of frames."""
    with _raw(path) as raw:
        size = audio_headers.size_of(raw)
        if size == 0:
            raise _refuse("the file is empty (0 bytes)")
        promise = audio_headers.promise_of(raw, size)
        if promise is not None and promise.unit == "bytes" and promise.end > size:
            raise _refuse(f"the file is cut short: header says {promise.amount} bytes, the file has {size}")
        if problem := audio_headers.ogg_problem(raw, size):
            raise _refuse(problem)
        with _sound(raw) as file:
            frames: int = file.frames
            if promise is not None and promise.unit == "frames":
                if promise.end > size:
                    raise _cut_short(promise.amount, frames)
                # libsndfile counts bytes after the samples (a pad byte of AIFF, anything in SPHERE) as samples.
                frames = min(frames, promise.amount) if _is_plain(file) else frames
            yield file, frames


def _is_plain(file: Any) -> bool:  # noqa: ANN401 -- soundfile publishes no types
    return file.format in {"NIST", "AIFF"} and file.subtype.startswith(("PCM_", "ULAW", "ALAW", "FLOAT", "DOUBLE"))


@contextmanager
def _raw(path: Path) -> Iterator[BinaryIO]:
    """A regular file, opened unbuffered (libsndfile starts where the descriptor stands)."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise _refuse("this is a folder, not a file" if stat.S_ISDIR(mode) else "this is not a regular file")
        raw = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise _refuse(_missing(path)) from error
    except PermissionError as error:
        raise _refuse("there is no permission to read the file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise _refuse(f"the file cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    with raw:
        try:
            yield raw
        except OSError as error:
            raise _refuse(f"the file cannot be read: {error.strerror or error}") from error


def _missing(path: Path) -> str:
    return f"the link points to a missing file ({path.readlink()})" if path.is_symlink() else "the file does not exist"


@contextmanager
def _sound(raw: BinaryIO) -> Iterator[Any]:
    """An open file in libsndfile, by descriptor, so that it cannot guess a format from the file's name."""
    raw.seek(0)
    head = raw.read(audio_headers.HEAD_BYTES)
    os.lseek(raw.fileno(), 0, os.SEEK_SET)
    try:
        file = soundfile.SoundFile(raw.fileno(), closefd=False)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _refuse(audio_headers.shorten_problem(head) or _no_audio(head, error)) from error
    with file:
        if file.frames >= _UNKNOWN_LENGTH:
            raise _refuse("the FLAC header does not state its length; encode the file again with: flac")
        if file.format not in _FORMATS:
            raise _refuse(f"the format {file.format} is not supported; convert the file to WAV or FLAC")
        if file.channels > _MAX_CHANNELS:
            raise _refuse(f"{file.channels} channels are more than {_MAX_CHANNELS}")
        _rate(file.samplerate)
        yield file


def _no_audio(head: bytes, error: Exception) -> str:
    reason = _vendor(error)
    if head[:4] in {b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b".snd", b"NIST", b"caff"}:
        return f"the file cannot be read as audio: {reason}"
    return f"the file is no audio that can be read; it seems to be {audio_headers.kind_of(head)} ({reason})"


def _vendor(error: Exception) -> str:
    """The words of libsndfile, without the descriptor that it opened."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
