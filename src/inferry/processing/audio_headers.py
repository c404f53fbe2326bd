"""What the header of a sound file promises, read before libsndfile sees the file.

libsndfile shortens a truncated WAV, AIFF, AU or SPHERE file without a word; its readers get fewer samples than were
recorded. These few functions find the promised end of the samples, so that a file which is cut short is refused.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

HEAD_BYTES = 4096
"""How much of a file the simple formats are recognised from."""

_OGG_PAGE = 65_307
"""The greatest size of one Ogg page (RFC 3533)."""

_STREAMED = frozenset({0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF})
"""Sizes that recorders write when they cannot know the size (a pipe); sox, arecord and ffmpeg in this order."""

_KINDS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (b"ajkg", "a shorten file"),
    (b"#!AMR", "an AMR file"),
    (b"0&\xb2u", "a Windows Media file"),
    (b"version https://git-lfs", "a Git LFS pointer (fetch the file with: git lfs pull)"),
)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a header says about the samples.

    Attributes:
        amount: How many there are.
        unit: Of `amount`: ``frames`` or ``bytes``.
        end: Position in the file, in bytes, where they end.
    """

    amount: int
    unit: str
    end: int


def promise_of(file: BinaryIO, size: int) -> Promise | None:
    """The promised extent of the samples.

    Args:
        file: Opened unbuffered; its position is moved.
        size: Of the file in bytes.

    Returns:
        None if the format has no such header, or the header says that the length is unknown.
    """
    head = _at(file, 0, HEAD_BYTES)
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return _wav(file, size)
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _w64(file, size)
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return _aiff(file, size)
    if head[:4] == b".snd":
        return _au(head)
    if head[:7] == b"NIST_1A":
        return _sphere(head)
    return _mp3(file, head)


def ogg_problem(file: BinaryIO, size: int) -> str | None:
    """Why an Ogg file cannot be read as a whole, None if it can or is no Ogg file (RFC 3533).

    libsndfile reads only the first of several chained streams, and a cut file up to its last whole page.
    """
    if _at(file, 0, 4) != b"OggS":
        return None
    tail = _at(file, max(0, size - _OGG_PAGE), _OGG_PAGE)
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 18 or not tail[last + 5] & 4:
        return "the file is cut short: its last Ogg page is not marked as the end of the stream"
    if tail[last + 14 : last + 18] != _at(file, 14, 4):
        return "the file holds several Ogg streams, of which only the first could be read; split it"
    return None


def shorten_problem(head: bytes) -> str | None:
    """Why a NIST SPHERE file cannot be decoded, None if its samples are plain or it is no SPHERE file."""
    coding = _sphere_fields(head).get("sample_coding", "pcm")
    if head[:7] != b"NIST_1A" or "," not in coding:
        return None
    return f"the NIST SPHERE file is compressed ({coding}); decompress it first, for example with: sph2pipe -f wav"


def kind_of(head: bytes) -> str:
    """What a file that is no audio seems to be, in words for people."""
    for magic, kind in _KINDS:
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return "an MP4 or M4A file"
    text = head[:512].lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if not text.strip(b"\0"):
        return "empty (only zero bytes)"
    return "text" if not re.search(rb"[^\t\n\r\x20-\x7e\x80-\xff]", text) else "of an unknown kind"


def _at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _chunks(file: BinaryIO, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, position of the content and stated size of each chunk of a RIFF or FORM file."""
    position = 12
    while position + 8 <= size:
        name, length = struct.unpack(f"{order}4sI", _at(file, position, 8))
        yield name, position + 8, length
        position += 8 + length + length % 2


def _wav(file: BinaryIO, size: int) -> Promise | None:
    align, per_block, wide = 0, 1, None
    for name, position, length in _chunks(file, size, "<"):
        if name == b"ds64":  # RF64 keeps its 64-bit sizes here (EBU Tech 3306)
            (wide,) = struct.unpack("<8xQ", _at(file, position, 16).ljust(16, b"\0"))
        elif name == b"fmt ":
            code, align, per_block = struct.unpack("<H10xH4xH", _at(file, position, 20).ljust(20, b"\0"))
            per_block = {0x02: per_block, 0x11: per_block, 0x31: 320}.get(code, 1)
        elif name == b"data":
            stated = wide if wide is not None and length == 0xFFFFFFFF else length
            if stated in _STREAMED or not align:
                return None
            return Promise(stated // align * per_block, "frames", position + stated)
    return None


def _w64(file: BinaryIO, size: int) -> Promise | None:
    """Sony Wave64: 16-byte names that begin like those of WAV, 64-bit sizes that count the chunk's own 24 bytes."""
    align, position = 0, 40
    while position + 24 <= size:
        name, length = struct.unpack("<4s12xQ", _at(file, position, 24))
        if name == b"fmt ":
            (align,) = struct.unpack("<12xH", _at(file, position + 24, 14).ljust(14, b"\0"))
        elif name == b"data":
            return Promise((length - 24) // align, "frames", position + length) if align and length >= 24 else None
        position += max(24, length + -length % 8)
    return None


def _aiff(file: BinaryIO, size: int) -> Promise | None:
    frames = 0
    for name, position, length in _chunks(file, size, ">"):
        if name == b"COMM":
            (frames,) = struct.unpack(">2xI", _at(file, position, 6).ljust(6, b"\0"))
        elif name == b"SSND" and length not in _STREAMED:
            return Promise(frames, "frames", position + length)
    return None


def _au(head: bytes) -> Promise | None:
    if len(head) < 24:
        return None
    offset, length, coding, _, channels = struct.unpack(">4x5I", head[:24])
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(coding)
    if length in _STREAMED or width is None or not channels:
        return None
    return Promise(length // (width * channels), "frames", offset + length)


def _sphere_fields(head: bytes) -> dict[str, str]:
    """The ``name -type value`` lines of a NIST SPHERE header."""
    text = head.decode("latin-1").partition("end_head")[0]
    return {name: value.strip() for name, value in re.findall(r"^(\w+) -\w+ (.+)$", text, re.MULTILINE)}


def _sphere(head: bytes) -> Promise | None:
    fields = _sphere_fields(head)
    try:
        start = int(head[8:16])
        frames = int(fields["sample_count"])
        width = int(fields["sample_n_bytes"]) * int(fields["channel_count"])
    except (KeyError, ValueError):
        return None
    return Promise(frames, "frames", start + frames * width)


def _mp3(file: BinaryIO, head: bytes) -> Promise | None:
    """From the Xing or Info header of the first frame; a file without it states no length."""
    start = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    frame = _at(file, start, 64)
    found = re.search(rb"Xing|Info", frame)
    if len(frame) < 64 or frame[0] != 0xFF or found is None:
        return None
    flags, _, stated = struct.unpack(">3I", _at(file, start + found.end(), 12).ljust(12, b"\0"))
    # Encoders differ by a tag or a frame in what they count, so one hundredth is no evidence.
    return Promise(stated, "bytes", start + stated * 99 // 100) if flags & 3 == 3 and stated else None


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size
