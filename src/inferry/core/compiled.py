"""Compiled artifacts: what a backend's compiler made of a bundle's graph, kept in the bundle's cache.

Each lies in a folder ``<bundle>/compiled/<backend>/<key>/`` and describes itself in ``compiled.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inferry.core.errors import BundleError
from inferry.core.files import sha256_of, to_json_text, write_atomic
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
        size: Of the compiled file, in bytes; None in artifacts of older versions, where it is not checked.
        sha256: Of the compiled file; None likewise.
    """

    stem: str
    gears: tuple[Mapping[str, Any], ...]
    command: tuple[str, ...]
    om: str | None = None
    returncode: int | None = None
    size: int | None = None
    sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        return {
            "stem": self.stem,
            "gears": [dict(gear) for gear in self.gears],
            "command": list(self.command),
            "om": self.om,
            "returncode": self.returncode,
            "size": self.size,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Unit":
        """Inverse of `to_json`."""
        om, returncode = row["om"], row["returncode"]
        size, sha256 = row.get("size"), row.get("sha256")
        return cls(
            stem=str(row["stem"]),
            gears=tuple({"batch": int(g["batch"]), "sizes": dict(g["sizes"])} for g in row["gears"]),
            command=tuple(map(str, row["command"])),
            om=None if om is None else str(om),
            returncode=None if returncode is None else int(returncode),
            size=None if size is None else int(size),
            sha256=None if sha256 is None else str(sha256),
        )

    def damage(self, folder: Path, *, read: bool = False) -> str | None:
        """What became of the compiled file, ``model.om has 1000 bytes, not 90112``; None if it is as it was made.

        Args:
            folder: Where it lies.
            read: Whether to compare its content too, not only its size.
        """
        file = folder / str(self.om)
        if self.om is None or not file.is_file():
            return f"{self.om or self.stem} is not there"
        if self.size is not None and (size := file.stat().st_size) != self.size:
            return f"{self.om} has {size} bytes, not {self.size}"
        if read and self.sha256 is not None and sha256_of(file) != self.sha256:
            return f"the content of {self.om} is not what was compiled (sha256)"
        return None


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
    def is_made(self) -> bool:
        """Whether every unit was compiled, whatever became of the files."""
        return all(unit.om is not None for unit in self.units)

    @property
    def is_complete(self) -> bool:
        """Whether every unit's compiled file was made and is there, of the size that it had."""
        return all(unit.damage(self.folder) is None for unit in self.units)

    def damage(self) -> str | None:
        """What became of the compiled files, each of which is read in full; None if they are as they were made."""
        found = (unit.damage(self.folder, read=True) for unit in self.units)
        return next((one for one in found if one is not None), None)

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


def renew(compiled: Compiled) -> bool:
    """Make an artifact the newest of its bundle's, and so the one that runs where several fit.

    Returns:
        Whether another one was newer.

    Raises:
        OSError: The folder cannot be written.
    """
    if _finished(compiled.folder.parent)[-1].parent == compiled.folder:
        return False
    (compiled.folder / FILE).touch()
    return True


def find_compiled(model: Path, backend: str) -> tuple[Compiled, ...]:
    """All artifacts of a backend beside a graph, the newest last; those that were only written included.

    Args:
        model: The bundle's ONNX file.
        backend: Registry key.

    Raises:
        BundleError: One of them is broken.
    """
    return tuple(read_compiled(file.parent) for file in _finished(model.parent / CACHE / backend))


def _finished(cache: Path) -> list[Path]:
    """The descriptions of a backend's artifacts, the newest last."""
    # A folder that begins with a dot is still being made.
    finished = [file for file in cache.glob(f"*/{FILE}") if not file.parent.name.startswith(".")]
    return sorted(finished, key=lambda file: (file.stat().st_mtime_ns, file.parent.name))
