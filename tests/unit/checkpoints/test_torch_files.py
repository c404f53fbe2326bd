import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from inferry.checkpoints.torch_files import MAGIC_NUMBER, open_torch, read_state_dict, widen_bfloat16
from inferry.core.errors import CheckpointError

FORMATS = ["zip", "legacy"]
DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def write(forge, kind, path, content):
    return (forge.write_zip if kind == "zip" else forge.write_legacy)(path, content)


class Command:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("kind", FORMATS)
def test_tensors_come_back(kind, forge, tmp_path):
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(5, np.int64),
        "c": np.zeros((0, 3), np.float32),
    }
    read = read_state_dict(write(forge, kind, tmp_path / "x.bin", forge.state(tensors)))
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


@pytest.mark.parametrize("kind", FORMATS)
def test_views_that_share_a_storage(kind, forge, tmp_path):
    base = np.arange(12, dtype=np.float32)
    state = {
        "all": forge.tensor(base),
        "transposed": forge.tensor(base, key="0", shape=(4, 3), strides=(1, 4)),
        "tail": forge.tensor(base, key="0", offset=9, shape=(3,), strides=(1,)),
        "expanded": forge.tensor(base, key="0", offset=2, shape=(5, 2), strides=(0, 3)),
        "scalar": forge.tensor(base, key="0", offset=11, shape=(), strides=()),
    }
    forge.storages = {"0": base}
    read = read_state_dict(write(forge, kind, tmp_path / "x.bin", state))
    np.testing.assert_array_equal(read["transposed"], base.reshape(3, 4).T)
    np.testing.assert_array_equal(read["tail"], base[9:])
    np.testing.assert_array_equal(read["expanded"], np.broadcast_to(base[[2, 5]], (5, 2)))
    assert read["scalar"] == 11
    assert all(tensor.flags.c_contiguous and tensor.flags.owndata for tensor in read.values())


def test_a_big_endian_archive(forge, tmp_path):
    values = np.array([1.5, -2.25, 3e7], np.float32)
    read = read_state_dict(forge.write_zip(tmp_path / "x.bin", forge.state({"a": values}), byteorder="big"))
    np.testing.assert_array_equal(read["a"], values)
    assert read["a"].dtype.isnative


def test_bfloat16_bits():
    np.testing.assert_array_equal(widen_bfloat16(np.array([0x3F80, 0xC000, 0x7F80], np.uint16)), [1, -2, np.inf])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"offset": 1}, "needs 7 elements"),
        ({"shape": (7,), "strides": (1,)}, "needs 7 elements"),
        ({"strides": (3, 3)}, "needs 10 elements"),
        ({"strides": (-3, 1)}, "negative"),
        ({"offset": -1}, "negative"),
        ({"shape": (2, -3)}, "negative"),
        ({"strides": (1,)}, "strides"),
        ({"shape": (2, 3) * 20, "strides": (0,) * 40}, "strides"),
    ],
)
def test_tensors_outside_of_their_storage(kind, change, text, forge, tmp_path):
    state = {"good": forge.tensor(np.zeros(2, np.float32)), "bad": forge.tensor(np.zeros((2, 3), np.float32), **change)}
    path = write(forge, kind, tmp_path / "x.bin", state)
    with pytest.raises(CheckpointError, match=text) as caught:
        read_state_dict(path)
    assert "bad" in str(caught.value)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("numel", [5, 7, 10**15])
def test_a_storage_of_another_size(kind, numel, forge, tmp_path):
    state = {
        "a": forge.tensor(np.zeros((2, 2), np.float32)),
        "b": forge.tensor(np.zeros(6, np.float32), numel=numel, shape=(2,)),
    }
    with pytest.raises(CheckpointError, match=r"storage|member|cut off"):
        read_state_dict(write(forge, kind, tmp_path / "x.bin", state))


@pytest.mark.parametrize("kind", FORMATS)
def test_an_expansion_beyond_all_reason_takes_no_memory(kind, forge, tmp_path):
    tensor = forge.tensor(np.zeros(1, np.float32), shape=(10**7, 10**7), strides=(0, 0))
    with pytest.raises(CheckpointError, match="limit"):
        read_state_dict(write(forge, kind, tmp_path / "x.bin", {"a": tensor}))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_malicious_pickle_inside_is_refused_and_not_run(kind, forge, tmp_path):
    target = tmp_path / "made"
    path = write(forge, kind, tmp_path / "x.bin", pickle.dumps({"a": Command(target)}, 2))
    with pytest.raises(CheckpointError, match=r"posix\.system|nt\.system") as caught:
        read_state_dict(path)
    assert "trust" in caught.value.fix
    assert not target.exists()


