import sys
import threading
from types import ModuleType

import numpy as np
import pytest

from inferry.backends import ascend
from inferry.backends.ascend import AscendBackend
from inferry.core.errors import BackendError
from inferry.core.protocols import SessionOptions

BATCHES = {"values": (-1, 5), "lengths": (-1,)}
ANY = {"values": (-1, -1), "lengths": (-1,)}


def sound(rows, length, seed=0):
    values = np.random.default_rng(seed).standard_normal((rows, length)).astype(np.float32)
    return {"values": values, "lengths": np.arange(length, length - rows, -1)}


def assert_doubled(outputs, inputs):
    np.testing.assert_array_equal(outputs["logits"][..., 0], 2 * inputs["values"])
    np.testing.assert_array_equal(outputs["output_lengths"], inputs["lengths"])


def gear(rows, length):
    """The sizes of both inputs of the graph `sound`."""
    return (rows, length, rows)


def test_a_static_om(make_om, open_om):
    session = open_om(make_om("sound", {"values": (2, 5), "lengths": (2,)}))
    for seed in range(3):
        assert_doubled(session.run(sound(2, 5, seed)), sound(2, 5, seed))


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_a_batch_goes_to_the_nearest_gear(acl, make_om, open_om, rows):
    session = open_om(make_om("sound", BATCHES, kind="batch", gears=[(8,), (1,), (4,)]))
    assert_doubled(session.run(sound(rows, 5)), sound(rows, 5))
    (model,) = (one for one in acl._live.values() if type(one).__name__ == "Model")
    assert model.current[0][0] == (1 if rows == 1 else 4)


def test_the_gear_input_may_stand_first(make_om, open_om):
    session = open_om(make_om("sound", BATCHES, kind="batch", gears=[(2,), (4,)], gear_index=0))
    assert_doubled(session.run(sound(3, 5)), sound(3, 5))


def test_gears_of_all_dims_take_shorter_batches(make_om, open_om):
    gears = [gear(4, 8), gear(2, 8), gear(2, 16)]
    session = open_om(make_om("sound", ANY, kind="dims", gears=gears, described=True))
    for rows, length in [(2, 8), (1, 3), (3, 7), (2, 15)]:
        assert_doubled(session.run(sound(rows, length)), sound(rows, length))


def test_gears_list_the_inputs_in_the_order_of_the_command(make_om, open_om):
    gears = [(2, 2, 8), (4, 4, 8), (2, 2, 16)]
    order = ["lengths", "values"]
    session = open_om(make_om("sound", ANY, kind="dims", gears=gears, order=order, described=True))
    for rows, length in [(2, 8), (1, 3), (3, 7), (2, 15)]:
        assert_doubled(session.run(sound(rows, length)), sound(rows, length))


def test_gears_may_leave_out_inputs_of_fixed_sizes(make_om, open_om):
    shapes = {"values": (2, -1), "lengths": (2,)}
    session = open_om(make_om("sound", shapes, kind="dims", gears=[(2, 8), (2, 4)], order=["values"]))
    for length in (8, 4):
        assert_doubled(session.run(sound(2, length)), sound(2, length))


def test_a_static_om_whose_graph_is_known_is_padded_too(make_om, open_om):
    session = open_om(make_om("sound", {"values": (4, 9), "lengths": (4,)}, described=True))
    assert_doubled(session.run(sound(3, 6)), sound(3, 6))


def test_without_its_graph_only_the_batch_is_padded(make_om, open_om):
    session = open_om(make_om("sound", ANY, kind="dims", gears=[gear(2, 8), gear(4, 8)]))
    assert_doubled(session.run(sound(4, 8)), sound(4, 8))
    with pytest.raises(BackendError, match=r"no shape of this om takes inputs of \(2, 7\) \(2,\).*\(2, 8\) \(2,\)"):
        session.run(sound(2, 7))


@pytest.mark.parametrize(("rows", "length"), [(5, 8), (2, 9), (4, 9)])
def test_what_fits_no_gear_is_refused(make_om, open_om, rows, length):
    session = open_om(make_om("sound", ANY, kind="dims", gears=[gear(4, 8), gear(1, 8)], described=True))
    with pytest.raises(BackendError, match="compiled for"):
        session.run(sound(rows, length))
    assert_doubled(session.run(sound(2, 8)), sound(2, 8))


