"""Arrays from files: whatever the bytes, an array or a sentence."""

import io
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.core import arrays
from inferry.core.arrays import read_array

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def saved(compressed: bool) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, a=VALUES)
    return file.getvalue()


def saved_npy() -> bytes:
    file = io.BytesIO()
    np.save(file, VALUES)
    return file.getvalue()


FILES = (saved_npy(), saved(compressed=False), saved(compressed=True))


@pytest.mark.parametrize("content", FILES)
def test_the_content_decides_not_the_name(tmp_path, content):
    (tmp_path / "x.bin").write_bytes(content)
    assert np.array_equal(read_array(tmp_path / "x.bin", "a"), VALUES)


def test_a_missing_array_lists_those_there(tmp_path):
    (tmp_path / "x.npz").write_bytes(FILES[1])
    with pytest.raises(KeyError, match="has no array b, only: a"):
        read_array(tmp_path / "x.npz", "b")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as members:
        members.writestr("a", b"")
    with pytest.raises(KeyError, match="only: none"):
        read_array(tmp_path / "y.npz", "a")


def test_a_decompression_bomb_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_BYTES", 100)
    (tmp_path / "x.npz").write_bytes(FILES[2])
    with pytest.raises(ValueError, match="has 152 bytes in a, at most 100 are read"):
        read_array(tmp_path / "x.npz", "a")


def test_a_shape_that_no_memory_holds_is_refused(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }".ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ValueError, match=r"cannot be read|does not fit|no array"):
        read_array(tmp_path / "x.npy", "a")


def test_a_path_that_cannot_be_one(tmp_path):
    for path, reason in ((tmp_path, "is no regular file"), (tmp_path / ("x" * 300), "cannot be read|does not exist")):
        with pytest.raises(ValueError, match=reason):
            read_array(path, "a")


@given(
    st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1), st.integers(0)
)
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:Reading:UserWarning")
def test_damaged_bytes_give_an_array_or_a_sentence(tmp_path_factory, content, changes, length):
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    path = tmp_path_factory.mktemp("damaged") / "x"
    path.write_bytes(damaged[: length % len(damaged) + 1] if length % 3 else damaged)
    with suppress(KeyError, ValueError):  # anything else, a warning too, fails
        assert isinstance(read_array(path, "a"), np.ndarray)
