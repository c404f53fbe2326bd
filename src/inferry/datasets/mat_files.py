"""MAT-file level 5: just enough to read the table of classes in ImageNet's development kit (``meta.mat``).

Source: MathWorks, "MAT-File Format" (R2024b), level 5: tagged elements, some of them zlib-compressed; a struct array
lists its fields row by row, in column-major order of its elements.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np

from inferry.core.errors import DatasetError
from inferry.core.specs import Array

_HEADER: Final = 128
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHARACTERS, _NUMBERS = 2, 4, range(6, 16)
_TYPES: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
                 16: "u1", 17: "u2", 18: "u4"}  # fmt: skip
_MAX_BYTES: Final = 1 << 26
"""Of one variable; the development kit's has under a megabyte."""

Value = str | Array | None
"""A text, numbers, or a class of value that is not read."""


_Order = Literal["<", ">"]


def read_struct(path: Path, name: str) -> list[Mapping[str, Value]]:
    """The elements of a struct array by field, each a text, an array, or None for what is neither.

    Args:
        path: A MAT-file of level 5 (MATLAB's ``-v6`` and ``-v7``).
        name: Of the variable.

    Raises:
        DatasetError: The file is another one, or damaged, or has no such variable.
    """
    try:
        content = path.read_bytes()
        order, found = _order(content), []
        for kind, data in _elements(content[_HEADER:], order):
            matrix = _inflated(data, order) if kind == _COMPRESSED else data if kind == _MATRIX else b""
            if matrix and (table := _struct(matrix, order, name)) is not None:
                return table
            found.append(_name(matrix, order) if matrix else f"an element of type {kind}")
    except (OSError, ValueError, IndexError, struct.error, zlib.error, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    raise DatasetError(f"{path} has no struct array {name!r}; found: {', '.join(found) or 'nothing'}")


def _order(content: bytes) -> _Order:
    """Byte order, from the end of the header."""
    orders: dict[bytes, _Order] = {b"IM": "<", b"MI": ">"}
    if content[126:128] not in orders:
        raise ValueError("it is no MAT-file of level 5")
    return orders[content[126:128]]


def _elements(data: bytes, order: _Order) -> Iterator[tuple[int, bytes]]:
    """Type and content of each tagged element."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # a small element: the size stands in the upper half, the content in the tag itself
            kind, size = kind & 0xFFFF, kind >> 16
            yield kind, data[at + 4 : at + 4 + size]
            at += 8
            continue
        content = data[at + 8 : at + 8 + size]
        if len(content) < size:
            raise ValueError(f"an element of {size} bytes is cut off after {len(content)}")
        yield kind, content
        at += 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)


def _inflated(data: bytes, order: _Order) -> bytes:
    """The content of the matrix in a compressed element."""
    content = zlib.decompressobj().decompress(data, _MAX_BYTES)
    if len(content) == _MAX_BYTES:
        raise ValueError(f"a variable has more than {_MAX_BYTES:,} bytes")
    return next((inner for kind, inner in _elements(content, order) if kind == _MATRIX), b"")


def _parts(matrix: bytes, order: _Order) -> list[tuple[int, bytes]]:
    parts = list(_elements(matrix, order))
    if len(parts) < 3:
        raise ValueError(f"a variable has {len(parts)} parts, at least 3 were expected")
    return parts


def _name(matrix: bytes, order: _Order) -> str:
    return _parts(matrix, order)[2][1].decode("latin-1")


def _class(parts: list[tuple[int, bytes]], order: _Order) -> int:
    return int(struct.unpack_from(f"{order}I", parts[0][1])[0]) & 0xFF


def _struct(matrix: bytes, order: _Order, name: str) -> list[Mapping[str, Value]] | None:
    """The struct array of this name; None if this is another variable."""
    parts = _parts(matrix, order)
    if parts[2][1] != name.encode("latin-1") or _class(parts, order) != _STRUCT:
        return None
    width = struct.unpack_from(f"{order}i", parts[3][1])[0]
    if width < 1:
        raise ValueError(f"field names have {width} bytes")
    text = parts[4][1]
    fields = [text[i : i + width].split(b"\0", 1)[0].decode("latin-1") for i in range(0, len(text), width)]
    values = [_value(content, order) for kind, content in parts[5:] if kind == _MATRIX]
    if not fields or len(values) % len(fields):
        raise ValueError(f"{len(values)} values do not fill elements of {len(fields)} fields")
    rows = range(0, len(values), len(fields))
    return [dict(zip(fields, values[row : row + len(fields)], strict=True)) for row in rows]


def _value(matrix: bytes, order: _Order) -> Value:
    if not matrix:  # an empty field
        return np.zeros(0)
    parts = _parts(matrix, order)
    kind = _class(parts, order)
    if kind not in {_CHARACTERS, *_NUMBERS} or len(parts) < 4:
        return None
    stored, data = parts[3]
    if stored not in _TYPES:
        raise ValueError(f"numbers of type {stored} are not known")
    numbers = np.frombuffer(data, np.dtype(_TYPES[stored]).newbyteorder(order))
    return data.decode() if stored == 16 else "".join(map(chr, numbers)) if kind == _CHARACTERS else numbers
