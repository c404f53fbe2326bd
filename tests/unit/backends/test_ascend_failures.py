"""Each call of acl fails once, for every om: a plain error, and everything is freed."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from inferry.backends.ascend import AscendBackend
from inferry.backends.ascend_runtime import Acl, shutdown, start
from inferry.core.errors import BackendError
from inferry.core.protocols import SessionOptions

SHAPES = {
    "static": ({"values": (4, 5), "lengths": (4,)}, ()),
    "batch": ({"values": (-1, 5), "lengths": (-1,)}, [(2,), (4,)]),
    "dims": ({"values": (-1, -1), "lengths": (-1,)}, [(2, 5, 2), (4, 5, 4)]),
    "shape": ({"values": (-1, -1), "lengths": (-1,)}, ()),
}
PICTURES = ({"pixels": (2, 3, -1, -1)}, [(4, 6), (6, 4)])
FEED = {"values": np.ones((4, 5), np.float32), "lengths": np.full(4, 5)}
PIXELS = {"pixels": np.ones((2, 3, 4, 6), np.float32)}

SILENT = {"destroy_tensor_desc"}
"""Calls that return nothing: they cannot be seen to fail."""
UNUSED = {"mdl.get_input_size_by_index", "mdl.get_output_size_by_index"}
"""Calls whose failure means the same as a right answer where the shapes are free: no size is known."""


def life(simulator, om, feed):
    """One session from its opening to the end of the process."""
    acl = Acl(simulator)
    try:
        session = AscendBackend(module=simulator).open(om, SessionOptions())
        try:
            return session.run(feed)
        finally:
            session.close()
    finally:
        shutdown(acl)


def outcome(simulator, om, feed):
    try:
        return life(simulator, om, feed), None
    except BackendError as error:
        return None, error


def compiled(kind, make_om):
    if kind == "image":
        return make_om("picture", PICTURES[0], kind=kind, gears=PICTURES[1]), PIXELS
    shapes, gears = SHAPES[kind]
    return make_om("sound", shapes, kind=kind, gears=gears, described=True), FEED


@pytest.mark.parametrize("kind", [*SHAPES, "image"])
def test_every_call_may_fail(npu, make_om, kind):
    om, feed = compiled(kind, make_om)
    clean = npu.AclSimulator()
    expected = life(clean, om, feed)
    assert clean.errors == []
    assert clean.left == []
    unseen = set()
    for number, name in enumerate(clean.calls, start=1):
        simulator = npu.AclSimulator()
        simulator.fail_at = number
        found, error = outcome(simulator, om, feed)
        assert error is None or "acl" in str(error)
        if error is None:
            unseen.add(name)
            for key, value in expected.items():
                np.testing.assert_array_equal(found[key], value)
        assert simulator.left == [], f"{name}, call {number}"
        assert simulator.errors == [], f"{name}, call {number}"
    assert unseen == (SILENT | UNUSED if kind == "shape" else set())


@pytest.mark.parametrize(
    "name", ["init", "rt.set_device", "rt.malloc", "rt.memcpy", "mdl.execute", "rt.free", "finalize"]
)
def test_the_error_names_the_call_and_its_code(npu, make_om, name):
    om, feed = compiled("static", make_om)
    clean = npu.AclSimulator()
    life(clean, om, feed)
    simulator = npu.AclSimulator()
    simulator.fail_at = clean.calls.index(name) + 1
    with pytest.raises(BackendError, match=rf"acl\.{re.escape(name)} failed with code {npu.INJECTED}"):
        life(simulator, om, feed)


def test_a_code_without_a_meaning_stands_alone(npu, make_om):
    simulator = npu.AclSimulator()
    simulator.rt.set_device = lambda _: 107099
    with pytest.raises(BackendError, match=r"acl\.rt\.set_device failed with code 107099; CANN's log"):
        life(simulator, compiled("static", make_om)[0], FEED)


def test_a_failed_run_leaves_the_session_usable(acl, make_om, open_om):
    om, feed = compiled("batch", make_om)
    session = open_om(om)
    session.run(feed)
    acl.fail_at = len(acl.calls) + 5
    with pytest.raises(BackendError, match=r"failed with code|returned 0"):
        session.run(feed)
    np.testing.assert_array_equal(session.run(feed)["logits"], np.full((4, 5, 1), 2, np.float32))


def test_what_the_runtime_itself_refuses_is_said(acl, make_om, open_om):
    session = open_om(make_om("sound", {"values": (-1, -1), "lengths": (-1,)}, kind="shape"))
    with pytest.raises(BackendError, match=r"acl\.mdl\.execute failed with code 507011 \(the network failed\); CANN"):
        session.run({"values": np.ones((2, 3, 1), np.float32), "lengths": np.ones(2, np.int64)})
    assert session.run(FEED)["logits"].shape == (4, 5, 1)


def test_acl_that_another_part_started_is_not_ended(npu):
    simulator = npu.AclSimulator()
    assert simulator.init() == 0
    simulator.init = lambda: 100002
    acl = Acl(simulator)
    start(acl, 0)
    start(acl, 0)
    shutdown(acl)
    shutdown(acl)
    assert simulator.calls == ["init", "rt.set_device", "rt.reset_device"]
    assert simulator.finalize() == 0
    assert simulator.errors == []


def test_the_process_gives_the_device_back_at_its_end(monkeypatch, npu):
    at_exit = []
    monkeypatch.setattr("atexit.register", lambda *call: at_exit.append(call))
    simulator = npu.AclSimulator()
    start(Acl(simulator), 3)
    ((function, *arguments),) = at_exit
    function(*arguments)
    assert simulator.calls == ["init", "rt.set_device", "rt.reset_device", "finalize"]
    assert simulator.errors == []


def test_sessions_that_nobody_closed_are_closed_at_the_end(npu, make_om):
    simulator = npu.AclSimulator()
    om, feed = compiled("batch", make_om)
    sessions = [AscendBackend(module=simulator).open(om, SessionOptions()) for _ in range(2)]
    sessions[0].run(feed)
    shutdown(Acl(simulator))
    sessions[0].close()
    assert simulator.calls[-3:] == ["rt.destroy_context", "rt.reset_device", "finalize"]
    assert (simulator.left, simulator.errors) == ([], [])


def test_a_process_may_end_without_closing(cann, make_om, tmp_path):
    om, _ = compiled("batch", make_om)
    script = (
        "import sys; from pathlib import Path; from inferry.backends.ascend import AscendBackend;"
        "from inferry.core.protocols import SessionOptions;"
        "sessions = [AscendBackend().open(Path(sys.argv[1]), SessionOptions()) for _ in range(2)];"
        "print(sessions[0].signature()['device'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(cann.install_module(tmp_path))}
    done = subprocess.run(
        [sys.executable, "-c", script, om], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Ascend310P3 0\n", "")


def test_a_dtype_that_numpy_lacks_is_refused(acl, make_om, open_om):
    acl.mdl.get_input_data_type = lambda desc, index: 27
    with pytest.raises(BackendError, match="input values of this om has the acl dtype 27"):
        open_om(make_om("sound", {"values": (2, 5), "lengths": (2,)}))
    assert acl.left == []


def test_gears_that_acl_does_not_state_are_refused(acl, make_om, open_om):
    acl.mdl.get_dynamic_batch = lambda desc: ({"batchCount": 0, "batch": []}, 0)
    with pytest.raises(BackendError, match="states no gears"):
        open_om(make_om("sound", *SHAPES["batch"][:1], kind="batch", gears=SHAPES["batch"][1]))
    assert acl.left == []


@pytest.mark.parametrize("sizes", [[2, 5], [2, 5, 2, 2], [5, 2, 99]])
def test_gears_that_fit_no_order_of_the_inputs_are_refused(acl, make_om, open_om, sizes):
    om, _ = compiled("dims", make_om)
    acl.mdl.get_input_dynamic_dims = lambda *_: ([{"name": "", "dimCount": len(sizes), "dims": sizes}] * 2, 0)
    with pytest.raises(BackendError, match=r"fit the inputs values\[-1, -1\] lengths\[-1\] in no order"):
        open_om(om)
    assert acl.left == []
