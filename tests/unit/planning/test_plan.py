import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.errors import UsageError
from inferry.planning import Bucket, ShapePlan, make_plan


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=40),
    st.integers(1, 9),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(1, 1000),
)
def test_a_plan_survives_json(lengths, batch_size, shapes, max_padded):
    plan = make_plan(lengths, axis="samples", batch_size=batch_size, shapes=shapes, max_padded=max_padded)
    assert ShapePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_bucket_for_is_the_smallest_that_holds_the_sample():
    plan = make_plan([10, 20, 30], axis="samples", batch_size=4, shapes=3, max_padded=60)
    assert plan.buckets == (Bucket(10, 1, 4), Bucket(20, 1, 3), Bucket(30, 1, 2))
    assert [plan.bucket_for(length).length for length in (1, 10, 11, 30)] == [10, 10, 20, 30]
    assert plan.bucket_for(31) is None


def test_what_a_plan_saves_and_its_signature():
    plan = make_plan([10, 10, 40], axis="time", batch_size=2, shapes=2)
    assert plan.single_shape_ratio == 2.0
    assert plan.padded_to_real == 1.0
    assert plan.count == 3
    assert plan.signature == "time|shapes:10x2,40x2|batch:2|max_padded:none"
    dynamic = make_plan([10, 40], axis="time", batch_size=2, max_padded=90)
    assert dynamic.signature == "time|shapes:dynamic|batch:2|max_padded:90"


def test_a_malformed_plan_lists_all_problems():
    value = make_plan([10, 20], axis="samples", batch_size=4, shapes=2).to_json()
    value |= {"schema_version": 2, "axis": "", "batch_size": True, "padded_to_real": 0.5, "max_padded": "many"}
    value["buckets"] = [{"length": 20, "count": 1, "batch_size": 0}, {"length": 20, "count": 1, "batch_size": 1}, 7]
    del value["histogram"]["total"]
    with pytest.raises(UsageError) as caught:
        ShapePlan.from_json(value)
    message = str(caught.value)
    for part in (
        "schema_version must be 1",
        "axis must be a name; found ''",
        "batch_size must be an integer of 1 or more; found True",
        "padded_to_real must be a number of 1.0 or more; found 0.5",
        "max_padded must be an integer of 1 or more; found 'many'",
        "plan.buckets[0]: batch_size must be an integer of 1 or more; found 0",
        "plan.buckets[2]: must be a JSON object, not int",
        "plan.histogram: total must be an integer of 1 or more; found nothing",
        "ascending, distinct lengths, not [20, 20, 1]",
        "inferry plan",
    ):
        assert part in message


@pytest.mark.parametrize("value", [None, [], "plan", {}])
def test_other_json_is_no_plan(value):
    with pytest.raises(UsageError, match="in this plan"):
        ShapePlan.from_json(value)


def test_buckets_must_be_a_list():
    value = make_plan([10], axis="samples", batch_size=1).to_json() | {"buckets": {}}
    with pytest.raises(UsageError, match=r"1 problem in this plan:\n  - plan: buckets must be a list; found {}"):
        ShapePlan.from_json(value)
