"""Files of ``torch.save`` read into numpy, without torch and without running their code.

Two formats, both of ``torch/serialization.py``: the zip archive (torch 1.6 on, ``_save``) and the older sequence of
pickles followed by raw storages (``_legacy_save``). Both hold one pickle whose tensors point into storages.
"""

import io
import mmap
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import numpy as np

from inferry.checkpoints import pickles
from inferry.checkpoints.pickles import Storage, TensorRecord, UnsafePickleError
from inferry.core.errors import CheckpointError
from inferry.core.specs import Array

MAGIC_NUMBER: Final = 0x1950A86A20F9469CFC6C
"""First pickle of a legacy file."""

_PROTOCOL: Final = 1001
_GREATEST_PICKLE: Final = 64 << 20
"""Bytes. The pickle holds names and shapes only; that of a 300 million parameter model takes 50 kB."""

_GROWTH: Final = 8
"""A file's tensors together may take this many times its size (views that share storages); more is an attack."""

_SMALL: Final = 64 << 20
"""Bytes that are granted to any file, so that small ones may hold expanded tensors."""

_FRESH_COPY: Final = "Download it again; if it still fails, save the state dict anew with torch.save."


@dataclass(frozen=True)
class TorchFile:
    """An opened file: its objects are read, its numbers not yet.

    Attributes:
        path: The file.
        size: Its bytes.
        content: What was saved; a `TensorRecord` for every tensor, a `pickles.Stub` for every unknown class.
        read_storage: Numbers of one storage, 1-dimensional, bfloat16 as uint16.
    """

    path: Path
    size: int
    content: object
    read_storage: Callable[[Storage], Array]

    def arrays(self, records: Mapping[str, TensorRecord]) -> dict[str, Array]:
        """The tensors of these records, each a contiguous array of its own; bfloat16 becomes float32.

        Raises:
            CheckpointError: A storage is missing or short, or a tensor reaches outside of its storage; lists all.
        """
        problems = _outside(records)
        problems += _too_much(records.values(), self.size)
        if problems:
            raise CheckpointError(self.path, problems, _FRESH_COPY)
        found: dict[str, Array] = {}
        for names in _by_storage(records).values():
            storage = records[names[0]].storage
            try:
                numbers = self.read_storage(storage)
            except UnsafePickleError as error:
                problems += error.problems
                continue
            if numbers.size != storage.numel:
                problems.append(f"its storage {storage.key} has {numbers.size} elements, expected {storage.numel}")
                continue
            found |= {name: _view(numbers, records[name]) for name in names}
        if problems:
            raise CheckpointError(self.path, problems, _FRESH_COPY)
        return {name: found[name] for name in records}


def open_torch(path: Path, data: bytes | None = None) -> TorchFile:
    """Read the objects of a file that torch.save wrote, zip or legacy.

    Args:
        path: The file; only a name for messages where `data` is given.
        data: The file's bytes, where it lies in memory (a member of an archive).

    Raises:
        CheckpointError: It is of another kind, cut off, damaged, or names something that could run code.
    """
    try:
        return _opener(path, data)(path, data)
    except UnsafePickleError as error:
        raise CheckpointError(path, error.problems, _advice(error)) from error
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, RuntimeError) as error:
        raise CheckpointError(path, [f"it cannot be read: {error}"], _FRESH_COPY) from error


def state_dict_of(tree: object) -> dict[str, TensorRecord]:
    """The records of a mapping from names to tensors.

    Raises:
        UnsafePickleError: It is no such mapping; names the entries that are not tensors.
    """
    if not isinstance(tree, dict):
        raise UnsafePickleError([f"it holds a {type(tree).__name__}, expected a dictionary of tensors (a state dict)"])
    wrong = [str(key) for key, value in tree.items() if not (isinstance(key, str) and isinstance(value, TensorRecord))]
    if wrong:
        raise UnsafePickleError([f"it is no state dict; these entries are not tensors: {', '.join(wrong[:20])}"])
    return dict(tree)


def read_state_dict(path: Path) -> dict[str, Array]:
    """Names and tensors of a file that holds a state dict and nothing else (``pytorch_model.bin``).

    Raises:
        CheckpointError: As in `open_torch` and `TorchFile.arrays`, or it holds something else.
    """
    file = open_torch(path)
    try:
        records = state_dict_of(file.content)
    except UnsafePickleError as error:
        raise CheckpointError(path, error.problems, "Save model.state_dict() alone.") from error
    return file.arrays(records)


