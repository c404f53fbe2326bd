"""Output files of ais_bench and msame, back to their samples.

ais_bench splits each batch along its first axis, leaves out the rows that only filled the last batch, and writes
``<stem>_<output>.bin``, ``.npy`` or ``.txt`` for each sample and output. msame runs one file at a time and writes
``<stem>_output_<output>.bin`` (source: ``msame/src/model_process.cpp`` of ``ascend/tools``). The outputs are found by
name, so they come back in the data set's order whatever the order in which they were made.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from inferry.ascend.job_manifest import JobManifest
from inferry.ascend.job_rules import listing
from inferry.core.arrays import read_array
from inferry.core.errors import RunError, UsageError
from inferry.core.specs import Array, TensorSpec

_FORMATS = ("bin", "npy", "txt")


_MSAME = "output_"
"""What msame writes before an output's number."""


@dataclass(frozen=True, slots=True)
class JobOutputs:
    """A folder of outputs in which nothing is missing.

    Attributes:
        folder: What ais_bench or msame wrote.
        specs: Outputs of the offline model in its order.
        suffix: Of all files, without the dot.
        infix: What stands before an output's number.
    """

    folder: Path
    specs: tuple[TensorSpec, ...]
    suffix: str
    infix: str = ""

    @property
    def tool(self) -> str:
        """What wrote them."""
        return "msame" if self.infix else "ais_bench"

    def name(self, stem: str, index: int) -> str:
        """The file of one output of a sample."""
        return f"{stem}_{self.infix}{index}.{self.suffix}"

    def read(self, stem: str) -> dict[str, Array]:
        """The outputs of one sample by name, without the batch dimension and as padded as the model gives them.

        Raises:
            RunError: A file is of another shape or dtype.
        """
        return {spec.name: _read(self.folder / self.name(stem, i), spec) for i, spec in enumerate(self.specs)}


def open_outputs(folder: Path, manifest: JobManifest, specs: Sequence[TensorSpec]) -> JobOutputs:
    """Count and measure the files of a folder.

    Args:
        folder: The one that ais_bench or msame wrote.
        manifest: Of the inputs.
        specs: Outputs of the offline model in its order, with its dtypes. At most one dimension besides the batch may
            be symbolic: its size follows from the file's.

    Raises:
        RunError: Files are missing, too many, truncated, or text of msame.
        UsageError: `specs` leave a shape open.
    """
    for spec in specs:
        if not spec.dims or sum(isinstance(dim, str) for dim in spec.dims[1:]) > 1:
            raise UsageError(f"the output {spec.name} has the shape {list(spec.dims)}; name the sizes of its gear")
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder; give the one in which ais_bench wrote the output files")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    outputs = _outputs(folder, tuple(specs), sizes)
    expected = {outputs.name(row.stem, i): spec for row in manifest.rows for i, spec in enumerate(specs)}
    problems = [f"{name}: is missing" for name in expected if name not in sizes]
    problems += [f"{name}: belongs to no sample and output of this job" for name in sorted(set(sizes) - set(expected))]
    if outputs.suffix == "bin":
        problems += _size_problems(sizes, expected)
    if problems:
        count = f"{len(manifest.rows)} samples with {len(specs)} outputs each"
        raise RunError(f"{folder} does not hold {count}:\n{listing(problems)}")
    return outputs


