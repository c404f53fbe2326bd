import numpy as np
import pytest
import soundfile

from inferry.core.errors import DatasetError
from inferry.pipeline.plan import MAX_PADDED, most_padded, plan
from inferry.planning.plan import ShapePlan


def test_batches_that_nobody_sized_stay_near_the_longest_sample():
    short, long = {0: 16_000, 1: 8_000}, {0: 16_000 * 30}
    assert most_padded("samples", short, automatic=True) == 16_000 * 16
    assert most_padded("samples", long, automatic=True) == 16_000 * 30
    assert most_padded("time", {0: 10}, automatic=True) == 6_400


def test_no_automatic_batch_is_larger_than_an_asked_one_may_be():
    endless = {0: MAX_PADDED["samples"] * 2}
    assert most_padded("samples", endless, automatic=True) == MAX_PADDED["samples"]
    assert most_padded("samples", {0: 1}, automatic=False) == MAX_PADDED["samples"]
    assert most_padded("pixels", {0: 1}, automatic=True) is None


def test_a_plan_has_the_buckets_and_names_what_it_left_out(tiny, tiny_bundle, tmp_path):
    data = tiny.write_difficult_data(tmp_path / "data")
    planned = plan(tiny_bundle.path, data, shapes=2, batch_size=2)
    assert isinstance(planned.plan, ShapePlan)
    assert 1 <= len(planned.plan.buckets) <= 2
    assert planned.choice is None
    assert planned.plan.count == sum(planned.histogram.counts)
    assert {row.stage for row in planned.rejected} <= {"dataset", "read", "process"}
    assert planned.rejected
    assert planned.file_order_ratio >= 1


def test_a_long_sample_is_planned_as_its_windows(tiny_bundle, tmp_path):
    for name, seconds in (("long", 5.0), ("short", 0.5)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(int(16_000 * seconds)), 16_000)
    planned = plan(tiny_bundle.path, tmp_path, batch_size=2, max_seconds=2.0)
    assert planned.cut == 1
    assert planned.plan.count == 4, "three windows and a whole sample"


def test_the_batch_size_is_measured_on_the_data(tiny, tiny_bundle, tmp_path):
    data = tiny.write_data(tmp_path / "data", 6)
    planned = plan(tiny_bundle.path, data, limit=4)
    assert planned.choice is not None
    assert planned.plan.batch_size == planned.choice.batch_size
    assert planned.plan.count == 4


def test_a_data_set_without_lengths_is_refused(tiny_bundle, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(DatasetError, match="readable length"):
        plan(tiny_bundle.path, tmp_path / "a.wav", batch_size=1)
