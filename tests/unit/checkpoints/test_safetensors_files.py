import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from inferry.checkpoints.safetensors_files import read_safetensors, read_weights, shards
from inferry.core.errors import CheckpointError


def write_raw(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_dtypes_come_back(tmp_path):
    names = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    tensors = {name: np.arange(6).reshape(2, 3).astype(name) for name in names}
    save_file(tensors, tmp_path / "x.safetensors")
    read = read_safetensors(tmp_path / "x.safetensors")
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


def test_bfloat16_becomes_float32(tmp_path):
    header = {
        "first": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [4, 12]},
    }
    data = struct.pack("<f4H", 9.0, 0x3F80, 0xC000, 0x0000, 0x4049)
    read = read_safetensors(write_raw(tmp_path / "x.safetensors", header, data))
    np.testing.assert_array_equal(read["b"], np.array([[1, -2], [0, 3.140625]], np.float32))
    assert read["first"] == 9


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "C64"])
def test_dtypes_that_are_no_weights(kind, tmp_path):
    size = 8 if kind == "C64" else 1
    header = {"odd": {"dtype": kind, "shape": [1], "data_offsets": [0, size]}}
    with pytest.raises(CheckpointError, match=f"odd has the unsupported dtype {kind}"):
        read_safetensors(write_raw(tmp_path / "x.safetensors", header, b"\0" * size))


def test_a_file_cut_off_anywhere(tmp_path):
    save_file({"a": np.arange(50, dtype=np.float32)}, tmp_path / "x.safetensors")
    data = (tmp_path / "x.safetensors").read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / "cut.safetensors").write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read_safetensors(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}},
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"a": {"dtype": "X1", "shape": [2], "data_offsets": [0, 8]}},
        [],
    ],
)
def test_headers_that_lie(header, tmp_path):
    with pytest.raises(CheckpointError):
        read_safetensors(write_raw(tmp_path / "x.safetensors", header, b"\0" * 8))


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_safetensors(tmp_path / "x.safetensors")


def index(folder, name, weight_map):
    (folder / name).write_text(json.dumps({"weight_map": weight_map}))
    return folder / name


def test_shards_of_both_formats(forge, tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "1.safetensors")
    forge.write_zip(tmp_path / "2.bin", forge.state({"b": np.zeros(3, np.float32)}))
    path = index(tmp_path, "model.safetensors.index.json", {"a": "1.safetensors", "b": "2.bin"})
    assert {name: tensor.shape for name, tensor in read_weights(path).items()} == {"a": (2,), "b": (3,)}
    assert [shard.name for shard in shards(path)] == ["1.safetensors", "2.bin"]


def test_shards_that_differ_from_the_index(tmp_path):
    save_file({"a": np.ones(2, np.float32), "x": np.ones(2, np.float32)}, tmp_path / "1.safetensors")
    (tmp_path / "2.safetensors").write_bytes(b"broken")
    weight_map = {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
    with pytest.raises(CheckpointError) as caught:
        read_weights(index(tmp_path, "model.safetensors.index.json", weight_map))
    found = "\n".join(caught.value.problems)
    assert "1.safetensors lacks b" in found
    assert "1.safetensors has x, which the index does not name" in found
    assert "2.safetensors: it cannot be read" in found


def test_shards_that_are_missing_or_outside(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        read_weights(index(tmp_path, "pytorch_model.bin.index.json", {"a": "../../x.bin", "b": "none.bin"}))
    assert "'../../x.bin', which is not a plain file name" in str(caught.value)
    assert "shard none.bin is missing" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 5}', "null"])
def test_files_that_are_no_index(text, tmp_path):
    (tmp_path / "x.index.json").write_text(text)
    with pytest.raises(CheckpointError, match="no index"):
        read_weights(tmp_path / "x.index.json")