def test_a_malicious_plain_pickle_is_refused_and_not_run(tmp_path):
    target = tmp_path / "made"
    (tmp_path / "x.bin").write_bytes(pickle.dumps(Command(target)))
    with pytest.raises(CheckpointError, match="system"):
        read_state_dict(tmp_path / "x.bin")
    assert not target.exists()


@pytest.mark.parametrize("part", [0, 1, 2, 4])
def test_every_pickle_of_a_legacy_file_is_guarded(part, opcodes, tmp_path):
    parts = [opcodes.pickled(item) for item in (MAGIC_NUMBER, 1001, {}, {}, [])]
    parts[part] = opcodes.pickled(opcodes.named("os", "system"))
    (tmp_path / "x.bin").write_bytes(b"".join(parts))
    with pytest.raises(CheckpointError, match=r"os\.system"):
        read_state_dict(tmp_path / "x.bin")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_off_anywhere_is_refused(kind, forge, tmp_path):
    tensors = {"a": np.arange(20, dtype=np.float32), "b": np.arange(7, dtype=np.int64)}
    data = write(forge, kind, tmp_path / "whole.bin", forge.state(tensors)).read_bytes()
    for length in [*range(0, len(data), 17), len(data) - 1]:
        (tmp_path / "cut.bin").write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read_state_dict(tmp_path / "cut.bin")


def test_a_flipped_byte_in_an_archive_is_found(forge, tmp_path):
    path = forge.write_zip(tmp_path / "x.bin", forge.state({"a": np.full(1000, 3.25, np.float32)}))
    data = bytearray(path.read_bytes())
    data[data.index(np.float32(3.25).tobytes() * 3) + 400] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        read_state_dict(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_random_damage_never_ends_in_an_error_that_is_not_ours(kind, forge, tmp_path):
    tensors = {"a": np.arange(20, dtype=np.float32), "b": np.arange(7, dtype=np.int64)}
    data = write(forge, kind, tmp_path / "whole.bin", forge.state(tensors)).read_bytes()
    generator = np.random.default_rng(11)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for position in generator.integers(0, len(data), generator.integers(1, 4)):
            damaged[position] = generator.integers(0, 256)
        (tmp_path / "x.bin").write_bytes(damaged)
        try:
            read_state_dict(tmp_path / "x.bin")
        except CheckpointError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "empty"),
        (b"\x00" * 100, "begins with"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"<!DOCTYPE html><html>404", "web page"),
        (b"\x80\x02N.", "magic number"),
        (b"PK\x03\x04" + b"\x00" * 100, "zip"),
        (pickle.dumps({"a": 1}), "magic number"),
        (pickle.dumps(MAGIC_NUMBER, 2) + pickle.dumps(1000, 2), "protocol version"),
        (pickle.dumps(MAGIC_NUMBER, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) * 3, "list of storages"),
    ],
)
def test_files_of_other_kinds(content, text, tmp_path):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=text):
        read_state_dict(tmp_path / "x.bin")


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.bin", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_state_dict(path)


def test_archives_that_are_no_state_dict(opcodes, tmp_path):
    for names, text in [
        (["readme.txt"], "0 members"),
        (["a/data.pkl", "b/data.pkl"], "2 members"),
        (["a/data.pkl", "a/constants.pkl"], "TorchScript"),
    ]:
        with zipfile.ZipFile(tmp_path / "x.bin", "w") as archive:
            for name in names:
                archive.writestr(name, opcodes.pickled({}))
        with pytest.raises(CheckpointError, match=text):
            read_state_dict(tmp_path / "x.bin")


def test_a_compressed_archive_could_be_a_bomb(forge, tmp_path):
    path = forge.write_zip(tmp_path / "x.bin", forge.state({"a": np.zeros(10**5, np.float32)}))
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "y.bin", "w", zipfile.ZIP_DEFLATED) as other:
        for info in archive.infolist():
            other.writestr(info.filename, archive.read(info))
    with pytest.raises(CheckpointError, match="compressed"):
        read_state_dict(tmp_path / "y.bin")


