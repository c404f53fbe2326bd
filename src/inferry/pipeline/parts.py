"""The further graphs of a bundle, opened for its processor."""

from collections.abc import Mapping
from threading import Lock

from inferry.core.protocols import Session
from inferry.core.specs import Array


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

    def close(self) -> None:
        """Free the runtime's memory, once nothing runs."""
        with self._lock:
            self._session.close()
