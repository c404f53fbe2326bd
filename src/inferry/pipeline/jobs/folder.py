"""The job folder: a data set as the files that ais_bench and msame read, and what is needed to read their answers.

``job.json`` says what was made, ``samples.jsonl`` has a row for each item of the data set in its order, and every other
folder holds the inputs of one shape (`inferry.ascend.job_inputs`). Outputs come back as ``<gear's name>/`` each, with
ais_bench's ``<gear's name>_summary.json`` beside it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inferry.ascend.gear_set import Gear, GearSet
from inferry.ascend.job_manifest import MANIFEST
from inferry.ascend.pack_script import INPUTS
from inferry.core.errors import RunError, UsageError
from inferry.core.files import sha256_of, to_json_text
from inferry.core.runs import json_line
from inferry.core.samples import Reference, Rejected
from inferry.core.specs import TensorSpec

JOB: Final = "job.json"
SAMPLES: Final = "samples.jsonl"
SCHEMA: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One folder of inputs, all of one shape.

    Attributes:
        folder: Its name in the job.
        shape: The `Gear.shape_name` of its files.
        number: 1 for the first of its shape; a shape with more files than ais_bench reads has several.
        files: Files for each input.
        inputs: Names of the folders in it, one for each input of the model, in the model's order.
    """

    folder: str
    shape: str
    number: int
    files: int
    inputs: tuple[str, ...]

    def outputs(self, batch: int) -> str:
        """The folder that takes its outputs for a batch size: the gear's name."""
        return f"{self.shape}_b{batch}{part_suffix(self.number)}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        return {
            "folder": self.folder,
            "shape": self.shape,
            "number": self.number,
            "files": self.files,
            "inputs": list(self.inputs),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Part":
        """Inverse of `to_json`."""
        inputs = tuple(map(str, row["inputs"]))
        return cls(str(row["folder"]), str(row["shape"]), int(row["number"]), int(row["files"]), inputs)


def part_suffix(number: int) -> str:
    """What ends the names of the second and every further part of a shape."""
    return "" if number == 1 else f"_part{number}"


@dataclass(frozen=True, slots=True)
class JobRun:
    """One call of ais_bench.

    Attributes:
        part: What it reads.
        gear: What it sets.
        name: Of the folder that it writes (``--output_dirname``).
    """

    part: Part
    gear: Gear
    name: str


@dataclass(frozen=True)
class Job:
    """The content of ``job.json``.

    Attributes:
        folder: Where it lies; not part of ``job.json``, so that the job may move.
        config: As in a run's ``run.json``: bundle, data set and ``max_seconds``.
        gears: The shapes.
        inputs: As the compiled model takes them.
        outputs: As it gives them.
        parts: Folders of inputs, in the order of the gears.
        counts: ``samples``, ``pieces`` (files of each input), ``answered`` (without the network), ``quarantined`` and
            ``cut`` (samples that run in windows).
        compiled: ``key``, ``device`` and ``precision`` of what the inputs are for; empty where nobody said.
        signature: Of the machine that wrote it.
        id: `job_id` of it; results that a pack's script made carry it.
    """

    folder: Path
    config: Mapping[str, Any]
    gears: GearSet
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parts: tuple[Part, ...]
    counts: Mapping[str, int]
    compiled: Mapping[str, str] = field(default_factory=dict)
    signature: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    @property
    def runs(self) -> tuple[JobRun, ...]:
        """Every part with every gear of its shape."""
        return tuple(
            JobRun(part, gear, part.outputs(gear.batch))
            for part in self.parts
            for gear in self.gears.gears
            if gear.shape_name == part.shape
        )

    def to_json(self) -> dict[str, Any]:
        """The content of ``job.json``."""
        runs = [{"inputs": run.part.folder, "outputs": run.name, "batch": run.gear.batch} for run in self.runs]
        return {
            "schema": SCHEMA,
            "id": self.id,
            "config": dict(self.config),
            "graph_inputs": [spec.to_json() for spec in self.gears.inputs],
            "gears": [{"batch": gear.batch, "sizes": dict(gear.sizes)} for gear in self.gears.gears],
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "parts": [part.to_json() for part in self.parts],
            "runs": runs,
            "counts": dict(self.counts),
            "compiled": dict(self.compiled),
            "signature": dict(self.signature),
        }


def job_id(job: Job) -> str:
    """SHA-256 of what makes a job: bundle, data, shapes, chip, precision, samples and the hash of every input file.

    Args:
        job: Its samples.jsonl and manifests are read. Its id and its signature are no part of it.
    """
    said = {name: value for name, value in job.to_json().items() if name not in {"id", "signature"}}
    files = (SAMPLES, *(f"{part.folder}/{MANIFEST}" for part in job.parts))
    said["files"] = {name: sha256_of(job.folder / name) for name in files}
    return hashlib.sha256(to_json_text(said).encode()).hexdigest()


