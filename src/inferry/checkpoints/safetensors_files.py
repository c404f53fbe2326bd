"""safetensors files, and sharded checkpoints of either format."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open

from inferry.checkpoints.torch_files import read_state_dict, widen_bfloat16
from inferry.core.errors import CheckpointError
from inferry.core.files import sha256_of
from inferry.core.specs import Array

WEIGHT_FILES: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Of a Hugging Face folder, in the order of preference; an index belongs to a sharded checkpoint."""

_FRESH_COPY = "Download it again."


def read_safetensors(path: Path) -> dict[str, Array]:
    """All tensors of a safetensors file by name; bfloat16 becomes float32.

    Raises:
        CheckpointError: It is cut off, damaged, or holds a dtype that numpy does not know.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 -- not a dict
            unknown = [
                f"{name} has the unsupported dtype {kind}" for name, kind in kinds.items() if kind[0] not in "FIUB"
            ]
            unknown += [f"{name} has the unsupported dtype {kind}" for name, kind in kinds.items() if kind[:2] == "F8"]
            if unknown:
                raise CheckpointError(path, unknown, "Save the weights as float32, float16 or bfloat16.")
            found = {name: file.get_tensor(name) for name, kind in kinds.items() if kind != "BF16"}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(path, [f"it cannot be read as safetensors: {error}"], _FRESH_COPY) from error
    found |= _read_bfloat16(path, [name for name, kind in kinds.items() if kind == "BF16"])
    return {name: found[name] for name in kinds}


def _read_bfloat16(path: Path, names: list[str]) -> dict[str, Array]:
    """bfloat16 tensors, which numpy does not know, from the header that safe_open has already validated.

    Layout: header length (uint64, little endian), JSON header, data; offsets count from the data's beginning.
    """
    if not names:
        return {}
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    found = {}
    for name in names:
        start, end = header[name]["data_offsets"]
        bits = np.fromfile(path, "<u2", (end - start) // 2, offset=8 + length + start)
        found[name] = widen_bfloat16(bits.reshape(header[name]["shape"]))
    return found


def read_weights(path: Path) -> dict[str, Array]:
    """All tensors of a weight file: safetensors, torch.save, or the index of a sharded checkpoint of either.

    Raises:
        CheckpointError: A file cannot be read.
    """
    if path.name.endswith(".index.json"):
        return _read_sharded(path)
    return _reader(path)(path)


def _reader(path: Path) -> Callable[[Path], dict[str, Array]]:
    return read_safetensors if path.suffix == ".safetensors" else read_state_dict


def shards(index: Path) -> tuple[Path, ...]:
    """The weight files that an index names, in the order of their names.

    Raises:
        CheckpointError: It is no index, or a file is missing or lies outside of the folder.
    """
    return tuple(index.parent / name for name in sorted(set(_weight_map(index).values())))


def sha256_of_weights(weights: Path) -> str:
    """Of the weight file; of a sharded checkpoint, of the list of its shards' digests (as sha256sum prints it)."""
    if not weights.name.endswith(".index.json"):
        return sha256_of(weights)
    lines = "".join(f"{sha256_of(shard)}  {shard.name}\n" for shard in shards(weights))
    return hashlib.sha256(lines.encode()).hexdigest()


def _weight_map(index: Path) -> dict[str, str]:
    try:
        rows = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        pairs = {str(tensor): str(file) for tensor, file in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"it is no index of a sharded checkpoint (no weight_map): {error!r}"
        raise CheckpointError(index, [problem], _FRESH_COPY) from error
    names = sorted(set(pairs.values()))
    problems = [f"it names {name!r}, which is not a plain file name" for name in names if Path(name).name != name]
    problems += [f"its shard {name} is missing" for name in names if not (index.parent / Path(name).name).is_file()]
    if problems:
        raise CheckpointError(index, problems, "Put all shards into the same folder as the index.")
    return pairs


def _read_sharded(index: Path) -> dict[str, Array]:
    pairs = _weight_map(index)
    found: dict[str, Array] = {}
    problems: list[str] = []
    for shard in shards(index):
        expected = {tensor for tensor, file in pairs.items() if file == shard.name}
        try:
            tensors = _reader(shard)(shard)
        except CheckpointError as error:
            problems += [f"{shard.name}: {problem}" for problem in error.problems]
            continue
        problems += [f"{shard.name} lacks {name}" for name in sorted(expected - tensors.keys())]
        problems += [
            f"{shard.name} has {name}, which the index does not name" for name in sorted(tensors.keys() - expected)
        ]
        found |= tensors
    if problems:
        raise CheckpointError(index, problems, _FRESH_COPY)
    return found
