import numpy as np
import pytest

from inferry.core.errors import SampleError
from inferry.core.samples import Features
from inferry.core.specs import TensorSpec
from inferry.pipeline.execution import collate, planned_axis, require_finite, separate

INPUTS = (
    TensorSpec("x", "float32", ("batch", 1, 3, "time")),
    TensorSpec("n", "int64", ("batch",)),
)
OUTPUTS = (
    TensorSpec("y", "float32", ("batch", "frames", 2), length="m"),
    TensorSpec("m", "int64", ("batch",)),
)


def features(time, fill):
    return Features({"x": np.full((1, 3, time), fill, np.float32), "n": np.array(time, np.int64)}, time)


def test_rows_are_padded_with_zeros_to_the_longest():
    batch = collate([features(2, 5), features(4, 7)], INPUTS)
    assert batch["x"].shape == (2, 1, 3, 4)
    assert batch["x"].dtype == np.float32
    np.testing.assert_array_equal(batch["x"][0, 0, 0], [5, 5, 0, 0])
    np.testing.assert_array_equal(batch["x"][1, 0, 2], [7, 7, 7, 7])
    np.testing.assert_array_equal(batch["n"], [2, 4])
    assert batch["n"].dtype == np.int64


@pytest.mark.parametrize(("pad_to", "size"), [(None, 3), (2, 3), (3, 3), (9, 9)])
def test_padding_never_cuts(pad_to, size):
    batch = collate([features(3, 1)], INPUTS, pad_to)
    assert batch["x"].shape == (1, 1, 3, size)
    assert batch["x"].sum() == 9
    assert batch["n"].tolist() == [3]


def test_the_graph_s_dtype_is_given():
    sample = Features({"x": np.ones((1, 3, 2)), "n": np.array(2, np.int32)}, 2)
    for batch in (collate([sample], INPUTS), collate([sample] * 2, INPUTS)):
        assert (batch["x"].dtype, batch["n"].dtype) == (np.float32, np.int64)
        assert batch["x"].flags.c_contiguous


def test_the_planned_axis_is_the_first_dynamic_one():
    assert planned_axis(INPUTS) == "time"
    assert planned_axis(INPUTS[1:]) is None
    assert planned_axis([TensorSpec("image", "float32", ("batch", 3, 224, 224))]) is None


def test_rows_are_cut_to_their_true_length():
    y = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    rows = separate({"y": y, "m": np.array([3, 1])}, OUTPUTS)
    np.testing.assert_array_equal(rows[0]["y"], y[0])
    np.testing.assert_array_equal(rows[1]["y"], y[1, :1])
    assert [int(row["m"]) for row in rows] == [3, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(SampleError, match="output y is not finite"):
        require_finite({"m": np.array(3), "y": np.array([1.0, value], np.float32)})


def test_finite_integer_and_empty_outputs_pass():
    require_finite({"m": np.array(3), "y": np.zeros((0, 2), np.float32)})