def read_job(folder: Path) -> Job:
    """A job.

    Raises:
        UsageError: There is none in the folder.
        RunError: ``job.json`` is broken or of another schema.
    """
    file = folder / JOB
    if not file.is_file():
        raise UsageError(f"{folder} is no job: it has no {JOB}. Make one with: inferry preprocess BUNDLE --data PATH")
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        if row["schema"] != SCHEMA:
            raise RunError(f"{file} has the schema {row['schema']}; this Inferry reads {SCHEMA}: preprocess again")
        graph = tuple(map(TensorSpec.from_json, row["graph_inputs"]))
        gears = tuple(Gear(int(gear["batch"]), dict(gear["sizes"])) for gear in row["gears"])
        return Job(
            folder=folder,
            config=dict(row["config"]),
            gears=GearSet(graph, gears),
            inputs=tuple(map(TensorSpec.from_json, row["inputs"])),
            outputs=tuple(map(TensorSpec.from_json, row["outputs"])),
            parts=tuple(map(Part.from_json, row["parts"])),
            counts={str(name): int(count) for name, count in row["counts"].items()},
            compiled=dict(row["compiled"]),
            signature=dict(row["signature"]),
            id=str(row["id"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{file} is broken ({type(error).__name__}: {error}): preprocess again") from error


def job_folder(named: Path) -> Path:
    """The job that somebody means who names a folder: that of a pack, or the folder itself."""
    return next((place for place in (named, named / INPUTS) if (place / JOB).is_file()), named)


def find_job(outputs: Path) -> Path:
    """The nearest folder above, or at, the outputs that is a job or a pack.

    Raises:
        UsageError: There is none.
    """
    start = outputs.absolute()
    for folder in (start, *start.parents):
        if ((found := job_folder(folder)) / JOB).is_file():
            return found
    raise UsageError(f"neither {outputs} nor a folder above it has a {JOB}: name the job with --job")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one piece of a sample stands: a whole sample, or one window of a long sound.

    Attributes:
        folder: Of its part.
        file: The stem of its files.
        start: Seconds from the beginning of the sound to the window's.
        silent: Whether its input alone says that nothing is in it.
    """

    folder: str
    file: str
    start: float = 0.0
    silent: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        row: dict[str, Any] = {"folder": self.folder, "file": self.file}
        if self.start:
            row["start"] = self.start
        return row | ({"silent": True} if self.silent else {})

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Place":
        """Inverse of `to_json`."""
        return cls(
            str(row["folder"]), str(row["file"]), float(row.get("start", 0.0)), silent=bool(row.get("silent", False))
        )


@dataclass(frozen=True, slots=True)
class JobSample:
    """A sample that needs the network, or whose input alone is its answer.

    Attributes:
        id: Within the data set.
        path: The file that it lies in; empty if none.
        reference: What people say, None if unknown.
        seconds: Duration of a sound, None for other tasks.
        regions: Of a picture, where the best regions lie.
        answer: The prediction where no network is asked (silence), else None.
        pieces: Otherwise: what the network is given.
    """

    id: str
    path: str
    reference: Reference | None
    seconds: float | None = None
    regions: tuple[tuple[float, ...], ...] = ()
    answer: Mapping[str, Any] | None = None
    pieces: tuple[Place, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A row of samples.jsonl."""
        row: dict[str, Any] = {"id": self.id, "path": self.path, "reference": self.reference}
        if self.seconds is not None:
            row["seconds"] = self.seconds
        if self.regions:
            row["regions"] = self.regions
        if self.answer is not None:
            return {**row, "answer": dict(self.answer)}
        return {**row, "pieces": [piece.to_json() for piece in self.pieces]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "JobSample":
        """Inverse of `to_json`."""
        reference = row["reference"]
        return cls(
            id=str(row["id"]),
            path=str(row["path"]),
            reference=tuple(reference) if isinstance(reference, list) else reference,
            seconds=row.get("seconds"),
            regions=tuple(tuple(box) for box in row.get("regions", ())),
            answer=row.get("answer"),
            pieces=tuple(map(Place.from_json, row.get("pieces", ()))),
        )


def sample_line(row: JobSample | Rejected) -> str:
    """The row of samples.jsonl of an item, newline included."""
    return json_line({"rejected": row.to_json()} if isinstance(row, Rejected) else row.to_json())


def read_samples(job: Job) -> Iterator[JobSample | Rejected]:
    """The items of the data set, in its order, one at a time.

    Raises:
        RunError: samples.jsonl is missing, broken, or not whole.
    """
    file, count = job.folder / SAMPLES, 0
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                count += 1
                yield Rejected(**row["rejected"]) if "rejected" in row else JobSample.from_json(row)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{file} is broken ({type(error).__name__}: {error}): preprocess again") from error
    if count != job.counts["samples"]:
        raise RunError(f"{file} has {count:,} rows and {JOB} counts {job.counts['samples']:,}: preprocess again")
