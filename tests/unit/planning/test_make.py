import pytest

from inferry.core.errors import UsageError
from inferry.planning import QuadraticCost, make_plan, read_plan, write_plan


def test_a_plan_file_is_read_back(tmp_path):
    plan = make_plan([400, 700, 900], axis="samples", batch_size=8, shapes=2, max_padded=2000)
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan


def test_buckets_count_their_samples():
    plan = make_plan([5, 1, 5, 3, 9], axis="samples", batch_size=2, shapes=2)
    assert sum(bucket.count for bucket in plan.buckets) == 5
    assert plan.buckets[-1].length == 9
    assert plan.padded_to_real == pytest.approx((5 * 4 + 9) / 23)


def test_without_shapes_each_batch_pads_to_its_longest():
    plan = make_plan([1, 2, 3, 4], axis="samples", batch_size=2)
    assert plan.buckets == ()
    assert plan.padded_to_real == pytest.approx((4 + 4 + 2 + 2) / 10)


def test_the_cost_decides_the_shapes():
    lengths = [1] * 12 + [5] * 6 + [10] * 1
    assert [b.length for b in make_plan(lengths, axis="time", batch_size=1, shapes=2).buckets] == [1, 10]
    steep = make_plan(lengths, axis="time", batch_size=1, shapes=2, cost=QuadraticCost(1.0))
    assert [b.length for b in steep.buckets] == [5, 10]


def test_all_bad_numbers_are_named():
    with pytest.raises(UsageError, match="batch_size is 0 and shapes is -1 and max_padded is 0"):
        make_plan([1], axis="samples", batch_size=0, shapes=-1, max_padded=0)
    with pytest.raises(UsageError, match="no sample"):
        make_plan([], axis="samples", batch_size=1)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "no readable plan file"), (b"\xff", "no readable"), (b"{}", "problems in this plan")]
)
def test_a_broken_file_is_named(tmp_path, content, reason):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=reason) as caught:
        read_plan(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.json is no readable plan file"):
        read_plan(tmp_path / "none.json")


def test_a_plan_that_cannot_be_written_is_one_sentence(tmp_path):
    path = tmp_path / "nowhere" / "plan.json"
    with pytest.raises(UsageError, match=r"plan\.json cannot be written .*choose another --output"):
        write_plan(make_plan([1], axis="time", batch_size=1), path)