def _advice(error: UnsafePickleError) -> str:
    if any("list of names" in problem for problem in error.problems):
        return "Do not load this file with torch either unless you trust its author; ask for a safetensors file."
    return _FRESH_COPY


def _opener(path: Path, data: bytes | None) -> Callable[[Path, bytes | None], TorchFile]:
    with _stream(path, data) as file:
        head = file.read(64)
    if head.startswith(b"PK\x03\x04"):
        return _open_zip
    if head.startswith(b"\x80"):
        return _open_legacy
    raise UnsafePickleError([_other_kind(head)])


def _stream(path: Path, data: bytes | None) -> IO[bytes]:
    return path.open("rb") if data is None else io.BytesIO(data)


def _other_kind(head: bytes) -> str:
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself; run git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page, not a checkpoint: the download failed"
    if not head:
        return "it is empty"
    return f"it begins with {head[:8]!r}; expected a zip archive or a pickle, as torch.save writes them"


def _open_zip(path: Path, data: bytes | None) -> TorchFile:
    with _stream(path, data) as file, zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickled = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickled) != 1:
            raise UnsafePickleError([f"this zip archive has {len(pickled)} members */data.pkl, expected one"])
        root = pickled[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in members:
            raise UnsafePickleError(["it is a TorchScript archive, expected a state dict of torch.save"])
        content = pickles.load(_member(archive, pickled[0], _GREATEST_PICKLE))
        order = _member(archive, f"{root}byteorder", 16).decode("ascii") if f"{root}byteorder" in members else "little"
        size = file.seek(0, io.SEEK_END)
    if order not in {"little", "big"}:
        raise UnsafePickleError([f"its byte order is {order!r}, expected little or big"])

    def read(storage: Storage) -> Array:
        dtype = _dtype(storage.dtype).newbyteorder("<" if order == "little" else ">")
        with _stream(path, data) as stream, zipfile.ZipFile(stream) as again:
            numbers = _member(again, f"{root}data/{storage.key}", storage.numel * dtype.itemsize)
        return np.frombuffer(numbers[: len(numbers) // dtype.itemsize * dtype.itemsize], dtype)

    return TorchFile(path, size, content, read)


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member's bytes. torch never compresses, so a compressed one is refused: it could be a decompression bomb."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise UnsafePickleError([f"the archive has no member {name}"]) from None
    if info.compress_type != zipfile.ZIP_STORED:
        raise UnsafePickleError([f"its member {name} is compressed, which torch.save never does"])
    if info.file_size > limit:
        raise UnsafePickleError([f"its member {name} has {info.file_size} bytes, expected at most {limit}"])
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
        raise UnsafePickleError([f"its member {name} is damaged: {error}"]) from error


def _open_legacy(path: Path, data: bytes | None) -> TorchFile:
    with _mapped(path, data) as mapped:
        if _next_pickle(mapped) != MAGIC_NUMBER:
            raise UnsafePickleError(["its magic number is wrong: it is a pickle, but not one of torch.save"])
        protocol = _next_pickle(mapped)
        if protocol != _PROTOCOL:
            raise UnsafePickleError([f"its protocol version is {protocol}, expected {_PROTOCOL}"])
        _next_pickle(mapped)  # sizes of C types on the machine that wrote it; the storages are always little endian
        content = _next_pickle(mapped)
        keys = _next_pickle(mapped)
        if not isinstance(keys, list):
            raise UnsafePickleError(["its list of storages is missing"])
        start = mapped.tell()
        size = len(mapped)
        sizes = _storage_sizes(content)
        places = _places(mapped, start, [str(key) for key in keys], sizes)

    def read(storage: Storage) -> Array:
        if storage.key not in places:
            raise UnsafePickleError([f"the file has no storage {storage.key}"])
        dtype, place = _dtype(storage.dtype).newbyteorder("<"), places[storage.key]
        if data is not None:
            return np.frombuffer(data, dtype, storage.numel, place)
        return np.fromfile(path, dtype, storage.numel, offset=place)

    return TorchFile(path, size, content, read)


def _mapped(path: Path, data: bytes | None) -> mmap.mmap:
    if data is None:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    mapped = mmap.mmap(-1, len(data))
    mapped[:] = data
    return mapped


def _next_pickle(data: mmap.mmap) -> object:
    start = data.tell()
    pickles.scan(cast("IO[bytes]", data))  # a memory map reads like a file
    end = data.tell()
    if end - start > _GREATEST_PICKLE:
        raise UnsafePickleError([f"its pickle has {end - start} bytes, expected at most {_GREATEST_PICKLE}"])
    return pickles.load(data[start:end])


def _storage_sizes(content: object) -> dict[str, Storage]:
    """All storages that a legacy file's objects use, by key. Not recursive: a pickle may nest without end."""
    found: dict[str, Storage] = {}
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, TensorRecord):
            found[item.storage.key] = item.storage
            continue
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, pickles.Stub):
            waiting += [item.args, item.state, item.elements, item.entries]
        elif isinstance(item, dict):
            waiting += [*item.values(), getattr(item, "__dict__", None)]
        elif isinstance(item, list | tuple | set):
            waiting += item
    return found


def _places(data: mmap.mmap, start: int, keys: list[str], storages: Mapping[str, Storage]) -> dict[str, int]:
    """Byte position of every storage's numbers; each follows its size as int64, in the order of the list of keys."""
    places: dict[str, int] = {}
    problems: list[str] = []
    position = start
    for key in keys:
        if key not in storages:
            problems.append(f"its storage {key} belongs to no tensor, so its type is unknown")
            break
        storage = storages[key]
        numel = int.from_bytes(data[position : position + 8], "little", signed=True)
        end = position + 8 + storage.numel * _dtype(storage.dtype).itemsize
        if numel != storage.numel:
            problems.append(f"its storage {key} has {numel} elements, expected {storage.numel}")
            break
        if end > len(data):
            problems.append(f"it is cut off: storage {key} ends at byte {end}, the file at {len(data)}")
            break
        places[key] = position + 8
        position = end
    if problems:
        raise UnsafePickleError(problems)
    return places


def _dtype(name: str) -> np.dtype[np.generic]:
    return np.dtype("uint16" if name == "bfloat16" else name)


def _outside(records: Mapping[str, TensorRecord]) -> list[str]:
    problems = []
    for name, record in records.items():
        storage = record.storage
        if len(record.shape) != len(record.strides) or len(record.shape) > 32:
            problems.append(f"{name} has {len(record.shape)} sizes and {len(record.strides)} strides")
        elif min((record.offset, storage.start, storage.size, *record.shape, *record.strides)) < 0:
            problems.append(f"{name} has a negative size, stride or offset")
        elif _last(record) >= _capacity(record):
            problems.append(
                f"{name} needs {_last(record) + 1} elements of storage {storage.key}, which has {_capacity(record)}"
            )
    return problems


def _last(record: TensorRecord) -> int:
    """Index of the last element that a tensor touches, -1 for a tensor without elements."""
    if 0 in record.shape:
        return -1
    reach = sum((size - 1) * stride for size, stride in zip(record.shape, record.strides, strict=True))
    return record.offset + reach


def _capacity(record: TensorRecord) -> int:
    """Elements of the tensor's own dtype in its part of the storage."""
    storage = record.storage
    size = min(storage.size, storage.numel - storage.start)
    return size * _dtype(storage.dtype).itemsize // _dtype(record.dtype).itemsize


def _too_much(records: Iterable[TensorRecord], file_size: int) -> list[str]:
    needed = 0
    for record in records:
        elements = 1
        for size in record.shape:
            elements *= max(size, 0)
        needed += elements * _dtype(record.dtype).itemsize
    limit = max(_GROWTH * file_size, _SMALL)
    return [f"its tensors would take {needed} bytes; for a file of this size {limit} is the limit"] * (needed > limit)


def _by_storage(records: Mapping[str, TensorRecord]) -> dict[Storage, list[str]]:
    groups: dict[Storage, list[str]] = {}
    for name, record in records.items():
        groups.setdefault(record.storage._replace(start=0, size=0), []).append(name)
    return groups


def _view(numbers: Array, record: TensorRecord) -> Array:
    """The strided view that a record means, as a contiguous array in the machine's byte order."""
    storage = record.storage
    part = numbers[storage.start : storage.start + storage.size]
    dtype = _dtype(record.dtype)
    if record.dtype != storage.dtype:  # an untyped storage: bytes
        part = part[: part.size // dtype.itemsize * dtype.itemsize].view(dtype.newbyteorder(numbers.dtype.byteorder))
    if 0 in record.shape:
        return np.zeros(record.shape, np.float32 if record.dtype == "bfloat16" else dtype)
    strides = tuple(stride * dtype.itemsize for stride in record.strides)
    view = np.lib.stride_tricks.as_strided(part[record.offset :], record.shape, strides)
    native = np.array(view, dtype.newbyteorder("="), order="C")
    return widen_bfloat16(native) if record.dtype == "bfloat16" else native


def widen_bfloat16(bits: Array) -> Array:
    """float32 with the upper halves given by these uint16 bits (a bfloat16 is the upper half of a float32)."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
