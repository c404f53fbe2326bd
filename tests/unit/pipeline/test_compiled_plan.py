from pathlib import Path

import pytest

from inferry.core.compiled import Compiled, Unit
from inferry.core.errors import UsageError
from inferry.pipeline.compiled_plan import compiled_plan, require_compiled
from inferry.planning.batches import pack_batches
from inferry.planning.make import make_plan


def compiled(*gears, split=False):
    """An artifact; a gear is a batch size and the sizes of a sample."""
    rows = [{"batch": batch, "sizes": sizes} for batch, sizes in gears]
    parts = [(row,) for row in rows] if split else [tuple(rows)]
    units = tuple(Unit(f"model{index}", part, ("atc",)) for index, part in enumerate(parts))
    return Compiled(Path("key"), "ascend", "Ascend310P3", "fp32", "", "", (), (), units)


TWO = [(1, {"samples": 100}), (4, {"samples": 100}), (1, {"samples": 900}), (2, {"samples": 900})]


@pytest.mark.parametrize("split", [False, True])
def test_the_buckets_are_the_shapes_with_their_largest_batch(split):
    plan = compiled_plan(compiled(*TWO, split=split), "samples", [40, 100, 101, 900, 950])
    assert [(one.length, one.count, one.batch_size) for one in plan.buckets] == [(100, 2, 4), (900, 2, 2)]
    assert plan.batch_size == 4
    assert plan.histogram.longest == 950
    assert plan.padded_to_real == pytest.approx((2 * 100 + 2 * 900 + 950) / 2091)


def test_no_batch_is_larger_than_what_was_compiled():
    lengths = [100] * 9 + [900] * 5 + [950] * 2
    packing = pack_batches(lengths, compiled_plan(compiled(*TWO), "samples", lengths))
    sizes = [(batch.length, len(batch.indices)) for batch in packing.batches if not batch.outside]
    assert sizes == [(900, 2), (900, 2), (900, 1), (100, 4), (100, 4), (100, 1)]
    assert packing.outside == 2


def test_fewer_at_once_may_be_asked_for():
    plan = compiled_plan(compiled(*TWO), "samples", [40], batch_size=3)
    assert [one.batch_size for one in plan.buckets] == [3, 2]
    assert plan.batch_size == 3


def test_items_of_one_shape_have_no_buckets():
    plan = compiled_plan(compiled((1, {}), (8, {})), "items", [1] * 20)
    assert plan.buckets == ()
    assert [len(batch.indices) for batch in pack_batches([1] * 20, plan).batches] == [8, 8, 4]


def test_a_second_dimension_may_allow_less():
    gears = [(4, {"boxes": 10, "tokens": 8}), (8, {"boxes": 10, "tokens": 4}), (1, {"boxes": 30, "tokens": 8})]
    plan = compiled_plan(compiled(*gears), "boxes", [5])
    assert [(one.length, one.batch_size) for one in plan.buckets] == [(10, 4), (30, 1)]


@pytest.mark.parametrize(
    ("lengths", "options", "fits"),
    [
        ([90, 800], {"batch_size": 2, "shapes": 2}, True),
        ([90], {"batch_size": 4, "shapes": 1}, True),
        ([90, 800], {"batch_size": 3, "shapes": 2}, False),
        ([901], {"batch_size": 1, "shapes": 1}, False),
        ([90], {"batch_size": 4}, True),
        ([90], {"batch_size": 5}, False),
    ],
)
def test_a_plan_of_other_shapes_is_refused(lengths, options, fits):
    plan, artifact = make_plan(lengths, axis="samples", **options), compiled(*TWO)
    if fits:
        require_compiled(plan, artifact)
        return
    with pytest.raises(UsageError, match=r"the largest that key was compiled for are 4 x 100, 2 x 900: leave out"):
        require_compiled(plan, artifact)
