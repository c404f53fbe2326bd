"""Routes pieces to the smallest shape that takes them, and writes each shape's folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inferry.ascend.gear_set import Gear, GearSet
from inferry.ascend.job_inputs import InputWriter, verify_inputs
from inferry.core.errors import SampleError, UsageError
from inferry.core.specs import Array, TensorSpec
from inferry.pipeline.jobs.folder import Part, part_suffix
from inferry.pipeline.jobs.sizes import sizes_of


@dataclass(frozen=True, slots=True)
class Written:
    """Where a piece's files are.

    Attributes:
        folder: Of its part.
        file: Their stem.
        shape: The gear whose shape it was padded to.
    """

    folder: str
    file: str
    shape: Gear


class ShapeFolders:
    """The input folders of a job. Of each shape one folder is open, so that memory does not grow with the data set.

    Args:
        work: The job's folder.
        gears: The shapes.
        inputs: As the compiled model takes them, with the dimensions of the graph's.
    """

    def __init__(self, work: Path, gears: GearSet, inputs: tuple[TensorSpec, ...]) -> None:
        self._work = work
        self._gears = gears
        self._inputs = inputs
        self._open: dict[str, tuple[InputWriter, int]] = {}
        self._parts: dict[str, list[Part]] = {}

    def add(self, key: str, arrays: Mapping[str, Array]) -> Written:
        """Write one piece.

        Args:
            key: Unique among all pieces.
            arrays: Its inputs by name, without the batch dimension.

        Raises:
            SampleError: No shape takes it, or its numbers do not fit the model's types.
        """
        sizes = sizes_of(self._inputs, arrays)
        shape = self._gears.smallest(sizes)
        if shape is None:
            raise SampleError("process", too_long(self._gears, sizes))
        writer, number = self._writer(shape)
        try:
            stem = writer.add(key, arrays)
        except UsageError as error:
            raise SampleError("process", str(error).replace(key, key.partition("\t")[0])) from error
        return Written(f"{shape.shape_name}{part_suffix(number)}", stem, shape)

    def close(self) -> tuple[Part, ...]:
        """Write the manifests and check every file; folders in which nothing was written vanish.

        Raises:
            RunError: ais_bench would refuse something.
        """
        for shape in self._gears.shapes:
            if shape.shape_name in self._open:
                self._finish(shape)
        return tuple(part for shape in self._gears.shapes for part in self._parts.get(shape.shape_name, ()))

    def _writer(self, shape: Gear) -> tuple[InputWriter, int]:
        name = shape.shape_name
        if name in self._open and self._open[name][0].is_full:
            self._finish(shape)
        if name not in self._open:
            number = len(self._parts.get(name, ())) + 1
            folder = self._work / f"{name}{part_suffix(number)}"
            folder.mkdir()
            self._open[name] = InputWriter(folder, [shape.fixed(spec) for spec in self._inputs]), number
        return self._open[name]

    def _finish(self, shape: Gear) -> None:
        name = shape.shape_name
        writer, number = self._open.pop(name)
        folder = self._work / f"{name}{part_suffix(number)}"
        if not len(writer):
            for inner in folder.iterdir():
                inner.rmdir()
            folder.rmdir()
            return
        manifest = writer.close()
        verify_inputs(folder)
        inputs = tuple(one.folder for one in manifest.inputs)
        self._parts.setdefault(name, []).append(Part(folder.name, name, number, len(manifest.rows), inputs))


def too_long(gears: GearSet, sizes: Mapping[str, int]) -> str:
    """Why no shape takes a sample, and what would."""
    largest = {name: max(one.sizes[name] for one in gears.shapes) for name in sizes}
    over = {name: size for name, size in sizes.items() if size > largest[name]} or dict(sizes)
    found = ", ".join(f"{size:,} {name}" for name, size in over.items())
    takes = ", ".join(f"{largest[name]:,}" for name in over)
    wanted = " ".join(f"--sizes {name}={size}" for name, size in over.items())
    windows = ", or shorter windows with --max-seconds" if over.keys() & {"samples", "time"} else ""
    return f"it has {found}, and the largest shape takes {takes}: add {wanted}{windows}"
