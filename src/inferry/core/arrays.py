"""Arrays in .npy and .npz files, read without running any code of theirs."""

from pathlib import Path
from typing import IO, Final
from zipfile import ZipFile

import numpy as np

from inferry.core.specs import Array

MAX_BYTES: Final = 1 << 30
"""An array within a .npz file with more bytes is taken for a decompression bomb."""

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"


def read_array(path: Path, name: str) -> Array:
    """One array.

    Args:
        path: A .npy file, or a .npz file.
        name: Of the array within a .npz file.

    Raises:
        KeyError: The .npz file has no array of this name; the message lists those it has.
        ValueError: Why the file cannot be read, as the end of a sentence that begins with its name.
    """
    try:
        with _opened(path) as file:
            return _read(file, name)
    except (KeyError, ValueError):
        raise
    except MemoryError as error:
        raise ValueError("does not fit into memory") from error
    except Exception as error:  # on damaged files zipfile, zlib, tokenize and numpy raise nearly every kind of error
        raise ValueError(f"cannot be read: {str(error) or type(error).__name__}") from error


def _opened(path: Path) -> IO[bytes]:
    """The file; a pipe is not waited for.

    Raises:
        ValueError: It is missing, or no regular file.
    """
    if not path.is_file():
        raise ValueError("is no regular file" if path.exists() else "does not exist")
    return path.open("rb")


def _read(file: IO[bytes], name: str) -> Array:
    start = file.read(len(_NPY))
    file.seek(0)
    if start == _NPY:
        return _array(file)
    if not start.startswith(_ZIP):
        raise ValueError("is no .npy and no .npz file")
    with ZipFile(file) as members:
        names = [member.removesuffix(".npy") for member in members.namelist() if member.endswith(".npy")]
        if name not in names:
            raise KeyError(f"has no array {name}, only: {', '.join(names) or 'none'}")
        member = members.getinfo(f"{name}.npy")
        if member.file_size > MAX_BYTES:
            raise ValueError(f"has {member.file_size:,} bytes in {name}, at most {MAX_BYTES:,} are read")
        with members.open(member) as content:
            return _array(content)


def _array(file: IO[bytes]) -> Array:
    """An array in the format .npy.

    Raises:
        ValueError: It is broken, or pickled: a pickle could run code.
    """
    try:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"holds no array that can be read safely: {error}") from error
    return array