def read_outputs(
    folder: Path, manifest: JobManifest, specs: Sequence[TensorSpec]
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Each sample's outputs, in the data set's order.

    Args:
        folder: As for `open_outputs`.
        manifest: Likewise.
        specs: Likewise.

    Returns:
        Sample ids with their outputs by name, without the batch dimension and as padded as the model gives them.
        Numbers from .txt files have six decimals, as ais_bench writes them.

    Raises:
        RunError: Files are missing, too many, truncated, or of another shape or dtype. Files are counted and measured
            before the first sample is given.
        UsageError: `specs` leave a shape open.
    """
    outputs = open_outputs(folder, manifest, specs)
    return ((row.id, outputs.read(row.stem)) for row in manifest.rows)


def _outputs(folder: Path, specs: tuple[TensorSpec, ...], sizes: Mapping[str, int]) -> JobOutputs:
    """What wrote the files, and in which of its formats."""
    formats = [suffix for suffix in _FORMATS if any(name.endswith(f".{suffix}") for name in sizes)]
    if len(formats) != 1:
        found = " and ".join(f".{suffix}" for suffix in formats) or "no .bin, .npy or .txt"
        raise RunError(f"{folder} holds {found} files; one run of ais_bench writes one format")
    (suffix,) = formats
    msame = any(f"_{_MSAME}" in name for name in sizes)
    if msame and suffix != "bin":
        # Its stream prints floats in six significant digits and half floats as whole numbers, their bits.
        raise RunError(f"{folder} holds text of msame, which has lost digits; run msame again with --outfmt BIN")
    return JobOutputs(folder, specs, suffix, _MSAME if msame else "")


def _size_problems(sizes: Mapping[str, int], expected: Mapping[str, TensorSpec]) -> Iterator[str]:
    """Files that cannot hold one sample; all samples of a gear have outputs of one size."""
    found = {name: spec for name, spec in expected.items() if name in sizes}
    common = {
        output: Counter(sizes[name] for name, spec in found.items() if spec.name == output).most_common(1)[0][0]
        for output in {spec.name for spec in found.values()}
    }
    for name, spec in found.items():
        if not _fits(sizes[name], spec):
            yield f"{name}: has {sizes[name]:,} bytes, {_wanted_bytes(spec)}"
        elif sizes[name] != common[spec.name]:
            yield f"{name}: has {sizes[name]:,} bytes, the others have {common[spec.name]:,}"


def _row_bytes(spec: TensorSpec) -> int:
    """Bytes of one sample, or of one step along its symbolic dimension."""
    return prod(dim for dim in spec.dims[1:] if isinstance(dim, int)) * np.dtype(spec.dtype).itemsize


def _fits(size: int, spec: TensorSpec) -> bool:
    return size % _row_bytes(spec) == 0 if spec.dynamic_axes else size == _row_bytes(spec)


def _wanted_bytes(spec: TensorSpec) -> str:
    return f"expected {'a multiple of ' if spec.dynamic_axes else ''}{_row_bytes(spec):,}"


def _read(path: Path, spec: TensorSpec) -> Array:
    shape = tuple(-1 if isinstance(dim, str) else dim for dim in spec.dims[1:])
    try:
        if path.suffix == ".npy":
            return _row_of(read_array(path, spec.name), spec)
        flat = (
            _numbers(path, spec) if path.suffix == ".txt" else np.fromfile(path, np.dtype(spec.dtype).newbyteorder("<"))
        )
        return flat.astype(spec.dtype, copy=False).reshape(shape)
    except (ValueError, KeyError, OverflowError, OSError) as error:
        raise RunError(f"{path} is not the output {spec.name} of one sample ({list(spec.dims)}): {error}") from error


def _numbers(path: Path, spec: TensorSpec) -> Array:
    """The numbers of a .txt file; whole ones are not read through floats, which would round large ones."""
    words = path.read_text(encoding="ascii").split()
    return np.array(words, dtype=np.float64 if np.dtype(spec.dtype).kind == "f" else np.int64)


def _row_of(array: Array, spec: TensorSpec) -> Array:
    """The only row of an array.

    Raises:
        ValueError: It has another shape or dtype.
    """
    dims = (1, *spec.dims[1:])
    same = array.ndim == len(dims) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(dims, array.shape, strict=True)
    )
    if not same or array.dtype != np.dtype(spec.dtype):
        raise ValueError(f"it holds {array.dtype} {list(array.shape)}, expected {spec.dtype} {list(dims)}")
    row: Array = array[0, ...]
    return row