def test_image_sizes_must_be_met(make_om, open_om):
    session = open_om(make_om("picture", {"pixels": (2, 3, -1, -1)}, kind="image", gears=[(4, 6), (6, 4)]))
    for height, width in [(4, 6), (6, 4)]:
        pixels = np.random.default_rng(height).random((2, 3, height, width), np.float32)
        np.testing.assert_allclose(session.run({"pixels": pixels})["means"], pixels.mean((2, 3)), rtol=1e-6)
    with pytest.raises(BackendError, match="no shape of this om"):
        session.run({"pixels": np.zeros((2, 3, 4, 4), np.float32)})


def test_any_shape(acl, make_om, open_om):
    session = open_om(make_om("sound", ANY, kind="shape"))
    for rows, length in [(2, 5), (1, 1), (3, 70)]:
        before = len(acl.left)
        assert_doubled(session.run(sound(rows, length)), sound(rows, length))
        assert len(acl.left) == before


def test_half_precision_comes_back_as_single(make_om, open_om):
    half = {"values": "float16", "logits": "float16"}
    session = open_om(make_om("sound", BATCHES, kind="batch", gears=[(1,), (4,)], dtypes=half))
    inputs = sound(3, 5)
    outputs = session.run(inputs)
    assert outputs["logits"].dtype == np.float32
    np.testing.assert_array_equal(outputs["logits"][..., 0], 2 * inputs["values"].astype(np.float16))
    with pytest.raises(BackendError, match="1 values of the input values do not fit into float16"):
        session.run(inputs | {"values": np.array([[1e5, 1, 1, 1, np.inf]], np.float32), "lengths": np.array([5])})


def test_narrowed_integers_come_back_wide(make_om, open_om):
    narrow = {"lengths": "int32", "output_lengths": "int32"}
    shapes = {"values": (2, 5), "lengths": (2,)}
    session = open_om(make_om("sound", shapes, dtypes=narrow, described=True))
    outputs = session.run(sound(2, 5))
    assert outputs["output_lengths"].dtype == np.int64
    assert_doubled(outputs, sound(2, 5))
    with pytest.raises(BackendError, match="do not fit into int32"):
        session.run(sound(2, 5) | {"lengths": np.array([5, 2**40])})


def test_an_output_without_rows_cannot_be_cut(make_om, open_om):
    session = open_om(make_om("sum", {"values": (-1, 3)}, kind="batch", gears=[(2,), (4,)]))
    np.testing.assert_array_equal(session.run({"values": np.ones((4, 3), np.float32)})["total"], [[4, 4, 4]])
    with pytest.raises(BackendError, match="give batches of 4"):
        session.run({"values": np.ones((3, 3), np.float32)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((2, 5))}, "takes float32, not float64"),
        ({"lengths": np.zeros(2, np.int32)}, "takes int64, not int32"),
        ({"surprise": np.zeros(1)}, "surprise"),
    ],
)
def test_wrong_inputs_are_refused(make_om, open_om, change, message):
    session = open_om(make_om("sound", {"values": (2, 5), "lengths": (2,)}, described=True))
    with pytest.raises(BackendError, match=message):
        session.run(sound(2, 5) | change)
    assert_doubled(session.run(sound(2, 5)), sound(2, 5))


def test_threads_take_turns(make_om, open_om):
    session = open_om(make_om("sound", BATCHES, kind="batch", gears=[(1,), (4,)]))
    problems = []

    def work(seed):
        try:
            for _ in range(10):
                assert_doubled(session.run(sound(3, 5, seed)), sound(3, 5, seed))
        except (AssertionError, BackendError) as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_session_may_be_closed_in_another_thread(acl, make_om, open_om):
    session = open_om(make_om("sound", {"values": (2, 5), "lengths": (2,)}))
    thread = threading.Thread(target=session.close)
    thread.start()
    thread.join()
    assert acl.left == []
    with pytest.raises(BackendError, match="closed"):
        session.run(sound(2, 5))


@pytest.mark.parametrize("kind", ["shape", "static"])
def test_empty_inputs_never_reach_acl(acl, make_om, open_om, kind):
    shapes = ANY if kind == "shape" else {"values": (2, 5), "lengths": (2,)}
    session = open_om(make_om("sound", shapes, kind=kind))
    before = len(acl.calls)
    with pytest.raises(BackendError, match="empty"):
        session.run(sound(2, 5) | {"values": np.zeros((2, 0), np.float32)})
    assert len(acl.calls) == before


