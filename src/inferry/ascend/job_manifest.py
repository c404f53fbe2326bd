"""The side manifest of ais_bench's input folders: what the bare bytes in them mean."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.core.errors import RunError
from inferry.core.specs import TensorSpec

MANIFEST: Final = "inputs.json"
"""Its file, beside the input folders."""

SCHEMA: Final = 1
_PADDING = "zeros behind the sample, along every axis"


@dataclass(frozen=True, slots=True)
class JobInput:
    """One input of the offline model.

    Attributes:
        spec: Name, dtype and dimensions as compiled; each but the batch is a number.
        folder: Its files, beside the manifest.
    """

    spec: TensorSpec
    folder: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one file, without the batch dimension."""
        return tuple(int(dim) for dim in self.spec.dims[1:])

    @property
    def bytes_per_file(self) -> int:
        """One sample, padded."""
        return prod(self.shape) * np.dtype(self.spec.dtype).itemsize


@dataclass(frozen=True, slots=True)
class JobRow:
    """One sample.

    Attributes:
        id: Of the sample.
        stem: Of its file in every input folder, and the beginning of its outputs' names.
        shapes: Its true shape for each input, before padding and without the batch dimension.
        sha256: Of its file for each input.
    """

    id: str
    stem: str
    shapes: Mapping[str, tuple[int, ...]]
    sha256: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        return {"id": self.id, "file": self.stem, "shapes": shapes, "sha256": dict(self.sha256)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "JobRow":
        """Inverse of `to_json`."""
        shapes = {str(name): tuple(int(size) for size in shape) for name, shape in row["shapes"].items()}
        return cls(str(row["id"]), str(row["file"]), shapes, dict(row["sha256"]))


@dataclass(frozen=True, slots=True)
class JobManifest:
    """All inputs of the offline model and all samples, both in their order."""

    inputs: tuple[JobInput, ...]
    rows: tuple[JobRow, ...]

    def folders(self, folder: Path) -> tuple[Path, ...]:
        """The input folders of a job in `folder`, in the model's order; joined by commas, ais_bench's ``--input``."""
        return tuple(folder / one.folder for one in self.inputs)

    def to_json(self) -> dict[str, Any]:
        """The content of inputs.json."""
        inputs = [{**one.spec.to_json(), "folder": one.folder, "bytes": one.bytes_per_file} for one in self.inputs]
        return {
            "schema": SCHEMA,
            "byte_order": "little",
            "padding": _PADDING,
            "inputs": inputs,
            "samples": [row.to_json() for row in self.rows],
        }


def read_manifest(folder: Path) -> JobManifest:
    """The manifest of a folder that `write_inputs` made.

    Raises:
        RunError: It is missing, broken, or of another schema.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content["schema"]
        inputs = tuple(JobInput(TensorSpec.from_json(row), str(row["folder"])) for row in content["inputs"])
        rows = tuple(JobRow.from_json(row) for row in content["samples"])
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}. It is written beside the input folders") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is no manifest of input folders: {type(error).__name__}: {error}") from error
    if schema != SCHEMA:
        raise RunError(f"{path} has the schema {schema}; this Inferry reads {SCHEMA}")
    _require_unique(path, rows)
    return JobManifest(inputs, rows)


def _require_unique(path: Path, rows: tuple[JobRow, ...]) -> None:
    for what, values in (("id", Counter(row.id for row in rows)), ("file", Counter(row.stem for row in rows))):
        if twice := [value for value, count in values.items() if count > 1]:
            raise RunError(f"{path}: two samples have the same {what} {twice[0]}; their outputs cannot be told apart")
    if dotted := [row.stem for row in rows if "." in row.stem]:
        raise RunError(f"{path}: the file name {dotted[0]} holds a dot, at which ais_bench would cut it")
