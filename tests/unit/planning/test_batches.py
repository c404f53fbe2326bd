import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.planning import make_plan, pack_batches, padding_in_given_order

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60)
PLANS = {
    "batch_size": st.integers(1, 9),
    "shapes": st.none() | st.integers(1, 5),
    "max_padded": st.none() | st.integers(1, 1000),
}


@given(LENGTHS, LENGTHS, st.fixed_dictionaries(PLANS))
def test_every_sample_is_in_one_batch_and_fits(planned, lengths, options):
    plan = make_plan(planned, axis="samples", **options)
    packing = pack_batches(lengths, plan)
    assert sorted(i for batch in packing.batches for i in batch.indices) == list(range(len(lengths)))
    for batch in packing.batches:
        assert batch.length >= max(lengths[i] for i in batch.indices)
        assert len(batch.indices) <= options["batch_size"]
        if options["max_padded"] is not None and len(batch.indices) > 1:
            assert len(batch.indices) * batch.length <= options["max_padded"]
        if batch.outside or not plan.buckets:
            assert batch.length == lengths[batch.indices[0]]
        else:
            assert batch.length == plan.bucket_for(lengths[batch.indices[0]]).length
    shapes = [batch.length for batch in packing.batches]
    assert shapes == sorted(shapes, reverse=True)
    assert packing.padded_to_real >= 1
    assert packing.padded >= packing.real == sum(lengths)


@given(LENGTHS, st.fixed_dictionaries(PLANS))
def test_a_plan_predicts_the_padding_of_its_own_lengths(lengths, options):
    plan = make_plan(lengths, axis="time", **options)
    packing = pack_batches(lengths, plan)
    assert packing.outside == 0
    assert packing.padded_to_real == plan.padded_to_real


def test_samples_longer_than_the_largest_bucket_get_their_own_shape():
    plan = make_plan([10, 20], axis="samples", shapes=2, batch_size=4)
    packing = pack_batches([15, 90, 20, 70, 90], plan)
    found = [(batch.indices, batch.length, batch.outside) for batch in packing.batches]
    assert found == [((1, 4), 90, True), ((3,), 70, True), ((2, 0), 20, False)]
    assert packing.outside == 3


def test_the_order_of_equal_lengths_is_the_data_sets():
    plan = make_plan([5], axis="samples", batch_size=2)
    assert [batch.indices for batch in pack_batches([5, 5, 5], plan).batches] == [(0, 1), (2,)]


def test_the_memory_cap_makes_batches_of_long_samples_smaller():
    plan = make_plan([100, 100, 10, 10, 10], axis="samples", batch_size=8, max_padded=60)
    packing = pack_batches([100, 100, 10, 10, 10], plan)
    assert [batch.indices for batch in packing.batches] == [(0,), (1,), (2, 3, 4)]
    assert packing.oversized == 2


def test_padding_in_given_order():
    assert padding_in_given_order([1, 3, 2], 2) == pytest.approx((3 + 3 + 2) / 6)
    assert padding_in_given_order([4, 9], 1) == 1.0
