import numpy as np
import pytest

from inferry.ascend.job_inputs import write_inputs
from inferry.ascend.job_outputs import open_outputs, read_outputs
from inferry.core.errors import RunError, UsageError
from inferry.core.specs import TensorSpec

SPECS = (TensorSpec("logits", "float32", ("batch", "frames", 2)), TensorSpec("length", "int64", ("batch",)))
FORMATS = ("bin", "npy", "txt")


@pytest.fixture
def manifest(tmp_path):
    rows = [(name, {"x": np.zeros(1, np.float32)}) for name in ("first", "second")]
    return write_inputs(tmp_path / "in", [TensorSpec("x", "float32", ("batch", 1))], rows)


@pytest.fixture(params=FORMATS)
def suffix(request):
    return request.param


def save(path, array):
    if path.suffix == ".bin":
        array.tofile(path)
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        rows = array.reshape(-1, array.shape[-1])
        np.savetxt(path, rows, fmt="%f" if array.dtype.kind == "f" else "%d")


def logits(sample):
    return np.arange(6, dtype=np.float32).reshape(1, 3, 2) / 2 + sample


@pytest.fixture
def outputs(tmp_path, suffix):
    folder = tmp_path / "out"
    folder.mkdir()
    for sample in (1, 0):
        save(folder / f"00000{sample}_0.{suffix}", logits(sample))
        save(folder / f"00000{sample}_1.{suffix}", np.array([2**53 + 1 + sample]))
    return folder


def test_outputs_come_back_in_the_data_sets_order(outputs, manifest):
    found = list(read_outputs(outputs, manifest, SPECS))
    assert [sample for sample, _ in found] == ["first", "second"]
    for index, (_, arrays) in enumerate(found):
        assert list(arrays) == ["logits", "length"]
        np.testing.assert_array_equal(arrays["logits"], logits(index)[0])
        assert arrays["logits"].dtype == np.float32
        assert (arrays["length"].shape, arrays["length"].dtype) == ((), np.int64)
        assert int(arrays["length"]) == 2**53 + 1 + index


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder, suffix: (folder / f"000001_1.{suffix}").unlink(), r"000001_1\.\w+: is missing"),
        (lambda folder, suffix: (folder / f"000002_0.{suffix}").touch(), r"000002_0\.\w+: belongs to no sample"),
        (lambda folder, suffix: (folder / f"000000_2.{suffix}").touch(), r"000000_2\.\w+: belongs to no sample"),
        (lambda folder, _: (folder / "device0_0").mkdir(), "device0_0: belongs to no sample"),
    ],
)
def test_missing_and_surplus_files_are_found_before_the_first_sample(outputs, manifest, suffix, damage, message):
    damage(outputs, suffix)
    with pytest.raises(RunError, match=message):
        read_outputs(outputs, manifest, SPECS)


def test_truncated_files(outputs, manifest, suffix):
    path = outputs / f"000001_0.{suffix}"
    path.write_bytes(path.read_bytes()[:-2])
    if suffix == "txt":
        path.write_text("0.0 1.0\n2.0")
    with pytest.raises(RunError, match=r"000001_0\.\w+"):
        list(read_outputs(outputs, manifest, SPECS))


def test_another_shape(outputs, manifest, suffix):
    save(outputs / f"000001_1.{suffix}", np.array([1, 2]))
    with pytest.raises(RunError, match=r"000001_1\.\w+"):
        list(read_outputs(outputs, manifest, SPECS))


def test_no_outputs_and_outputs_of_two_runs(tmp_path, manifest):
    with pytest.raises(RunError, match="is no folder"):
        read_outputs(tmp_path / "out", manifest, SPECS)
    (tmp_path / "out").mkdir()
    with pytest.raises(RunError, match=r"holds no \.bin, \.npy or \.txt files"):
        read_outputs(tmp_path / "out", manifest, SPECS)
    (tmp_path / "out" / "000000_0.bin").touch()
    (tmp_path / "out" / "000000_0.npy").touch()
    with pytest.raises(RunError, match=r"holds \.bin and \.npy files; one run of ais_bench writes one format"):
        read_outputs(tmp_path / "out", manifest, SPECS)


