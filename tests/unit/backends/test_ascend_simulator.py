"""The simulator finds what a program does wrong: otherwise the backend's tests could not."""

import ctypes
import threading

import numpy as np
import pytest


@pytest.fixture
def loose(npu):
    """A simulator whose errors are the subject of the test."""
    return npu.AclSimulator()


@pytest.fixture
def ready(loose):
    """Started, with a context."""
    loose.init()
    loose.rt.set_device(0)
    context, _ = loose.rt.create_context(0)
    return loose, context


def loaded(acl, om):
    model, code = acl.mdl.load_from_file(str(om))
    assert code == 0
    desc = acl.mdl.create_desc()
    assert acl.mdl.get_desc(desc, model) == 0
    return model, desc


def dataset(acl, sizes, written=()):
    """A dataset of buffers of these sizes, the first ones of them filled with so many bytes."""
    found = acl.mdl.create_dataset()
    for index, size in enumerate(sizes):
        pointer, _ = acl.rt.malloc(size, 0)
        if index < len(written):
            source = np.zeros(written[index], np.uint8)
            assert acl.rt.memcpy(pointer, size, source.ctypes.data, source.nbytes, 1) == 0
        acl.mdl.add_dataset_buffer(found, acl.create_data_buffer(pointer, size))
    return found


def test_memory_is_real(ready):
    acl, _ = ready
    pointer, _ = acl.rt.malloc(4, 0)
    source, target = np.array([1, 2, 3, 4], np.uint8), np.zeros(4, np.uint8)
    assert acl.rt.memcpy(pointer, 4, source.ctypes.data, 4, 1) == 0
    assert acl.rt.memcpy(target.ctypes.data, 4, pointer, 4, 2) == 0
    np.testing.assert_array_equal(target, source)
    assert ctypes.string_at(pointer, 4) == bytes(source)
    assert acl.errors == []


def test_use_before_init_and_after_finalize(loose):
    assert loose.rt.set_device(0) != 0
    assert loose.init() == 0
    assert loose.init() == 100002
    assert loose.finalize() == 0
    assert loose.rt.set_device(0) != 0
    assert [error.split(":")[0] for error in loose.errors] == ["rt.set_device", "init", "rt.set_device"]


def test_a_leak(ready):
    acl, _ = ready
    acl.rt.malloc(8, 0)
    acl.mdl.create_dataset()
    acl.finalize()
    assert acl.errors == ["finalize: never freed: Context, Dataset, device memory, device 0"]


@pytest.mark.parametrize("wrong", ["twice", "after", "too long", "host", "direction", "unknown"])
def test_wrong_memory(ready, wrong):
    acl, _ = ready
    pointer, _ = acl.rt.malloc(8, 0)
    host = np.zeros(16, np.uint8).ctypes.data
    if wrong in {"twice", "after"}:
        assert acl.rt.free(pointer) == 0
    code = {
        "twice": lambda: acl.rt.free(pointer),
        "after": lambda: acl.rt.memcpy(pointer, 8, host, 8, 1),
        "too long": lambda: acl.rt.memcpy(pointer, 16, host, 16, 1),
        "host": lambda: acl.rt.free(host),
        "direction": lambda: acl.rt.memcpy(pointer, 8, host, 8, 2),
        "unknown": lambda: acl.rt.memcpy(pointer, 8, host, 8, 7),
    }[wrong]()
    assert code != 0
    assert len(acl.errors) == 1


def test_handles_after_their_end(ready):
    acl, context = ready
    found, desc = acl.mdl.create_dataset(), acl.mdl.create_desc()
    assert acl.mdl.destroy_dataset(found) == acl.mdl.destroy_desc(desc) == acl.rt.destroy_context(context) == 0
    assert 0 not in {acl.mdl.destroy_dataset(found), acl.mdl.destroy_desc(desc), acl.rt.set_context(context)}
    assert len(acl.errors) == 3


def test_another_thread_has_no_context(ready):
    acl, _ = ready
    thread = threading.Thread(target=acl.rt.malloc, args=(8, 0))
    thread.start()
    thread.join()
    assert acl.errors == ["rt.malloc: this thread has no context"]


def test_a_model_belongs_to_its_context(ready, make_om):
    acl, _ = ready
    model, _ = loaded(acl, make_om("sum", {"values": (-1, 3)}, kind="batch", gears=[(2,), (4,)]))
    source, target = dataset(acl, (48, 8), (24,)), dataset(acl, (12,))
    acl.rt.create_context(0)
    assert acl.mdl.set_dynamic_batch_size(model, source, 1, 2) != 0
    assert acl.mdl.execute(model, source, target) != 0
    assert acl.mdl.unload(model) != 0
    names = ("mdl.set_dynamic_batch_size", "mdl.execute", "mdl.unload")
    assert acl.errors == [f"{name}: the model was loaded in another context" for name in names]


