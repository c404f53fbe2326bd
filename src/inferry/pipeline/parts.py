"""The further graphs of a bundle, opened for its processor."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import Lock

from inferry.backends.registry import get_backend
from inferry.core.bundle import Bundle
from inferry.core.errors import BackendError
from inferry.core.protocols import Backend, Session, SessionOptions
from inferry.core.specs import Array

_PRECISION = "fp32"
"""Of graphs that another backend than the bundle's runs: what was asked for is the precision of a compiled graph."""


class SharedSession:
    """A session that any thread may run: one after the other, for it uses all threads itself.

    Args:
        session: Of one graph.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = Lock()

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs of the graph.

        Raises:
            BackendError: The runtime refused.
        """
        with self._lock:
            return self._session.run(inputs)

    def signature(self) -> str:
        """What runs it, in a few words."""
        row = self._session.signature()
        threads = f"{row['threads']} thread{'' if row['threads'] == 1 else 's'}"
        return f"{row['backend']} {row['version']}, {row['device']}, {row['precision']}, {threads}"

    def close(self) -> None:
        """Free the runtime's memory, once nothing runs."""
        with self._lock:
            self._session.close()


@contextmanager
def opened_parts(bundle: Bundle, backend: Backend, options: SessionOptions) -> Iterator[dict[str, SharedSession]]:
    """The further graphs of a bundle by name, on this backend or on the one that it leaves them to.

    Raises:
        BackendError: One cannot be opened.
    """
    if (name := getattr(backend, "parts_on", None)) is not None:
        backend, options = usable(name), replace(options, precision=_PRECISION)
    with ExitStack() as stack:
        parts = {}
        for part, file in bundle.manifest.parts.items():
            parts[part] = SharedSession(backend.open(bundle.path / file, options))
            stack.callback(parts[part].close)
        yield parts


def usable(name: str) -> Backend:
    """The backend of that name, which must be installed.

    Raises:
        UsageError: There is none.
        BackendError: It is not installed.
    """
    backend = get_backend(name)
    if (missing := backend.missing()) is not None:
        raise BackendError(f"backend {name} cannot be used: {missing}")
    return backend
