"""A simulated NPU."""

import pytest

from inferry.backends.ascend import AscendBackend
from inferry.backends.ascend_model import Origin, write_origin
from inferry.backends.ascend_runtime import Acl, shutdown
from inferry.core.protocols import SessionOptions
from inferry.core.specs import TensorSpec

SOUND = Origin(
    (TensorSpec("values", "float32", ("batch", "time")), TensorSpec("lengths", "int64", ("batch",))),
    (
        TensorSpec("logits", "float32", ("batch", "time", 1), length="output_lengths"),
        TensorSpec("output_lengths", "int64", ("batch",)),
    ),
    "fp32",
)


@pytest.fixture
def acl(npu):
    """The simulator; everything must be freed and nothing misused in the end."""
    simulator = npu.AclSimulator()
    yield simulator
    shutdown(Acl(simulator))
    assert simulator.errors == []


@pytest.fixture
def make_om(npu, tmp_path):
    """Compile one of the simulator's graphs: `make_om(graph, shapes, described=..., **as_for_write_om)`."""

    def make(graph, shapes, *, described=False, **options):
        onnx = npu.write_graph(graph, tmp_path / f"{graph}.onnx")
        om = npu.write_om(onnx, tmp_path / f"{graph}.om", shapes, **options)
        if described:
            write_origin(om, SOUND)
        return om

    return make


@pytest.fixture
def open_om(acl):
    """Open an om on the simulator; closed in the end."""
    sessions = []

    def open_it(om, **options):
        sessions.append(AscendBackend(module=acl).open(om, SessionOptions(**options)))
        return sessions[-1]

    yield open_it
    for session in sessions:
        session.close()
