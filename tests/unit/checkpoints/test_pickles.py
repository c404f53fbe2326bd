import copyreg
import io
import os
import pickle
import struct
from collections import OrderedDict, defaultdict
from pathlib import Path

import pytest

from inferry.checkpoints.pickles import (
    STORAGE_DTYPES,
    Storage,
    Stub,
    TensorRecord,
    UnsafePickleError,
    allowed,
    load,
    scan,
)

PROTOCOLS = range(6)
EVIL = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("__builtin__", "eval"),
    ("subprocess", "Popen"),
    ("importlib", "import_module"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("shutil", "rmtree"),
    ("torch", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch", "hub.load"),
    ("torch.nn.modules.rnn", "LSTM.forward"),
    ("numpy", "load"),
    ("numpy.core.multiarray", "fromfile"),
    ("omegaconfx", "DictConfig"),
    ("_pickle", "loads"),
    ("collections", "OrderedDict.__init__"),
    ("builtins", "str.format"),
]


class Touch:
    """Pickles into a call that would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_load_under_every_protocol(protocol):
    value = {"a": [1, 2.5, None, True], "b": ("text", -(2**70)), "c": {"d": {1, 2}}, "e": "ü"}
    assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ordered_and_default_dictionaries_become_dictionaries(protocol):
    value = {"a": OrderedDict(x=1, y=2), "b": defaultdict(list, z=[3])}
    assert load(pickle.dumps(value, protocol)) == {"a": {"x": 1, "y": 2}, "b": {"z": [3]}}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_would_run_a_command_is_refused_and_not_run(tmp_path, protocol):
    target = tmp_path / "made"
    with pytest.raises(UnsafePickleError, match="system"):
        load(pickle.dumps(Touch(target), protocol))
    assert not target.exists()


@pytest.mark.parametrize(("module", "name"), EVIL)
def test_dangerous_names_are_refused_by_name(module, name, opcodes):
    assert not allowed(module, name)
    data = opcodes.pickled(opcodes.call(opcodes.named(module, name), ("1",)))
    with pytest.raises(UnsafePickleError) as caught:
        load(data)
    assert f"{module}.{name}" in str(caught.value)


def test_all_names_are_reported_together(opcodes):
    data = opcodes.pickled(
        [opcodes.named("os", "system"), opcodes.named("builtins", "eval"), opcodes.named("os", "system")]
    )
    with pytest.raises(UnsafePickleError) as caught:
        load(data)
    assert len(caught.value.problems) == 2
    assert "os.system" in caught.value.problems[0]
    assert "builtins.eval" in caught.value.problems[1]


def test_inst_and_obj_opcodes_are_refused(opcodes):
    with pytest.raises(UnsafePickleError, match=r"os\.system"):
        load(b"(S'true'\nios\nsystem\n.")
    with pytest.raises(UnsafePickleError, match=r"os\.system"):
        load(b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.")


def test_a_name_that_the_scan_cannot_see_is_refused_when_it_is_resolved():
    # STACK_GLOBAL with strings that were swapped through the memo by way of a tuple: only running it shows the name.
    hidden = b"\x80\x04" + b"\x8c\x02os\x94" + b"\x8c\x06system\x94" + b"\x8c\x01x0" + b"0h\x01" + b"\x93."
    with pytest.raises(UnsafePickleError):
        load(hidden)
    confused = b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x0bcollections0\x8c\x0bOrderedDict0\x93."
    scan(io.BytesIO(confused))
    with pytest.raises(UnsafePickleError, match=r"os\.system"):
        load(confused)


def test_extension_codes_are_refused():
    copyreg.add_extension("os", "system", 200)
    try:
        with pytest.raises(UnsafePickleError, match="extension"):
            load(b"\x80\x02\x82\xc8.")
    finally:
        copyreg.remove_extension("os", "system", 200)


def test_an_absurd_memo_index_is_refused_before_memory_is_taken():
    with pytest.raises(UnsafePickleError, match="absurd"):
        load(b"\x80\x02Nr" + struct.pack("<I", 2**31) + b".")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x02",
        b"\x80\x02}",
        b"\x80\x02.",
        b"\x80\x63N.",
        b"hello",
        b"\x00" * 40,
        b"\x80\x02X\xff\xff\xff\x7fabc",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",
        b"\x80\x02h\x07.",
        b"\x80\x02NR.",
        b"\x80\x02N)b.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x05\x97.",
        b"I" + b"9" * 6000 + b"\n.",
    ],
)
def test_damaged_pickles_are_errors_of_ours(data):
    with pytest.raises(UnsafePickleError):
        load(data)


def test_a_truncated_pickle_is_refused_at_every_length():
    data = pickle.dumps({"a": [1, 2], "b": OrderedDict(x=1)}, 2)
    for length in range(len(data)):
        with pytest.raises(UnsafePickleError):
            load(data[:length])


def test_unknown_classes_of_known_packages_become_records(opcodes):
    named = opcodes.named("omegaconf.nodes", "IntegerNode")
    stub = load(opcodes.pickled(opcodes.call(named, (1, "a"), {"_val": 5})))
    assert isinstance(stub, Stub)
    assert (stub.name, stub.args, stub.state) == ("omegaconf.nodes.IntegerNode", (1, "a"), {"_val": 5})


def test_stubs_record_elements_and_entries(opcodes):
    made = opcodes.encode(opcodes.call(opcodes.named("pytorch_lightning.x", "Y")))
    stub = load(b"\x80\x02" + made + b"(K\x01K\x02eK\x03a(K\x04K\x05u.")
    assert stub.elements == [1, 2, 3]
    assert stub.entries == [(4, 5)]


def test_stub_classes_of_one_load_do_not_reach_the_next(opcodes):
    data = opcodes.pickled([opcodes.named("omegaconf", "A"), opcodes.named("omegaconf", "A")])
    first, second = load(data), load(data)
    assert first[0] is first[1]
    assert first[0] is not second[0]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch", "FloatStorage"),
        ("torch", "Size"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("builtins", "set"),
        ("omegaconf", "DictConfig"),
    ],
)
@pytest.mark.parametrize("state", [{"function": 1, "dtype": 1}, ({}, {"function": 1, "dtype": 1, "x": 2}), [1]])
def test_a_pickle_cannot_change_our_implementations(module, name, state, opcodes):
    data = b"\x80\x02" + opcodes.encode(opcodes.named(module, name)) + opcodes.encode(state) + b"b."
    with pytest.raises(UnsafePickleError):
        load(data)
    assert load(opcodes.pickled(opcodes.named("torch", "FloatStorage"))).dtype == "float32"


@pytest.mark.parametrize("name", STORAGE_DTYPES)
def test_storages_and_tensors_become_records(name, opcodes):
    storage = opcodes.persistent(("storage", opcodes.named("torch", name), "7", "cuda:0", 6))
    arguments = (storage, 1, (2, 2), (2, 1), False, None)
    record = load(opcodes.pickled(opcodes.call(opcodes.named("torch._utils", "_rebuild_tensor_v2"), arguments)))
    dtype = STORAGE_DTYPES[name]
    assert record == TensorRecord(Storage("7", dtype, 6, 0, 6), dtype, 1, (2, 2), (2, 1))


def test_a_parameter_is_its_tensor_and_a_size_a_tuple(opcodes):
    parameter = opcodes.call(opcodes.named("torch._utils", "_rebuild_parameter"), ("tensor", True, None))
    size = opcodes.call(opcodes.named("torch", "Size"), ((2, 3),))
    assert load(opcodes.pickled([parameter, size])) == ["tensor", (2, 3)]


@pytest.mark.parametrize(
    "change",
    [
        {0: "no storage"},
        {1: "0"},
        {2: ("a",)},
        {2: 4},
        {3: (1.5,)},
        {6: {"conj": True}},
    ],
)
def test_tensors_without_sense_are_refused(change, opcodes):
    storage = opcodes.persistent(("storage", opcodes.named("torch", "FloatStorage"), "0", "cpu", 4))
    arguments = {0: storage, 1: 0, 2: (4,), 3: (1,), 4: False, 5: None} | change
    call = opcodes.call(opcodes.named("torch._utils", "_rebuild_tensor_v2"), tuple(arguments.values()))
    with pytest.raises(UnsafePickleError):
        load(opcodes.pickled(call))


@pytest.mark.parametrize(
    "pid",
    [
        "text",
        ("module", "a", "b", "c", 1),
        ("storage", "FloatStorage", "0", "cpu", 1),
        ("storage", 1, "0", "cpu"),
    ],
)
def test_other_persistent_objects_are_refused(pid, opcodes):
    with pytest.raises(UnsafePickleError):
        load(opcodes.pickled(opcodes.persistent(pid)))


@pytest.mark.parametrize("numel", [-1, 1.5, "4", None])
def test_storages_without_a_size_are_refused(numel, opcodes):
    pid = ("storage", opcodes.named("torch", "FloatStorage"), "0", "cpu", numel)
    with pytest.raises(UnsafePickleError, match="size"):
        load(opcodes.pickled(opcodes.persistent(pid)))
