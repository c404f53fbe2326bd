"""The backends by name."""

from importlib.metadata import entry_points

from inferry.backends.ascend import AscendBackend
from inferry.backends.onnxruntime import OnnxRuntime
from inferry.core.errors import UsageError
from inferry.core.protocols import Backend

BACKENDS: dict[str, type[Backend]] = {"ascend": AscendBackend, "onnxruntime": OnnxRuntime}
"""Built in. Others join through the entry point group ``inferry.backends``."""


def backend_names() -> list[str]:
    """All names that `get_backend` knows."""
    return sorted({*BACKENDS, *(point.name for point in entry_points(group="inferry.backends"))})


def get_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        UsageError: There is none; those available are listed.
    """
    if name in BACKENDS:
        return BACKENDS[name]()
    for point in entry_points(group="inferry.backends"):
        if point.name == name:
            backend: Backend = point.load()()
            return backend
    raise UsageError(f"unknown backend {name!r}; available: {', '.join(backend_names())}")
