from types import SimpleNamespace

import pytest

from inferry.ascend.gear_set import Gear
from inferry.core.errors import UsageError
from inferry.core.specs import TensorSpec
from inferry.pipeline.gears import plan_gears, symbolic_dims
from inferry.planning.histogram import LengthSummary
from inferry.planning.plan import Bucket, ShapePlan

SOUND = SimpleNamespace(
    inputs=(TensorSpec("x", "float32", ("batch", "samples")), TensorSpec("lengths", "int64", ("batch",)))
)
QUESTION = SimpleNamespace(
    inputs=(TensorSpec("boxes", "float32", ("batch", "boxes", 4)), TensorSpec("ids", "int64", ("batch", "tokens")))
)
PICTURE = SimpleNamespace(inputs=(TensorSpec("pixels", "float32", ("batch", 3, 224, 224)),))


def plan(*buckets, axis="samples", batch_size=8):
    histogram = LengthSummary(count=3, total=30, shortest=5, median=10, p90=15, p99=15, longest=15)
    return ShapePlan(axis, tuple(Bucket(length, 1, rows) for length, rows in buckets), batch_size, None, histogram, 1.5)


def test_dimensions_are_named_once_and_in_order():
    assert symbolic_dims(QUESTION) == ("boxes", "tokens")
    assert symbolic_dims(PICTURE) == ()


def test_sizes_are_combined_and_sorted():
    made = plan_gears(QUESTION, sizes={"tokens": [64, 32, 32], "boxes": [5]}, batch_sizes=[4, 1])
    assert made.inputs == QUESTION.inputs
    assert made.gears == tuple(Gear(rows, {"boxes": 5, "tokens": tokens}) for tokens in (32, 64) for rows in (1, 4))


def test_a_plan_gives_full_batches_and_single_rows():
    made = plan_gears(SOUND, plan=plan((100, 4), (200, 1)))
    assert made.gears == (Gear(1, {"samples": 100}), Gear(4, {"samples": 100}), Gear(1, {"samples": 200}))


def test_batch_sizes_replace_those_of_the_plan():
    made = plan_gears(SOUND, plan=plan((100, 4), (200, 1)), batch_sizes=[2])
    assert made.gears == (Gear(2, {"samples": 100}), Gear(2, {"samples": 200}))


def test_without_a_plan_one_row_runs_at_a_time():
    assert plan_gears(PICTURE).gears == (Gear(1),)
    assert plan_gears(SOUND, sizes={"samples": [7]}).gears == (Gear(1, {"samples": 7}),)


def test_pictures_of_one_size_take_the_plans_batch_size():
    assert plan_gears(PICTURE, plan=plan((1, 8), axis="items")).gears == (Gear(1), Gear(8))


def test_other_dimensions_than_the_plans_need_sizes():
    made = plan_gears(QUESTION, plan=plan((10, 2), axis="boxes"), sizes={"tokens": [32]})
    assert made.gears == (Gear(1, {"boxes": 10, "tokens": 32}), Gear(2, {"boxes": 10, "tokens": 32}))


WRONG = [
    (SOUND, {}, "no size is given for samples.*--plan.*--sizes samples="),
    (QUESTION, {"plan": plan((10, 2), axis="boxes")}, "no size is given for tokens"),
    (SOUND, {"sizes": {"tokens": [1]}}, "unknown dimension 'tokens'; this bundle has samples"),
    (PICTURE, {"sizes": {"tokens": [1]}}, "only the batch"),
    (SOUND, {"plan": plan((1, 1), axis="time")}, "the plan is for the axis 'time', this bundle has 'samples'"),
    (PICTURE, {"plan": plan((1, 1), axis="time")}, "the plan is for the axis 'time', this bundle has 'items'"),
    (SOUND, {"plan": plan()}, "the plan has no shapes"),
    (SOUND, {"plan": plan((1, 1)), "sizes": {"samples": [1]}}, "given twice"),
    (SOUND, {"sizes": {"samples": [0]}}, "at least 1, not 0"),
    (SOUND, {"sizes": {"samples": [1]}, "batch_sizes": [-1]}, "at least 1, not -1"),
]


@pytest.mark.parametrize(("manifest", "options", "message"), WRONG)
def test_what_gives_no_fixed_shapes_is_refused(manifest, options, message):
    with pytest.raises(UsageError, match=message):
        plan_gears(manifest, **options)