def test_a_context_ends_after_its_models_and_a_device_after_its_contexts(ready, make_om):
    acl, context = ready
    loaded(acl, make_om("sum", {"values": (2, 3)}))
    assert acl.rt.destroy_context(context) != 0
    acl.rt.create_context(0)
    assert acl.rt.reset_device(0) != 0
    assert acl.errors == [
        "rt.destroy_context: a model is still loaded in this context",
        "rt.reset_device: device 0 has contexts",
    ]


def test_a_device_that_was_given_back_has_no_context(loose):
    loose.init()
    loose.rt.set_device(0)
    assert loose.rt.reset_device(0) == 0
    assert loose.rt.malloc(8, 0)[1] != 0
    assert loose.errors == ["rt.malloc: this thread has no context"]


def test_two_threads_in_one_model(ready, make_om, monkeypatch):
    acl, context = ready
    model, _ = loaded(acl, make_om("sum", {"values": (2, 3)}))
    codes = []

    def run():
        acl.rt.set_context(context)
        codes.append(acl.mdl.execute(model, dataset(acl, (24,), (24,)), dataset(acl, (12,))))

    (running,) = (one for one in acl._live.values() if hasattr(one, "execute"))
    compute = running.execute

    def meet(feeds):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return compute(feeds)

    monkeypatch.setattr(running, "execute", meet)
    run()
    assert sorted(codes) == [0, 100000]
    assert acl.errors == ["mdl.execute: two threads run one model"]


@pytest.mark.parametrize("wrong", [np.int64(8), True, 8.0, None], ids=str)
def test_only_numbers_of_python_are_taken(ready, wrong):
    acl, _ = ready
    with pytest.raises(TypeError, match=r"acl\.rt\.malloc args parse failed"):
        acl.rt.malloc(wrong, 0)


def test_gears_are_asked_for_all_inputs_at_once(ready, make_om):
    acl, _ = ready
    _, desc = loaded(acl, make_om("sum", {"values": (-1, -1)}, kind="dims", gears=[(2, 3), (4, 3)]))
    assert acl.mdl.get_input_dynamic_gear_count(desc, -1) == (2, 0)
    assert acl.mdl.get_input_dynamic_dims(desc, -1, 2)[1] == 0
    assert acl.errors == []
    assert acl.mdl.get_input_dynamic_gear_count(desc, 0)[1] != 0
    assert acl.mdl.get_input_dynamic_dims(desc, 0, 2)[1] != 0
    assert acl.mdl.get_input_dynamic_dims(desc, -1, 1)[1] != 0
    assert len(acl.errors) == 3


def test_a_dataset_keeps_a_copy_of_a_description(ready):
    acl, _ = ready
    found, desc = dataset(acl, (24,)), acl.create_tensor_desc(0, [2, 3], 2)
    assert acl.mdl.set_dataset_tensor_desc(found, desc, 0) == (found, 0)
    assert acl.mdl.destroy_dataset(found) == 0
    assert acl.left.count("TensorDesc") == 1
    acl.destroy_tensor_desc(desc)
    assert acl.left.count("TensorDesc") == 0
    assert acl.errors == []


@pytest.mark.parametrize(
    ("sizes", "written", "message"),
    [
        ((24,), (24,), None),
        ((32,), (24,), "buffer of 32"),
        ((24,), (20,), "20 written"),
        ((24,), (), "0 written"),
        ((24, 24), (24, 24), "2 buffers for 1 inputs"),
    ],
)
def test_a_static_model_takes_exactly_its_inputs(ready, make_om, sizes, written, message):
    acl, _ = ready
    model, _ = loaded(acl, make_om("sum", {"values": (2, 3)}))
    code = acl.mdl.execute(model, dataset(acl, sizes, written), dataset(acl, (12,)))
    assert (code == 0) == (message is None)
    assert len(acl.errors) == (message is not None)
    assert message is None or message in acl.errors[0]


def test_wrong_output_buffers(ready, make_om):
    acl, _ = ready
    model, _ = loaded(acl, make_om("sum", {"values": (2, 3)}))
    assert acl.mdl.execute(model, dataset(acl, (24,), (24,)), dataset(acl, (16,))) != 0
    assert "buffer of 16, not 12" in acl.errors[0]


