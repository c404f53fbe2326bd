"""Sources as JSON, for the process in which memory and start are measured."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.core.samples import Audio, AudioFile, ImageFile, Question, RegionFile, Source
from inferry.pipeline.benchmark.workload import noise

_KINDS: Final[Mapping[str, type]] = {kind.__name__: kind for kind in (AudioFile, ImageFile, Question, RegionFile)}
_NOISE: Final = "noise"


def source_to_json(source: Source) -> dict[str, Any]:
    """A source of a workload: files and questions about files; a sound in memory is noise of `bench`'s own.

    Raises:
        TypeError: It is something else, which no data set gives.
    """
    if isinstance(source, Audio):
        return {"kind": _NOISE, "seconds": len(source.samples) / source.rate, "rate": source.rate}
    row = _to_json(source)
    assert isinstance(row, dict), "a source is a dataclass"
    return row


def source_from_json(row: Mapping[str, Any]) -> Source:
    """Inverse of `source_to_json`; noise is made anew."""
    if row["kind"] == _NOISE:
        return noise(float(row["seconds"]), int(row["rate"]), 0)
    source: Source = _from_json(row)
    return source


def _to_json(value: object) -> object:
    if type(value).__name__ in _KINDS and is_dataclass(value):
        return {"kind": type(value).__name__} | {one.name: _to_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Path):
        return {"kind": "path", "value": str(value)}
    if isinstance(value, np.ndarray):
        return {"kind": "array", "value": value.tolist(), "dtype": str(value.dtype)}
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a command")


def _from_json(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    if not isinstance(value, Mapping):
        return value
    if value["kind"] == "path":
        return Path(value["value"])
    if value["kind"] == "array":
        return np.array(value["value"], value["dtype"])
    given = {name: _from_json(one) for name, one in value.items() if name != "kind"}
    return _KINDS[value["kind"]](**given)
