"""What the machine can do at its best: two large matrix products, run by the backend that runs the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.backends.registry import get_backend
from inferry.core.errors import BackendError
from inferry.core.protocols import Session
from inferry.core.specs import Array
from inferry.networks.graph import Graph
from inferry.pipeline.benchmark.configurations import Configuration
from inferry.pipeline.benchmark.results import Ceiling
from inferry.pipeline.benchmark.rounds import rest

ROWS: Final = 1568
INNER: Final = 768
COLUMNS: Final = 3072
"""The product of a transformer's first feed-forward layer over 32 s of sound: 7.4 billion operations."""

OPERATIONS: Final = 2 * ROWS * INNER * COLUMNS


@dataclass
class CeilingProbe:
    """Opened products of one configuration, and the best time of each so far."""

    sessions: Mapping[str, tuple[Session, Mapping[str, Array]]]
    best: dict[str, float] = field(default_factory=dict)

    def measure(self) -> None:
        """Run each product once, after a rest."""
        for name, (session, inputs) in self.sessions.items():
            rest()
            start = perf_counter()
            session.run(inputs)
            seconds = perf_counter() - start
            self.best[name] = min(seconds, self.best.get(name, seconds))

    def ceiling(self) -> Ceiling:
        """Operations per second, by the best time."""
        speeds = {name: OPERATIONS / seconds for name, seconds in self.best.items()}
        return Ceiling(speeds.get("fp32"), speeds.get("int8"))

    def close(self) -> None:
        """Free the backend's memory."""
        for session, _ in self.sessions.values():
            session.close()


def open_ceiling(configuration: Configuration) -> CeilingProbe:
    """The products, opened with the backend and threads of a configuration, and run once to warm up.

    What the backend cannot run has no ceiling.
    """
    backend = get_backend(configuration.backend)
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 255, (ROWS, INNER))
    inputs: dict[str, dict[str, Array]] = {
        "fp32": {"x": rows.astype(np.float32) / 255},
        "int8": {"x": rows.astype(np.uint8)},
    }
    sessions: dict[str, tuple[Session, Mapping[str, Array]]] = {}
    with TemporaryDirectory(prefix="inferry-ceiling-") as folder:
        for name, values in inputs.items():
            path = Path(folder) / f"{name}.onnx"
            ir.save(product_model(name), path)
            try:
                session = backend.open(path, configuration.options)
                session.run(values)
            except BackendError:
                continue
            sessions[name] = (session, values)
    return CeilingProbe(sessions)


def product_model(name: str) -> ir.Model:
    """``y = x @ w`` with a constant w: ``fp32`` by `MatMul`, ``int8`` (uint8 by int8 to int32) by `MatMulInteger`."""
    operator, left, weight, result = {
        "fp32": ("MatMul", "float32", "float32", "float32"),
        "int8": ("MatMulInteger", "uint8", "int8", "int32"),
    }[name]
    graph = Graph(f"ceiling-{name}")
    x = graph.input("x", left, (ROWS, INNER))
    values = np.random.default_rng(1).integers(-100, 100, (INNER, COLUMNS)).astype(weight)
    graph.output(graph.op(operator, x, graph.weight("w", values)), "y", result, (ROWS, COLUMNS))
    model = graph.network().model
    assert isinstance(model, ir.Model), "a network's model is one of onnx_ir"
    return model


def best_of(ceilings: Sequence[Ceiling]) -> Ceiling:
    """The highest of several, for each precision."""
    return Ceiling(
        max((one.fp32 for one in ceilings if one.fp32 is not None), default=None),
        max((one.int8 for one in ceilings if one.int8 is not None), default=None),
    )