def test_a_missing_storage_and_an_unknown_byte_order(forge, tmp_path):
    state = forge.state({"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)})
    forge.storages = {}
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(forge.write_zip(tmp_path / "x.bin", state))
    assert len(caught.value.problems) == 2
    with pytest.raises(CheckpointError, match="byte order"):
        read_state_dict(forge.write_zip(tmp_path / "x.bin", {}, byteorder="middle"))


def test_a_legacy_storage_that_belongs_to_no_tensor(forge, tmp_path):
    forge.tensor(np.zeros(3, np.float32))
    with pytest.raises(CheckpointError, match="no tensor"):
        read_state_dict(forge.write_legacy(tmp_path / "x.bin", {}))


@pytest.mark.parametrize(("content", "text"), [([1], "list"), ({"a": 1, "b": "x"}, "a, b"), ({1: None}, "1")])
def test_content_that_is_no_state_dict(content, text, forge, tmp_path):
    with pytest.raises(CheckpointError, match=text):
        read_state_dict(forge.write_zip(tmp_path / "x.bin", content))


def test_only_the_asked_tensors_are_read(forge, tmp_path):
    state = forge.state({"a": np.ones(3, np.float32), "b": np.ones(3, np.float32)})
    del forge.storages["1"]
    file = open_torch(forge.write_zip(tmp_path / "x.bin", state))
    np.testing.assert_array_equal(file.arrays({"a": file.content["a"]})["a"], np.ones(3))


class TestAgainstTorch:
    """Files that torch itself writes, compared with what torch itself reads."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch", reason="the reference extra is not installed")

    def compare(self, torch, path, content, *, new):
        torch.save(content, path, _use_new_zipfile_serialization=new)
        expected = torch.load(path, weights_only=True)
        read = read_state_dict(path)
        assert list(read) == list(expected)
        for name, tensor in expected.items():
            wide = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
            assert read[name].dtype == wide.numpy().dtype
            np.testing.assert_array_equal(read[name], wide.numpy())

    @pytest.mark.parametrize("new", [True, False])
    def test_dtypes(self, torch, new, tmp_path):
        generator = torch.Generator().manual_seed(1)
        numbers = torch.randn(5, 7, generator=generator) * 50
        content = {name: numbers.to(getattr(torch, name)) for name in (*DTYPES, "bfloat16")}
        self.compare(torch, tmp_path / "x.pt", content, new=new)

    @pytest.mark.parametrize("new", [True, False])
    def test_strides_offsets_and_shared_storages(self, torch, new, tmp_path):
        base = torch.arange(120, dtype=torch.float32)
        grid = base.view(2, 3, 4, 5)
        content = OrderedDict(
            base=base,
            permuted=grid.permute(3, 0, 2, 1),
            window=base.unfold(0, 10, 3),
            steps=base[5:100:7],
            expanded=base[3:4].expand(6, 4),
            diagonal=base[:100].view(10, 10).diagonal(),
            scalar=base[17],
            empty=base[:0],
            hollow=torch.zeros(3, 0, 2),
            parameter=torch.nn.Parameter(grid[1].transpose(0, 2)),
            half=base.half()[::2],
            brain=base.bfloat16().view(10, 12).T,
        )
        self.compare(torch, tmp_path / "x.pt", content, new=new)

    @pytest.mark.parametrize("name", ["uint16", "uint32", "uint64"])
    def test_dtypes_without_a_storage_class(self, torch, name, tmp_path):
        content = {"a": torch.arange(12).to(getattr(torch, name)).view(3, 4).T}
        self.compare(torch, tmp_path / "x.pt", content, new=True)

    @pytest.mark.parametrize("new", [True, False])
    def test_a_module_state_dict_with_its_metadata(self, torch, new, tmp_path):
        module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        self.compare(torch, tmp_path / "x.pt", module.state_dict(), new=new)

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_pickle_protocols(self, torch, protocol, tmp_path):
        torch.save({"a": torch.ones(3)}, tmp_path / "x.pt", pickle_protocol=protocol)
        np.testing.assert_array_equal(read_state_dict(tmp_path / "x.pt")["a"], np.ones(3))

    def test_quantised_and_sparse_tensors_are_refused_by_name(self, torch, tmp_path):
        torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "x.pt")
        with pytest.raises(CheckpointError, match="sparse"):
            read_state_dict(tmp_path / "x.pt")

    def test_a_whole_module_is_refused(self, torch, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
        with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
            read_state_dict(tmp_path / "x.pt")
