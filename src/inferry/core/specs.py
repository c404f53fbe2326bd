"""Tensor specifications: what a graph takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

BATCH = "batch"
"""The symbolic name of the batch dimension, always the first."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a graph.

    Attributes:
        name: As in the graph.
        dtype: A numpy dtype name.
        dims: The batch dimension first; a string is a symbolic (dynamic) dimension.
        length: For an output with one dynamic dimension besides the batch: the output that holds each row's true size
            along it. None if rows are never padded.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    length: str | None = None

    @property
    def dynamic_axes(self) -> tuple[int, ...]:
        """Axes with a symbolic size, the batch excluded."""
        return tuple(i for i, dim in enumerate(self.dims) if isinstance(dim, str) and dim != BATCH)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        row: dict[str, Any] = {"name": self.name, "dtype": self.dtype, "dims": list(self.dims)}
        if self.length is not None:
            row["length"] = self.length
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "TensorSpec":
        """Inverse of `to_json`."""
        return cls(str(row["name"]), str(row["dtype"]), tuple(row["dims"]), row.get("length"))
