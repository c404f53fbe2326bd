"""How many operations the network does, by running a copy of its graph that gives shapes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from inferry.backends.registry import get_backend
from inferry.core.bundle import Bundle
from inferry.core.protocols import Session, SessionOptions
from inferry.core.samples import Features
from inferry.passes.operations import OperationProbe, operation_probe
from inferry.pipeline.execution import collate

_BACKEND = "onnxruntime"
"""Runs the copy: the number does not depend on who counts, and it takes any graph."""

_EXTERNAL = 1 << 20
"""Weights above this size stand beside the copy: one ONNX file holds at most 2 GB."""


class OperationCounter:
    """Counts operations of one row at a time; every row of a batch costs the same.

    Args:
        bundle: Whose inputs are known.
        probe: Of its graph.
        session: Of the probe's model; None where there is nothing to count.
    """

    def __init__(self, bundle: Bundle, probe: OperationProbe, session: Session | None) -> None:
        self._bundle = bundle
        self._probe = probe
        self._session = session
        self._known: dict[tuple[tuple[int, ...], ...], int] = {}

    @property
    def unknown(self) -> tuple[str, ...]:
        """See `OperationProbe.unknown`."""
        return self._probe.unknown

    def per_row(self, features: Sequence[Features], length: int) -> int:
        """Operations of one row of a batch.

        Args:
            features: Of all samples of the batch: it is padded to the greatest of their sizes along every axis.
            length: To which it is padded along the planned axis, no less than any sample's own.

        Raises:
            BackendError: The graph cannot run.
        """
        if self._session is None:
            return 0
        batch = collate(features, self._bundle.manifest.inputs, length)
        row = {name: value[:1] for name, value in batch.items()}
        sizes = tuple(value.shape for value in row.values())
        if sizes not in self._known:
            self._known[sizes] = sum(self._probe.count(self._session.run(row)).values())
        return self._known[sizes]


@contextmanager
def operation_counter(bundle: Bundle) -> Iterator[OperationCounter]:
    """A counter for a bundle's graph; its copy vanishes at the end."""
    probe = operation_probe(ir.load(bundle.model))
    if not probe.names:
        yield OperationCounter(bundle, probe, None)
        return
    with TemporaryDirectory(prefix="inferry-operations-") as folder:
        path = Path(folder) / "model.onnx"
        ir.save(probe.model, path, external_data="model.onnx.data", size_threshold_bytes=_EXTERNAL)
        session = get_backend(_BACKEND).open(path, SessionOptions())
        try:
            yield OperationCounter(bundle, probe, session)
        finally:
            session.close()