def test_open_shapes_are_refused(tmp_path, manifest):
    spec = TensorSpec("logits", "float32", ("batch", "frames", "classes"))
    with pytest.raises(UsageError, match="name the sizes of its gear"):
        read_outputs(tmp_path, manifest, [spec])


def one_output(tmp_path, name, content):
    folder = tmp_path / "out"
    folder.mkdir()
    for sample in range(2):
        path = folder / f"00000{sample}_0.{name}"
        np.save(path, content) if name == "npy" else path.write_bytes(content)
    return folder


def test_sizes_in_bytes_are_said(tmp_path, manifest):
    folder = one_output(tmp_path, "bin", b"\0" * 12)
    with pytest.raises(RunError, match=r"000000_0\.bin: has 12 bytes, expected 8\n"):
        read_outputs(folder, manifest, [TensorSpec("y", "float32", ("batch", 2))])
    with pytest.raises(RunError, match=r"000000_0\.bin: has 12 bytes, expected a multiple of 8\n"):
        read_outputs(folder, manifest, SPECS[:1])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 2), np.float64), r"it holds float64 \[1, 2\], expected float32 \[1, 2\]"),
        (np.zeros((2, 2), np.float32), r"it holds float32 \[2, 2\], expected float32 \[1, 2\]"),
        (np.array([{}], dtype=object), "holds no array that can be read safely"),
    ],
)
def test_npy_files_say_what_they_hold(tmp_path, manifest, array, message):
    folder = one_output(tmp_path, "npy", array)
    with pytest.raises(RunError, match=message):
        list(read_outputs(folder, manifest, [TensorSpec("y", "float32", ("batch", 2))]))


@pytest.mark.parametrize("text", [b"1.0 two", b"1.0 2.0 3.0", "1.0 ½".encode()])
def test_texts_that_are_no_numbers(tmp_path, manifest, text):
    folder = one_output(tmp_path, "txt", text)
    with pytest.raises(RunError, match=r"000000_0.txt is not the output y of one sample \(\['batch', 2\]\)"):
        list(read_outputs(folder, manifest, [TensorSpec("y", "float32", ("batch", 2))]))


def test_truth_values_in_texts(tmp_path, manifest):
    folder = one_output(tmp_path, "txt", b"0 1\n")
    ((_, first), _) = read_outputs(folder, manifest, [TensorSpec("y", "bool", ("batch", 2))])
    assert first["y"].tolist() == [False, True]


def test_all_samples_of_a_gear_have_outputs_of_one_size(tmp_path, manifest):
    """A file that was cut off behind a whole frame has a size that is possible, and not that of the others."""
    folder = one_output(tmp_path, "bin", b"\0" * 16)
    (folder / "000001_0.bin").write_bytes(b"\0" * 8)
    with pytest.raises(RunError, match=r"000001_0\.bin: has 8 bytes, the others have 16$"):
        read_outputs(folder, manifest, SPECS[:1])


def test_files_of_msame(tmp_path, manifest):
    folder = tmp_path / "out"
    folder.mkdir()
    for sample in range(2):
        save(folder / f"00000{sample}_output_0.bin", logits(sample))
        save(folder / f"00000{sample}_output_1.bin", np.array([sample]))
    outputs = open_outputs(folder, manifest, SPECS)
    assert (outputs.tool, outputs.name("000001", 1)) == ("msame", "000001_output_1.bin")
    np.testing.assert_array_equal(outputs.read("000001")["logits"], logits(1)[0])
    (folder / "000001_0.bin").touch()
    with pytest.raises(RunError, match=r"000001_0\.bin: belongs to no sample"):
        open_outputs(folder, manifest, SPECS)


def test_texts_of_msame_have_lost_digits(tmp_path, manifest):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000000_output_0.txt").write_text("1.23457 ")
    with pytest.raises(RunError, match="text of msame, which has lost digits; run msame again with --outfmt BIN"):
        open_outputs(tmp_path / "out", manifest, SPECS)
