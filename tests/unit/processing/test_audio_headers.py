"""A file whose header does not hold, or that is no sound, is refused with its reason."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inferry.core.errors import SampleError
from inferry.core.samples import AudioFile
from inferry.processing.audio import measure, read

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


def _patched(content: bytes, position: int, replacement: bytes) -> bytes:
    return content[:position] + replacement + content[position + len(replacement) :]


def _flac_length(frames: int) -> bytes:
    content = _bytes("FLAC")
    high = content[21] & 0xF0 | frames >> 32
    return _patched(content, 21, bytes([high]) + struct.pack(">I", frames & 0xFFFFFFFF))


def _half(format_: str, subtype: str | None = None) -> bytes:
    content = _bytes(format_, subtype)
    return content[: len(content) // 2]


def _float_wav(value: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([0.0, value, 0.0]), RATE, format="WAV", subtype="DOUBLE")
    return buffer.getvalue()


def _chained() -> bytes:
    first = _bytes("OGG", "VORBIS")
    return first + first.replace(first[14:18], b"next")


def _shorten() -> bytes:
    header = "NIST_1A\n   1024\nsample_count -i 100\nsample_n_bytes -i 2\nchannel_count -i 1\nsample_rate -i 16000\n"
    coded = header + "sample_byte_format -s2 01\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    return coded.encode().ljust(1024) + bytes(200)


CUT = r"cut short: header says \d+ frames, \d+ could be read"
BAD_CONTENT: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty file": (lambda: b"", "empty \\(0 bytes\\)"),
    "one byte": (lambda: b"R", "no audio that can be read"),
    "plain text": (lambda: b"hello world\n" * 20, "seems to be text"),
    "HTML page": (lambda: b"<!DOCTYPE html><html>404</html>", "an HTML page"),
    "Git LFS pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "PNG image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image"),
    "JPEG image": (lambda: b"\xff\xd8\xff\xe0" + bytes(99), "a JPEG image"),
    "gzip archive": (lambda: b"\x1f\x8b\x08" + bytes(99), "a gzip archive"),
    "zip archive": (lambda: b"PK\x03\x04" + bytes(99), "a zip archive"),
    "MP4 file": (lambda: b"\0\0\0 ftypM4A " + bytes(99), "an MP4 or M4A file"),
    "WebM file": (lambda: b"\x1aE\xdf\xa3" + bytes(99), "a Matroska or WebM file"),
    "zero bytes only": (lambda: bytes(5_000), "only zero bytes"),
    "random bytes": (lambda: np.random.default_rng(1).bytes(5_000), "of an unknown kind"),
    "WAV header alone": (lambda: _bytes()[:44], CUT),
    "WAV cut in its header": (lambda: _bytes()[:20], "cannot be read as audio"),
    "WAV cut in half": (lambda: _half("WAV"), CUT),
    "WAV without its last sample": (lambda: _bytes()[:-2], f"header says {FRAMES} frames, {FRAMES - 1} could be read"),
    "WAV without its last byte": (lambda: _bytes()[:-1], CUT),
    "mu-law WAV cut": (lambda: _half("WAV", "ULAW"), CUT),
    "ADPCM WAV cut": (lambda: _half("WAV", "IMA_ADPCM"), CUT),
    "RF64 cut": (lambda: _half("RF64"), CUT),
    "W64 cut": (lambda: _half("W64"), CUT),
    "CAF cut": (lambda: _half("CAF"), "cannot be read as audio"),
    "format that is not supported": (lambda: _bytes("VOC"), "format VOC is not supported"),
    "AIFF cut": (lambda: _half("AIFF"), CUT),
    "AU cut": (lambda: _half("AU"), CUT),
    "SPHERE cut": (lambda: _half("NIST"), CUT),
    "FLAC cut": (lambda: _half("FLAC"), "cut short or damaged: header says 4001 frames"),
    "FLAC header that promises more": (lambda: _flac_length(5_000), "header says 5000 frames, 4001 could be read"),
    "FLAC header that promises a terabyte": (lambda: _flac_length(2**35), "cut short or damaged"),
    "FLAC of unstated length": (lambda: _flac_length(0), "does not state its length"),
    "OGG cut": (lambda: _half("OGG", "VORBIS"), "cut short: its last Ogg page"),
    "two chained OGG streams": (_chained, "several Ogg streams"),
    "MP3 cut": (lambda: _half("MP3", "MPEG_LAYER_III"), r"cut short: header says \d+ bytes, the file has \d+"),
    "shorten in SPHERE": (_shorten, "compressed .*shorten.*sph2pipe"),
    "WAV without samples": (lambda: _patched(_bytes()[:44], 40, bytes(4)), "no samples"),
    "NaN": (lambda: _float_wav(np.nan), "NaN or infinite"),
    "infinity": (lambda: _float_wav(np.inf), "NaN or infinite"),
    "double beyond float32": (lambda: _float_wav(1e300), "NaN or infinite"),
    "WAV of 60000 channels": (lambda: _patched(_bytes(), 22, struct.pack("<H", 60_000)), "(?i)channels"),
    "WAV of 1000 channels": (lambda: _patched(_bytes(), 22, struct.pack("<H", 1_000)), "1000 channels"),
    "WAV of no channels": (lambda: _patched(_bytes(), 22, bytes(2)), "cannot be read as audio: Channel count is zero"),
    "WAV of rate 0": (lambda: _patched(_bytes(), 24, bytes(4)), "cannot be read as audio"),
    "WAV of rate 1": (lambda: _patched(_bytes(), 24, struct.pack("<I", 1)), "a rate of 1 Hz"),
    "WAV of an unknown codec": (lambda: _patched(_bytes(), 20, struct.pack("<H", 0x1234)), "cannot be read as audio"),
}
ONLY_WHEN_DECODED = {
    *("FLAC cut", "FLAC header that promises more", "FLAC header that promises a terabyte"),
    *("NaN", "infinity", "double beyond float32"),
}


@pytest.mark.parametrize("kind", BAD_CONTENT)
def test_a_bad_file_is_refused_with_its_reason(tmp_path, kind):
    make, reason = BAD_CONTENT[kind]
    source = _write(tmp_path, make())
    with pytest.raises(SampleError, match=reason) as caught:
        read(source, RATE)
    assert caught.value.stage == "read"
    if kind not in ONLY_WHEN_DECODED:
        with pytest.raises(SampleError, match=reason):
            measure(source, RATE)


def test_bytes_after_the_samples_of_a_sphere_file_are_no_samples(tmp_path):
    source = _write(tmp_path, _bytes("NIST") + bytes(100))
    assert len(read(source, RATE)) == measure(source, RATE) == FRAMES


def test_the_pad_byte_of_an_aiff_file_is_no_sample(tmp_path):
    content = _bytes("AIFF", "PCM_S8")
    position = content.index(b"COMM") + 10
    source = _write(tmp_path, _patched(content, position, struct.pack(">I", FRAMES)))
    assert len(read(source, RATE)) == measure(source, RATE) == FRAMES


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_recording_from_a_pipe_states_no_length_and_is_read_whole(tmp_path, size):
    content = _bytes()
    source = _write(tmp_path, _patched(content, content.index(b"data") + 4, struct.pack("<I", size)))
    assert len(read(source, RATE)) == FRAMES


def test_no_format_is_guessed_from_the_name(tmp_path):
    source = _write(tmp_path, b"hello world\n" * 20, "text.vox")
    with pytest.raises(SampleError, match="seems to be text"):
        read(source, RATE)


def test_reading_prints_nothing(tmp_path, capfd):
    for format_, subtype in [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("FLAC", None)]:
        read(_write(tmp_path, _bytes(format_, subtype)), RATE)
        with pytest.raises(SampleError):
            read(_write(tmp_path, _half(format_, subtype)), RATE)
    assert capfd.readouterr() == ("", "")
