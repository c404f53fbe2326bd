"""The bundle: a self-describing folder with everything that inference needs.

``manifest.json`` names every other file with its size and sha256; ``compiled/`` is a cache and not part of the bundle.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inferry.core.errors import BundleError, UsageError
from inferry.core.files import sha256_of, to_json_text, write_atomic
from inferry.core.specs import TensorSpec

SCHEMA: Final = 2
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
PROCESSOR: Final = "processor.json"
PARITY: Final = "parity.json"
REWRITES: Final = "optimize.json"
_CACHE: Final = "compiled"


def part_file(name: str) -> str:
    """The file of a further graph."""
    return f"{name}.onnx"


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and sha256 of one file of the bundle."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle is.

    Attributes:
        family: Registry key of the recipe that reads it.
        task: ``speech-recognition`` …
        opset: Of the graph.
        inputs: Of the graph.
        outputs: Of the graph; `TensorSpec.length` is the output-length rule.
        checkpoint: ``name`` and ``sha256`` of the source.
        tools: Versions of what wrote it.
        files: All files but the manifest.
        notes: Decisions of the reader that a user should know.
        parts: Further graphs, by name: the file of each.
        options: The `ExportOptions` that were given.
    """

    family: str
    task: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    checkpoint: Mapping[str, str]
    tools: Mapping[str, str]
    files: Mapping[str, FileEntry]
    notes: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "task": self.task,
            "opset": self.opset,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "checkpoint": dict(self.checkpoint),
            "tools": dict(self.tools),
            "files": {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in sorted(self.files.items())},
            "notes": list(self.notes),
            "parts": dict(self.parts),
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Manifest":
        """Inverse of `to_json`."""
        return cls(
            family=str(row["family"]),
            task=str(row["task"]),
            opset=int(row["opset"]),
            inputs=tuple(TensorSpec.from_json(spec) for spec in row["inputs"]),
            outputs=tuple(TensorSpec.from_json(spec) for spec in row["outputs"]),
            checkpoint=dict(row["checkpoint"]),
            tools=dict(row["tools"]),
            files={name: FileEntry(int(e["size"]), str(e["sha256"])) for name, e in row["files"].items()},
            notes=tuple(row.get("notes", ())),
            parts=dict(row.get("parts", {})),
            options=dict(row.get("options", {})),
        )


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL

    @property
    def digest(self) -> str:
        """Hex sha256 over all files that can change an answer (parity.json and optimize.json only report)."""
        entries = sorted((n, e.sha256) for n, e in self.manifest.files.items() if n not in {PARITY, REWRITES})
        return hashlib.sha256(json.dumps([self.manifest.family, entries]).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files, the manifest not counted."""
        return sum(entry.size for entry in self.manifest.files.values())

    def read_json(self, name: str) -> dict[str, Any]:
        """One of the bundle's JSON files.

        Raises:
            BundleError: It is missing or not a JSON object.
        """
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{self.path / name} cannot be read ({error}); run: inferry verify {self.path}"
            ) from error
        if not isinstance(value, dict):
            raise BundleError(f"{self.path / name} holds {type(value).__name__}, expected an object")
        return value

    def text_files(self) -> dict[str, str]:
        """Vocabulary, labels and the like, by file name."""
        known = {MODEL, PROCESSOR, PARITY, REWRITES}
        names = [n for n in self.manifest.files if n not in known and n.endswith((".json", ".txt"))]
        try:
            return {name: (self.path / name).read_text(encoding="utf-8") for name in names}
        except (OSError, UnicodeError) as error:
            raise BundleError(f"{self.path}: {error}; run: inferry verify {self.path}") from error


def write_manifest(folder: Path, describe: Manifest) -> Bundle:
    """Hash all files of `folder` and write its manifest.

    Args:
        folder: A finished bundle but for the manifest.
        describe: The manifest without `files`.
    """
    files = {
        str(path.relative_to(folder)): FileEntry(path.stat().st_size, sha256_of(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = Manifest(**{**describe.__dict__, "files": files})
    write_atomic(folder / MANIFEST, to_json_text(manifest.to_json()))
    return Bundle(folder, manifest)


def open_bundle(path: Path | str) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        UsageError: There is no bundle at `path`.
        BundleError: The manifest is broken, of another schema, or names files that are not there.
    """
    folder = Path(path)
    file = folder / MANIFEST
    if not file.is_file():
        found = "no such folder" if not folder.exists() else f"no {MANIFEST} in it"
        raise UsageError(f"{folder} is not a bundle: {found}. Make one with: inferry export FAMILY --checkpoint PATH")
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        schema = row["schema"]
        if schema != SCHEMA:
            raise BundleError(f"{file} has schema {schema}, this version of Inferry reads {SCHEMA}: export it again")
        manifest = Manifest.from_json(row)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{file} is broken ({type(error).__name__}: {error}): export the bundle again") from error
    missing = [name for name in manifest.files if not (folder / name).is_file()]
    # What is not among the files is not verified either.
    missing += [name for name in manifest.parts.values() if name not in manifest.files]
    if missing:
        raise BundleError(f"{folder} lacks {', '.join(missing)}: export the bundle again")
    return Bundle(folder, manifest)


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        path: The bundle.
        files: Number of files that were hashed.
        bytes: Their size.
        problems: Each a sentence; empty when all is well.
    """

    path: Path
    files: int
    bytes: int
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "path": str(self.path),
            "files": self.files,
            "bytes": self.bytes,
            "ok": not self.problems,
            "problems": list(self.problems),
        }


def verify(path: Path | str) -> Verification:
    """Hash every file again and compare; files that the manifest does not name are problems too."""
    bundle = open_bundle(path)
    problems = []
    for name, entry in bundle.manifest.files.items():
        file = bundle.path / name
        size = file.stat().st_size
        if size != entry.size:
            problems.append(f"{name}: {size:,} bytes, the manifest says {entry.size:,}")
        elif sha256_of(file) != entry.sha256:
            problems.append(f"{name}: its sha256 is not the manifest's: the file was changed")
    known = {*bundle.manifest.files, MANIFEST}
    for file in sorted(bundle.path.rglob("*")):
        name = str(file.relative_to(bundle.path))
        if file.is_file() and name not in known and not name.startswith(f"{_CACHE}/"):
            problems.append(f"{name}: not named in the manifest")
    return Verification(bundle.path, len(bundle.manifest.files), bundle.size, tuple(problems))
