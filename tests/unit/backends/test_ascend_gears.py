import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.backends.ascend_gears import Gear, choose, pad, rows
from inferry.core.errors import BackendError

BOTH = (frozenset({0, 1}), frozenset({0}))
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 9))


def gear(batch, length):
    return Gear((batch, length, batch), ((batch, length), (batch,)))


@given(st.lists(SIZES, min_size=1, max_size=6), SIZES)
def test_the_cheapest_gear_that_holds_the_batch_is_chosen(sizes, given_size):
    batch, length = given_size
    fitting = [one for one in sizes if one[0] >= batch and one[1] >= length]
    gears = [gear(*one) for one in sizes]
    shapes = [(batch, length), (batch,)]
    if not fitting:
        with pytest.raises(BackendError, match="no shape of this om"):
            choose(gears, shapes, BOTH)
        return
    chosen = choose(gears, shapes, BOTH)
    assert chosen.cost == min(one[0] * one[1] + one[0] for one in fitting)
    assert rows(chosen, shapes, BOTH) == (batch, chosen.shapes[0][0])


def test_inputs_that_disagree_on_the_rows_fit_nothing():
    with pytest.raises(BackendError):
        choose([gear(4, 8)], [(3, 8), (2,)], BOTH)


@pytest.mark.parametrize("shapes", [[(3, 8, 1), (3,)], [(0, 8), (0,)], [(3, 0), (3,)]], ids=["rank", "rows", "length"])
def test_other_ranks_and_empty_batches_fit_nothing(shapes):
    with pytest.raises(BackendError):
        choose([gear(4, 8)], shapes, BOTH)


def test_no_batch_axis_no_rows():
    assert rows(gear(4, 8), [(4, 8), (4,)], (frozenset(), frozenset())) is None


def test_padding_is_zeros_at_the_ends_and_the_first_row_again():
    array = np.arange(1, 7, dtype=np.int64).reshape(2, 3)
    expected = [[1, 2, 3, 0], [4, 5, 6, 0], [1, 2, 3, 0]]
    np.testing.assert_array_equal(pad(array, (3, 4)), expected, strict=False)
    assert pad(array.T, (3, 2)).flags.c_contiguous
    assert pad(np.array(7), ()).shape == ()
