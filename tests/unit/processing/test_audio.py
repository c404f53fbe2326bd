"""Sounds of every format are read exactly; every bad one is refused with its reason."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferry.core.errors import SampleError
from inferry.core.samples import Audio, AudioFile
from inferry.processing.audio import Extent, extent, measure, read

RATE = 16_000
FRAMES = 4_001


def _noise(channels: int = 1, frames: int = FRAMES) -> np.ndarray:
    noise = np.random.default_rng(7).uniform(-0.9, 0.9, (frames, channels))
    return noise[:, 0] if channels == 1 else noise


def _bytes(format_: str = "WAV", subtype: str | None = "PCM_16", channels: int = 1, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, _noise(channels), rate, format=format_, subtype=subtype)
    return buffer.getvalue()


def _write(folder: Path, content: bytes, name: str = "sound.bin") -> AudioFile:
    path = folder / name
    path.write_bytes(content)
    return AudioFile(path)


# ------------------------------------------------------------------------------------------------------ formats

LOSSLESS = [
    ("WAV", "PCM_U8", 8),
    ("WAV", "PCM_16", 16),
    ("WAV", "PCM_24", 24),
    ("WAV", "PCM_32", 32),
    ("WAVEX", "PCM_16", 16),
    ("RF64", "PCM_16", 16),
    ("W64", "PCM_16", 16),
    ("FLAC", "PCM_16", 16),
    ("FLAC", "PCM_24", 24),
    ("NIST", "PCM_16", 16),
    ("NIST", "PCM_24", 24),
    ("AIFF", "PCM_16", 16),
    ("AIFF", "PCM_S8", 8),
    ("AU", "PCM_16", 16),
    ("CAF", "PCM_16", 16),
]


@pytest.mark.parametrize(("format_", "subtype", "bits"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_integer_samples_are_value_over_full_scale(tmp_path, format_, subtype, bits, channels):
    # An even count: libsndfile writes the pad byte of an odd 8-bit AIFF as a sample.
    integers = np.random.default_rng(3).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (FRAMES + 1, channels))
    path = tmp_path / "sound"
    soundfile.write(path, (integers << (32 - bits)).astype(np.int32), RATE, format=format_, subtype=subtype)
    expected = (integers / 2.0 ** (bits - 1)).astype(np.float32).mean(axis=1, dtype=np.float32)
    found = read(AudioFile(path), RATE)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert measure(AudioFile(path), RATE) == len(expected)


@pytest.mark.parametrize(
    ("format_", "subtype"), [("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("AIFF", "FLOAT"), ("AU", "FLOAT")]
)
def test_float_samples_are_kept_even_beyond_one(tmp_path, format_, subtype):
    samples = (_noise() * 3).astype(np.float32)
    path = tmp_path / "sound"
    soundfile.write(path, samples, RATE, format=format_, subtype=subtype)
    np.testing.assert_array_equal(read(AudioFile(path), RATE), samples)


CODED = [("WAV", "ULAW"), ("WAV", "ALAW"), ("AU", "ULAW"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610")]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("format_", "subtype"), CODED + LOSSY)
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_coded_samples_are_as_libsndfile_decodes_them(tmp_path, format_, subtype, rate):
    source = _write(tmp_path, _bytes(format_, subtype, rate=rate))
    decoded, found_rate = soundfile.read(source.path, dtype="float32")
    # soundfile.read seeks to the beginning first, after which the MP3 decoder differs in the last bit.
    np.testing.assert_allclose(read(source, found_rate), decoded, rtol=0, atol=1e-6 if format_ == "MP3" else 0)
    assert measure(source, found_rate) == len(decoded)


@pytest.mark.parametrize(
    ("format_", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("NIST", "PCM_16")]
)
@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_rates_are_resampled_by_soxr(tmp_path, format_, subtype, rate, channels):
    source = _write(tmp_path, _bytes(format_, subtype, channels, rate))
    decoded = soundfile.read(source.path, dtype="float32", always_2d=True)[0].mean(axis=1, dtype=np.float32)
    found = read(source, RATE)
    np.testing.assert_array_equal(found, soxr.resample(decoded, rate, RATE, quality="HQ"))
    assert measure(source, RATE) == len(found)


@settings(max_examples=300, deadline=None)
@example(count=1000, found=12_000, wanted=22_050)  # half a sample, just below it in float64
@example(count=1001, found=32_000, wanted=16_000)  # half a sample, exact in float64
@given(
    count=st.integers(1, 20_000),
    found=st.sampled_from([6_000, 8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_099, 44_100, 48_000, 96_000]),
    wanted=st.sampled_from([8_000, 16_000, 22_050]),
)
def test_measure_knows_the_length_that_soxr_gives(count, found, wanted):
    source = Audio(np.zeros(count, np.float32), found)
    expected = len(soxr.resample(source.samples, found, wanted, quality="HQ"))
    if expected:
        assert measure(source, wanted) == expected == len(read(source, wanted))
    else:
        with pytest.raises(SampleError, match="too short"):
            measure(source, wanted)


def test_measure_holds_for_a_long_sound():
    source = Audio(np.zeros(3_000_001, np.float32), 44_100)
    assert measure(source, RATE) == len(read(source, RATE))


def test_silence_of_a_sine_is_not_changed_in_pitch_by_resampling():
    seconds = np.arange(44_100) / 44_100
    found = read(Audio(np.sin(2 * np.pi * 440 * seconds), 44_100), RATE)
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(found[500:-500], expected[500:-500], atol=1e-4)


# ----------------------------------------------------------------------------------------------------- segments

SEGMENTS = [(0.0, 0.1), (0.1, 0.2), (0.05, None), (1 / 3, 0.45), (0.00003, 0.2), (0.3, FRAMES / 8_000)]


@pytest.mark.parametrize(("start", "end"), SEGMENTS)
@pytest.mark.parametrize("format_", ["WAV", "FLAC", "NIST", "OGG"])
def test_a_segment_is_cut_at_the_nearest_sample(tmp_path, format_, start, end):
    source = _write(tmp_path, _bytes(format_, None, rate=8_000))
    whole = read(source, 8_000)
    part = AudioFile(source.path, start, end)
    expected = whole[round(start * 8_000) : None if end is None else round(end * 8_000)]
    np.testing.assert_array_equal(read(part, 8_000), expected)
    assert measure(part, 8_000) == len(expected)
    assert measure(part, RATE) == len(read(part, RATE))


def test_a_long_file_is_read_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("inferry.processing.audio._BLOCK", 512)
    source = _write(tmp_path, _bytes("FLAC", channels=2))
    expected = soundfile.read(source.path, dtype="float32")[0].mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(read(source, RATE), expected)


# ---------------------------------------------------------------------------------------------------- in memory


@pytest.mark.parametrize("dtype", ["int8", "int16", ">i2", "int32", "int64", "uint8", "uint16", "uint32"])
def test_integers_in_memory_are_scaled_by_their_full_scale(dtype):
    kind = np.dtype(dtype)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    zero = 0 if kind.kind == "i" else 2 ** (8 * kind.itemsize - 1)
    found = read(Audio(np.array([low, zero, high], kind), RATE), RATE)
    np.testing.assert_array_equal(found, np.array([-1, 0, (high - zero) / (zero - low)], np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "float64"])
def test_floats_in_memory_are_cast_and_averaged(dtype):
    samples = _noise(2).astype(dtype)
    expected = samples.astype(np.float32).mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(read(Audio(samples, RATE), RATE), expected)


def test_the_caller_keeps_its_samples():
    samples = _noise().astype(np.float32)
    found = read(Audio(samples, RATE), RATE)
    found[:] = 0
    assert samples.any()


# ------------------------------------------------------------------------------------------- bad paths and values


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


def _link(folder: Path, target: str) -> Path:
    (folder / "link.wav").symlink_to(target)
    return folder / "link.wav"


BAD_PATHS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing file": (lambda folder: folder / "none.wav", "does not exist"),
    "missing folder": (lambda folder: folder / "none" / "a.wav", "does not exist"),
    "folder": (lambda folder: folder, "a folder, not a file"),
    "dangling link": (lambda folder: _link(folder, "nowhere.wav"), "link points to a missing file .nowhere.wav"),
    "link to itself": (lambda folder: _link(folder, "link.wav"), "cannot be opened"),
    "named pipe": (_fifo, "not a regular file"),
    "path with a NUL": (lambda folder: folder / "a\0b.wav", "cannot be opened"),
    "name too long": (lambda folder: folder / ("a" * 300), "cannot be opened"),
    "file as a folder": (lambda folder: _write(folder, b"x").path / "a.wav", "cannot be opened"),
}


@pytest.mark.parametrize("kind", BAD_PATHS)
@pytest.mark.parametrize("use", [read, measure])
def test_a_bad_path_is_refused_with_its_reason(tmp_path, kind, use):
    make, reason = BAD_PATHS[kind]
    with pytest.raises(SampleError, match=reason) as caught:
        use(AudioFile(make(tmp_path)), RATE)
    assert caught.value.stage == "read"


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    source = _write(tmp_path, _bytes())

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SampleError, match="no permission"):
        read(source, RATE)


BAD_SEGMENTS = {
    "start at the end": (0.2, 0.2, "not before its end"),
    "start after the end": (0.2, 0.1, "not before its end"),
    "start beyond the file": (9.0, None, "not before its end at 0.25"),
    "end beyond the file": (0.0, 0.3, "beyond the end of the file"),
    "end one sample beyond": (0.0, (FRAMES + 1) / RATE, "beyond the end of the file"),
    "negative start": (-0.1, 0.1, "before the file"),
    "NaN start": (float("nan"), 0.1, "not finite"),
    "infinite end": (0.0, float("inf"), "not finite"),
}


@pytest.mark.parametrize("kind", BAD_SEGMENTS)
@pytest.mark.parametrize("use", [read, measure])
def test_a_bad_segment_is_refused_with_its_reason(tmp_path, kind, use):
    start, end, reason = BAD_SEGMENTS[kind]
    source = _write(tmp_path, _bytes())
    with pytest.raises(SampleError, match=reason):
        use(AudioFile(source.path, start, end), RATE)


def _zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


BAD_SOUNDS = {
    "boolean samples": (_zeros(9, dtype="bool"), RATE, "floats or integers, not bool"),
    "complex samples": (_zeros(9, dtype="complex64"), RATE, "not complex64"),
    "text samples": (np.array(["a"]), RATE, "floats or integers"),
    "object samples": (np.array([None, 1]), RATE, "not object"),
    "a list": ([0.0, 0.1], RATE, "not list"),
    "three dimensions": (_zeros(2, 2, 2), RATE, r"not \(2, 2, 2\)"),
    "no dimension": (_zeros(), RATE, r"not \(\)"),
    "no samples": (_zeros(0), RATE, "no samples"),
    "no samples of two channels": (_zeros(0, 2), RATE, "no samples"),
    "no channels": (_zeros(5, 0), RATE, "0 channels"),
    "channels first": (_zeros(2, 16_000), RATE, "16000 channels"),
    "rate zero": (_zeros(9), 0, "a rate of 0 Hz"),
    "negative rate": (_zeros(9), -16_000, "a rate of -16000 Hz"),
    "rate of a fraction": (_zeros(9), 16_000.5, "whole number"),
    "NaN rate": (_zeros(9), float("nan"), "whole number"),
    "text as rate": (_zeros(9), "16000", "whole number"),
    "boolean rate": (_zeros(9), True, "whole number"),
    "absurd rate": (_zeros(9), 10**9, "outside"),
    "too short to resample": (_zeros(1), 48_000, "too short"),
}


@pytest.mark.parametrize("kind", BAD_SOUNDS)
@pytest.mark.parametrize("use", [read, measure])
def test_a_bad_sound_in_memory_is_refused_with_its_reason(kind, use):
    samples, rate, reason = BAD_SOUNDS[kind]
    with pytest.raises(SampleError, match=reason) as caught:
        use(Audio(samples, rate), RATE)
    assert caught.value.stage == "read"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_samples_in_memory_that_are_not_finite_are_refused(value):
    with pytest.raises(SampleError, match="NaN or infinite"):
        read(Audio(np.array([0.0, value]), RATE), RATE)


def test_open_files_are_closed(tmp_path):
    good, bad = _write(tmp_path, _bytes(), "good"), _write(tmp_path, b"text", "bad")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.is_dir() else pytest.skip("no /proc")
    for _ in range(5):
        read(good, RATE)
        with pytest.raises(SampleError):
            read(bad, RATE)
    assert len(list(descriptors.iterdir())) == before


# --------------------------------------------------------------------------------------------------- real sound


def test_a_sphere_file_equals_its_flac_twin(shared):
    folder = shared / "data" / "an4_test"
    sphere = read(AudioFile(folder / "sph" / "cen8-fcaw-b.sph"), RATE)
    np.testing.assert_array_equal(sphere, read(AudioFile(folder / "flac" / "cen8-fcaw-b.flac"), RATE))


def test_wav_files_equal_their_flac_twins(shared):
    wavs = sorted((shared / "data" / "an4_test" / "wav").glob("*.wav"))
    assert wavs
    for wav in wavs:
        flac = wav.parent.parent / "flac" / f"{wav.stem}.flac"
        np.testing.assert_array_equal(read(AudioFile(wav), RATE), read(AudioFile(flac), RATE))


def test_real_stereo_sound_at_44100_hz_becomes_eleven_seconds(shared):
    source = AudioFile(shared / "data" / "speech_misc" / "jfk.flac")
    assert len(read(source, RATE)) == measure(source, RATE) == 11 * RATE


def test_the_extent_is_in_the_sound_s_own_samples(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(3000), 8000)
    assert extent(AudioFile(path, 0.125)) == Extent(1000, 2000, 8000)
    assert extent(Audio(np.zeros((50, 2)), 16_000)) == Extent(0, 50, 16_000)