def test_an_older_or_newer_cann_lacks_functions(acl, make_om, open_om):
    om = make_om("sound", {"values": (2, 5), "lengths": (2,)})
    del acl.get_version
    assert open_om(om).signature()["version"] == "not stated by acl"
    del acl.mdl.get_output_dims
    with pytest.raises(BackendError, match=r"has no function acl\.mdl\.get_output_dims"):
        open_om(om)


def test_two_sessions_share_the_device(acl, make_om, open_om):
    om = make_om("sound", {"values": (2, 5), "lengths": (2,)})
    first, second = open_om(om), open_om(om)
    first.close()
    assert_doubled(second.run(sound(2, 5)), sound(2, 5))
    second.close()
    assert_doubled(open_om(om).run(sound(2, 5)), sound(2, 5))
    assert acl.calls.count("init") == acl.calls.count("rt.set_device") == 1


def test_the_signature_tells_what_is_used(monkeypatch, make_om, open_om):
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
    om = make_om("sound", BATCHES, kind="batch", gears=[(1,), (4,)], described=True)
    assert open_om(om).signature() == {
        "backend": "ascend",
        "version": "1.12.0",
        "device": "Ascend310P3 0",
        "precision": "fp32",
        "om": "sound.om",
        "shapes": "dynamic batch",
        "threads": 1,
    }
    with pytest.raises(BackendError, match="compiled for fp32, not fp16"):
        open_om(om, precision="fp16")
    om.with_suffix(".json").unlink()
    assert open_om(om).signature()["precision"] == "not stated by the om"


def test_the_signature_says_which_npu_number_0_is(monkeypatch, make_om, open_om):
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "3")
    session = open_om(make_om("sound", {"values": (2, 5), "lengths": (2,)}))
    assert session.signature()["device"] == "Ascend310P3 0 of ASCEND_RT_VISIBLE_DEVICES=3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp3"}, "not fp3"),
        ({"threads": 0}, "not 0"),
        ({"threads": -1}, "not -1"),
        ({"optimise": False}, "not the graph as it stands"),
    ],
)
def test_impossible_options_are_refused(make_om, open_om, options, message):
    with pytest.raises(BackendError, match=message):
        open_om(make_om("sound", {"values": (2, 5), "lengths": (2,)}), **options)


def test_files_that_are_no_om_are_refused(open_om, tmp_path):
    with pytest.raises(BackendError, match=r"there is no om file .*model\.om"):
        open_om(tmp_path / "model.om")
    (tmp_path / "model.om").write_bytes(b"nothing")
    with pytest.raises(BackendError, match=r"model\.om cannot be loaded: acl\.mdl\.load_from_file failed with code 1"):
        open_om(tmp_path / "model.om")


@pytest.mark.parametrize("text", ["{", "{}", '{"inputs": 1, "outputs": [], "precision": "fp32"}'])
def test_a_broken_description_is_refused(make_om, open_om, text):
    om = make_om("sound", {"values": (2, 5), "lengths": (2,)})
    om.with_suffix(".json").write_text(text)
    with pytest.raises(BackendError, match="compile it again"):
        open_om(om)


def test_without_cann_it_says_where_acl_comes_from(monkeypatch, acl, make_om):
    monkeypatch.setattr(ascend, "find_spec", lambda _: None)
    assert "part of CANN" in AscendBackend().missing()
    assert AscendBackend(module=acl).missing() is None
    monkeypatch.setitem(sys.modules, "acl", None)
    with pytest.raises(BackendError, match=r"acl cannot be imported.*part of CANN"):
        AscendBackend().open(make_om("sound", {"values": (2, 5), "lengths": (2,)}), SessionOptions())


def test_another_package_called_acl_is_refused(monkeypatch, make_om):
    other = ModuleType("acl")
    other.__file__ = "acl.py"
    monkeypatch.setitem(sys.modules, "acl", other)
    with pytest.raises(BackendError, match="is not CANN's"):
        AscendBackend().open(make_om("sound", {"values": (2, 5), "lengths": (2,)}), SessionOptions())


def test_the_installed_module_is_used(monkeypatch, acl, make_om):
    monkeypatch.setitem(sys.modules, "acl", acl)
    session = AscendBackend().open(make_om("sound", {"values": (2, 5), "lengths": (2,)}), SessionOptions())
    assert_doubled(session.run(sound(2, 5)), sound(2, 5))
    session.close()
