"""Compiled artifacts: what a backend's compiler made of a bundle's graph, kept in the bundle's cache.

Each lies in a folder ``<bundle>/compiled/<backend>/<key>/`` and describes itself in ``compiled.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inferry.core.errors import BundleError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.specs import TensorSpec

SCHEMA: Final = 1
CACHE: Final = "compiled"
"""The folder of a bundle that holds all artifacts; not named in its manifest."""

FILE: Final = "compiled.json"


@dataclass(frozen=True)
class Unit:
    """One compiled file.

    Attributes:
        stem: Of its files.
        gears: The shapes that it is for: ``{"batch": 1, "sizes": {"tokens": 32}}`` each.
        command: What compiles it, run in the artifact's folder.
        om: Name of the compiled file; None where it was not compiled.
        returncode: Of the compiler; None where it did not run.
    """

    stem: str
    gears: tuple[Mapping[str, Any], ...]
    command: tuple[str, ...]
    om: str | None = None
    returncode: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        return {
            "stem": self.stem,
            "gears": [dict(gear) for gear in self.gears],
            "command": list(self.command),
            "om": self.om,
            "returncode": self.returncode,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Unit":
        """Inverse of `to_json`."""
        om, returncode = row["om"], row["returncode"]
        return cls(
            stem=str(row["stem"]),
            gears=tuple({"batch": int(g["batch"]), "sizes": dict(g["sizes"])} for g in row["gears"]),
            command=tuple(map(str, row["command"])),
            om=None if om is None else str(om),
            returncode=None if returncode is None else int(returncode),
        )


@dataclass(frozen=True)
class Compiled:
    """One artifact: the files that run a bundle's graph on one kind of device.

    Attributes:
        folder: Where it lies; not part of ``compiled.json``, so that the bundle may move.
        backend: Registry key.
        device: What it was compiled for: ``Ascend310P3``.
        precision: ``fp32``, ``fp16`` or ``mixed``.
        model_sha256: Of the ONNX file.
        bundle: The bundle's digest.
        inputs: As the compiled file takes them, symbolic dimensions kept.
        outputs: As it gives them.
        units: One with all gears, or one a gear.
        tools: Versions of what wrote and compiled it.
        aipp: Whether the compiled file itself normalises pictures.
    """

    folder: Path
    backend: str
    device: str
    precision: str
    model_sha256: str
    bundle: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    units: tuple[Unit, ...]
    tools: Mapping[str, str] = field(default_factory=dict)
    aipp: bool = False

    @property
    def key(self) -> str:
        """Its name among the artifacts of a bundle."""
        return self.folder.name

    @property
    def is_complete(self) -> bool:
        """Whether every unit's compiled file was made and is there."""
        return all(unit.om is not None and (self.folder / unit.om).is_file() for unit in self.units)

    def to_json(self) -> dict[str, Any]:
        """The content of ``compiled.json``."""
        return {
            "schema": SCHEMA,
            "backend": self.backend,
            "device": self.device,
            "precision": self.precision,
            "model_sha256": self.model_sha256,
            "bundle": self.bundle,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "units": [unit.to_json() for unit in self.units],
            "tools": dict(self.tools),
            "aipp": self.aipp,
        }


def read_compiled(folder: Path) -> Compiled:
    """The artifact in a folder.

    Raises:
        BundleError: ``compiled.json`` is missing, broken or of another schema.
    """
    file = folder / FILE
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        if row["schema"] != SCHEMA:
            raise BundleError(f"{file} has schema {row['schema']}, expected {SCHEMA}: remove {folder}, then compile")
        return Compiled(
            folder=folder,
            backend=str(row["backend"]),
            device=str(row["device"]),
            precision=str(row["precision"]),
            model_sha256=str(row["model_sha256"]),
            bundle=str(row["bundle"]),
            inputs=tuple(map(TensorSpec.from_json, row["inputs"])),
            outputs=tuple(map(TensorSpec.from_json, row["outputs"])),
            units=tuple(map(Unit.from_json, row["units"])),
            tools=dict(row["tools"]),
            aipp=bool(row["aipp"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{file} is broken ({type(error).__name__}: {error}): remove {folder} and compile again"
        ) from error


def write_compiled(compiled: Compiled) -> None:
    """Write ``compiled.json`` into the artifact's folder, which must exist."""
    write_atomic(compiled.folder / FILE, to_json_text(compiled.to_json()))


def find_compiled(model: Path, backend: str) -> tuple[Compiled, ...]:
    """All artifacts of a backend beside a graph, the newest last; those that were only written included.

    Args:
        model: The bundle's ONNX file.
        backend: Registry key.

    Raises:
        BundleError: One of them is broken.
    """
    files = (model.parent / CACHE / backend).glob(f"*/{FILE}")
    # A folder that begins with a dot is still being made.
    finished = [file for file in files if not file.parent.name.startswith(".")]
    finished.sort(key=lambda file: (file.stat().st_mtime_ns, file.parent.name))
    return tuple(read_compiled(file.parent) for file in finished)
