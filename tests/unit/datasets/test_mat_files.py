"""The files are written here from MathWorks' description of level 5, element by element."""

import struct
import zlib

import numpy as np
import pytest

from inferry.core.errors import DatasetError
from inferry.datasets.mat_files import read_struct

CLASSES = {"struct": 2, "char": 4, "double": 6, "uint8": 9, "cell": 1}


def element(kind, content, order="<"):
    if 0 < len(content) <= 4:
        return struct.pack(f"{order}I", kind | len(content) << 16) + content.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def matrix(class_name, shape, name, *parts, order="<"):
    flags = element(6, struct.pack(f"{order}II", CLASSES[class_name], 0), order)
    dims = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    content = flags + dims + element(1, name.encode(), order) + b"".join(parts)
    return struct.pack(f"{order}II", 14, len(content)) + content


def value(content, order="<"):
    if isinstance(content, str):
        data = np.frombuffer(content.encode("utf-16-le"), "<u2").astype(f"{order}u2").tobytes()
        return matrix("char", (1, len(content)), "", element(4, data, order), order=order)
    if content is None:
        return matrix("cell", (0, 0), "", order=order)
    data = element(9, np.array(content, f"{order}f8").tobytes(), order)
    return matrix("double", (1, len(content)), "", data, order=order)


def synsets(rows, name="synsets", order="<"):
    """A struct array of these rows, with fields of 16 bytes."""
    fields = list(rows[0])
    width = element(5, struct.pack(f"{order}i", 16), order)
    names = element(1, b"".join(field.encode().ljust(16, b"\0") for field in fields), order)
    values = [value(row[field], order) for row in rows for field in fields]
    return matrix("struct", (len(rows), 1), name, width, names, *values, order=order)


def mat_file(*variables, order="<", compressed=False):
    head = b"MATLAB 5.0 MAT-file, written by a test".ljust(124) + struct.pack(f"{order}HH", 0x0100, 0x4D49)
    if compressed:
        packed = [zlib.compress(variable) for variable in variables]
        variables = [struct.pack(f"{order}II", 15, len(data)) + data for data in packed]
    return head + b"".join(variables)


def struct_of(*parts):
    return matrix("struct", (1, 1), "synsets", *parts)


ODD = matrix("double", (1, 1), "", element(77, b"\0" * 8))
ROWS = [{"id": [1], "WNID": "n01440764", "rest": None}, {"id": [2, 3.5], "WNID": "äß", "rest": [0]}]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_struct_array(tmp_path, order, compressed):
    path = tmp_path / "meta.mat"
    other = matrix("double", (1, 1), "other", element(9, np.array([1.0], f"{order}f8").tobytes(), order), order=order)
    path.write_bytes(mat_file(other, synsets(ROWS, order=order), order=order, compressed=compressed))
    first, second = read_struct(path, "synsets")
    assert (first["WNID"], second["WNID"], first["rest"]) == ("n01440764", "äß", None)
    assert first["id"].tolist() == [1]
    assert second["id"].tolist() == [2, 3.5]


def test_small_numbers_stand_in_the_tag(tmp_path):
    path = tmp_path / "a.mat"
    number = matrix("double", (1, 1), "", element(2, b"\x07"))
    width, names = element(5, struct.pack("<i", 4)), element(1, b"n\0\0\0")
    path.write_bytes(mat_file(matrix("struct", (1, 1), "s", width, names, number)))
    assert read_struct(path, "s")[0]["n"].tolist() == [7]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no MAT-file"),
        (b"x" * 200, "no MAT-file"),
        (mat_file(), "found: nothing"),
        (mat_file(synsets(ROWS, "another")), "found: another"),
        (mat_file(synsets(ROWS))[:-90], "cut off"),
        (mat_file(synsets(ROWS), compressed=True)[:200], "cannot be read|cut off"),
        (mat_file(matrix("struct", (1, 1), "synsets", element(5, b"\0\0\0\0"), element(1, b"id"))), "0 bytes"),
        (mat_file(struct.pack("<II", 14, 0)), "found: an element"),
        (mat_file(element(14, element(6, b"\2\0\0\0\0\0\0\0"))), "has 1 parts"),
        (mat_file(struct_of(element(5, b"\4\0\0\0"), element(1, b"a\0\0\0b\0\0\0"), value([1]))), "1 values do not"),
        (mat_file(struct_of(element(5, b"\4\0\0\0"), element(1, b"a\0\0\0"), ODD)), "type 77 are not known"),
    ],
)
def test_a_bad_file_is_a_sentence(tmp_path, content, reason):
    (tmp_path / "meta.mat").write_bytes(content)
    with pytest.raises(DatasetError, match=reason):
        read_struct(tmp_path / "meta.mat", "synsets")


def test_an_empty_field_has_no_numbers(tmp_path):
    path = tmp_path / "a.mat"
    empty = struct.pack("<II", 14, 0)
    path.write_bytes(mat_file(struct_of(element(5, b"\4\0\0\0"), element(1, b"a\0\0\0"), empty)))
    assert read_struct(path, "synsets")[0]["a"].size == 0


def test_every_cut_is_noticed(tmp_path):
    whole = mat_file(synsets(ROWS))
    path = tmp_path / "meta.mat"
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError):
            read_struct(path, "synsets")


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("inferry.datasets.mat_files._MAX_BYTES", 1000)
    (tmp_path / "meta.mat").write_bytes(mat_file(synsets([{"text": "a" * 5000}]), compressed=True))
    with pytest.raises(DatasetError, match="more than 1,000 bytes"):
        read_struct(tmp_path / "meta.mat", "synsets")


def test_a_missing_file(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read_struct(tmp_path / "meta.mat", "synsets")
