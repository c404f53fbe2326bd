import numpy as np
import pytest

from inferry.core.protocols import Part
from inferry.core.tolerances import PART
from inferry.pipeline.comparison.part_hops import compare_part

ROWS = 40


class Original:
    """Gives, for probe after probe, what it was made with."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def infer(self, inputs):
        return self._answers[inputs["probe"]]

    def signature(self):
        return {}


def rows(count=ROWS, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "features": np.maximum(generator.normal(size=(count, 5)), 0),
        "coordinates": generator.uniform(0, 160, (count, 4)),
        "scores": np.sort(generator.uniform(0.05, 1, count))[::-1],
        "labels": generator.integers(1, 9, count),
    }


def taken(outputs, places):
    return {
        name: array[places].astype(np.float32 if array.dtype.kind == "f" else int) for name, array in outputs.items()
    }


def changed(outputs, name, place, difference):
    copy = {key: array.copy() for key, array in outputs.items()}
    copy[name][place] += difference
    return copy


def hop(*pairs):
    part = Part(build=None, reference=None, probes=lambda _: [{"probe": index} for index in range(len(pairs))])
    original = Original(*(truth for truth, _ in pairs))
    return compare_part("detector", part, None, original, lambda inputs: pairs[inputs["probe"]][1])


EVERY = np.arange(ROWS)


def test_the_same_rows():
    found = hop((rows(), taken(rows(), EVERY)), (rows(seed=1), taken(rows(seed=1), EVERY)))
    assert found.passed
    assert (found.samples, found.frames, found.frames_changed, found.answers_changed) == (2, 4 * ROWS, 0, 0)
    assert 0 < found.max_abs < 1e-6
    assert found.tolerance == PART


def test_a_near_tie_may_change_places():
    swapped = EVERY.copy()
    swapped[[7, 8]] = 8, 7
    found = hop((rows(), taken(rows(), swapped)))
    assert found.passed
    assert found.frames_changed == 0


def test_a_decision_at_its_limit_may_fall_otherwise():
    fewer = hop((rows(), taken(rows(), EVERY[1:])))
    assert fewer.passed
    assert fewer.frames_changed == 1
    other = changed(taken(rows(), EVERY), "coordinates", 3, 20)
    found = hop((rows(), other))
    assert found.passed
    assert found.frames_changed == 2


@pytest.mark.parametrize(("name", "scale"), [("features", 3), ("coordinates", 160), ("scores", 1)])
def test_an_output_that_is_wrong_everywhere_breaks(name, scale):
    found = hop((rows(), changed(taken(rows(), EVERY), name, EVERY, 2 * PART * scale)))
    assert not found.passed
    assert found.frames_changed == 2 * ROWS
    assert "80 of 80 rows are not the original's" in found.problem
    assert "1 of 1 probes changed" in found.problem


def test_a_wrong_label_breaks():
    wrong = changed(taken(rows(), EVERY), "labels", slice(3), 1)
    assert not hop((rows(), wrong)).passed


@pytest.mark.parametrize(
    "places",
    [EVERY[::-1], np.roll(EVERY, 5), EVERY[:30], np.repeat(EVERY, 2), EVERY[:0]],
    ids=["the wrong order", "moved", "too few", "twice", "none"],
)
def test_other_rows_break(places):
    assert not hop((rows(), taken(rows(), places))).passed


def test_one_probe_that_is_wrong_breaks_the_hop():
    right = [(rows(seed=seed), taken(rows(seed=seed), EVERY)) for seed in range(9)]
    found = hop(*right, (rows(seed=9), taken(rows(seed=10), EVERY)))
    assert not found.passed
    assert found.answers_changed == 1


def test_numbers_that_are_not_finite_break():
    assert not hop((rows(), changed(taken(rows(), EVERY), "features", EVERY, np.nan))).passed


def test_another_width_breaks():
    narrow = taken(rows(), EVERY)
    narrow["features"] = narrow["features"][:, :4]
    assert not hop((rows(), narrow)).passed


def test_where_nothing_is_found_nothing_was_compared():
    found = hop((rows(0), taken(rows(0), [])))
    assert found.skipped == "neither the original nor the graph gives anything for the 1 probes"
    assert not hop((rows(0), taken(rows(), EVERY))).passed