@pytest.mark.parametrize("wrong", ["missing", "repeated", "kind", "value", "index", "gear input written"])
def test_setters_are_watched(ready, make_om, wrong):
    acl, _ = ready
    model, _ = loaded(acl, make_om("sum", {"values": (-1, 3)}, kind="batch", gears=[(2,), (4,)]))
    written = (24, 8) if wrong == "gear input written" else (24,)
    source, target = dataset(acl, (48, 8), written), dataset(acl, (12,))
    if wrong == "kind":
        assert acl.mdl.set_dynamic_hw_size(model, source, 1, 2, 2) != 0
    elif wrong in {"value", "index"}:
        assert acl.mdl.set_dynamic_batch_size(model, source, int(wrong == "value"), 3 if wrong == "value" else 2) != 0
    elif wrong != "missing":
        assert acl.mdl.set_dynamic_batch_size(model, source, 1, 2) == 0
    if wrong == "repeated":
        assert acl.mdl.set_dynamic_batch_size(model, source, 1, 2) != 0
    else:
        assert acl.mdl.execute(model, source, target) != 0
    assert acl.errors


def test_a_dynamic_shape_must_be_described(ready, make_om):
    acl, _ = ready
    model, _ = loaded(acl, make_om("sum", {"values": (-1, 3)}, kind="shape"))
    assert acl.mdl.execute(model, dataset(acl, (24,), (24,)), dataset(acl, ())) != 0
    assert acl.errors == ["mdl.execute: only the inputs [] are described"]


def test_every_execution_needs_its_inputs_and_its_gear(ready, make_om):
    acl, _ = ready
    model, desc = loaded(acl, make_om("sum", {"values": (-1, 3)}, kind="batch", gears=[(2,), (4,)]))
    source, target = dataset(acl, (48, 8), (24,)), dataset(acl, (12,))
    assert acl.mdl.get_cur_output_dims(desc, 0)[1] != 0
    assert acl.mdl.set_dynamic_batch_size(model, source, 1, 2) == 0
    assert acl.mdl.get_cur_output_dims(desc, 0) == ({"name": "total", "dimCount": 2, "dims": [1, 3]}, 0)
    assert acl.mdl.execute(model, source, target) == 0
    assert acl.mdl.execute(model, source, target) != 0
    assert acl.mdl.set_dynamic_batch_size(model, source, 1, 2) == 0
    assert acl.mdl.execute(model, source, target) != 0
    assert [error.rsplit(": ", 1)[-1] for error in acl.errors] == [
        "no gear was set",
        "no gear is set, or inputs of fixed shapes are described",
        "24 bytes needed, 0 written, buffer of 48",
    ]


def misuses(acl, om):
    """Calls that no correct program makes, each on a fresh start, by what the simulator says of them."""
    model, _ = loaded(acl, om)
    host = np.zeros(8, np.uint8)
    device, _ = acl.rt.malloc(8, 0)
    found, desc = dataset(acl, (8,)), acl.create_tensor_desc(0, [2], 2)
    acl.mdl.set_dataset_tensor_desc(found, desc, 0)
    return {
        "0 bytes, policy 0": lambda: acl.rt.malloc(0, 0),
        "8 bytes, policy 9": lambda: acl.rt.malloc(8, 9),
        "are no live device memory": lambda: acl.create_data_buffer(host.ctypes.data, 8),
        "the host pointer is one of the device": lambda: acl.rt.memcpy(device, 8, device, 8, 1),
        "device 7 is not set": lambda: acl.rt.create_context(7),
        "input 0 is described twice": lambda: acl.mdl.set_dataset_tensor_desc(found, desc, 0),
        "input 5 is described twice, or does not exist": lambda: acl.mdl.set_dataset_tensor_desc(found, desc, 5),
        "a dataset owns this description": lambda: acl.destroy_tensor_desc(acl.mdl.get_dataset_tensor_desc(found, 0)),
        "3 dims announced, 2 given": lambda: acl.mdl.set_input_dynamic_dims(
            model, found, 1, {"name": "", "dimCount": 3, "dims": [2, 3]}
        ),
        "2 buffers for 1 outputs": lambda: (
            acl.mdl.set_input_dynamic_dims(
                model, (source := dataset(acl, (48, 16), (24,))), 1, {"name": "", "dimCount": 2, "dims": [2, 3]}
            )
            or acl.mdl.execute(model, source, dataset(acl, (12, 12)))
        ),
    }


@pytest.mark.parametrize(
    "told",
    [
        "0 bytes, policy 0",
        "8 bytes, policy 9",
        "are no live device memory",
        "the host pointer is one of the device",
        "device 7 is not set",
        "input 0 is described twice",
        "input 5 is described twice, or does not exist",
        "a dataset owns this description",
        "3 dims announced, 2 given",
        "2 buffers for 1 outputs",
    ],
)
def test_what_else_is_refused(ready, make_om, told):
    acl, _ = ready
    calls = misuses(acl, make_om("sum", {"values": (-1, -1)}, kind="dims", gears=[(2, 3), (4, 3)]))
    calls[told]()
    assert len(acl.errors) == 1
    assert told in acl.errors[0]
