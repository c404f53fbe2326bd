import json

import pytest

from inferry.core.errors import BackendError, UsageError
from inferry.planning import choose_batch_size

LENGTHS = list(range(100, 700))


class Machine:
    """A fake runtime: seconds from a cost model, and a record of what ran."""

    def __init__(self, cost):
        self.cost = cost
        self.runs = []

    def __call__(self, batch, length):
        self.runs.append((batch, length))
        return self.cost(batch, length, len(self.runs))


def test_a_fixed_cost_per_run_makes_large_batches_win():
    choice = choose_batch_size(lambda batch, length: 10.0 + 0.001 * batch * length, LENGTHS)
    assert choice.batch_size == 32
    assert [m.verdict for m in choice.measurements] == ["first"] + ["faster"] * 5


def test_no_gain_keeps_the_smallest():
    choice = choose_batch_size(lambda batch, length: batch * length, LENGTHS)
    assert choice.batch_size == 1
    assert [m.verdict for m in choice.measurements[1:]] == ["no clear gain"] * 5


def test_less_than_five_percent_is_not_worth_it():
    gains = {1: 1.0, 2: 1.04, 4: 1.06}
    choice = choose_batch_size(lambda batch, length: batch * length / gains[batch], LENGTHS, (1, 2, 4))
    assert choice.batch_size == 4
    assert [m.against for m in choice.measurements] == [1, 1, 1]
    assert choice.measurements[1].gain == pytest.approx(0.04)
    del gains[4]
    assert choose_batch_size(lambda batch, length: batch * length / gains[batch], LENGTHS, (1, 2)).batch_size == 1


def test_the_search_stops_when_larger_batches_are_slower():
    machine = Machine(lambda batch, length, _: batch * length * (1 + 0.2 * batch))
    choice = choose_batch_size(machine, LENGTHS)
    assert choice.batch_size == 1
    assert [(m.batch_size, m.verdict) for m in choice.measurements] == [(1, "first"), (2, "slower")]
    assert max(batch for batch, _ in machine.runs) == 2


def test_noise_larger_than_the_gain_decides_for_the_smaller_batch():
    # Every seventh run takes twice as long: the rounds differ by far more than the 8 % that batch 2 gains.
    machine = Machine(lambda batch, length, run: batch * length * (0.92 if batch == 2 else 1) * (1 + (run % 7 == 0)))
    choice = choose_batch_size(machine, LENGTHS, (1, 2))
    assert choice.batch_size == 1
    assert choice.measurements[1].noise > 0.08
    assert choice.measurements[1].verdict == "no clear gain"


def test_lengths_each_stand_for_a_third_and_are_measured_in_turn():
    machine = Machine(lambda batch, length, _: float(batch * length))
    choice = choose_batch_size(machine, LENGTHS, (1, 2), rounds=1)
    assert choice.lengths == (199, 399, 599)
    one, two = ([(batch, length) for length in choice.lengths] for batch in (1, 2))
    assert machine.runs == [*one, *one, *two, *one, *two]
    assert choice.measurements[0].items_per_second == pytest.approx(3 / (199 + 399 + 599))


def test_the_memory_cap_holds_while_measuring():
    machine = Machine(lambda *_: 1.0)
    choose_batch_size(machine, LENGTHS, (1, 2, 4, 8), max_padded=1200)
    assert max(batch * length for batch, length in machine.runs) <= 1200
    assert max(batch for batch, _ in machine.runs) == 6


def test_a_refused_batch_ends_the_search_with_its_reason():
    def measure(batch, length):
        if batch > 2:
            raise BackendError("out of memory")
        return 1.0 + length

    choice = choose_batch_size(measure, LENGTHS)
    assert choice.batch_size == 2
    last = choice.measurements[-1]
    assert (last.batch_size, last.verdict, last.items_per_second, last.reason) == (4, "failed", None, "out of memory")
    assert json.loads(json.dumps(choice.to_json()))["measurements"][-1]["reason"] == "out of memory"


def test_when_even_the_smallest_fails_the_error_is_the_runtimes():
    def measure(batch, length):
        raise BackendError("no such device")

    with pytest.raises(BackendError, match="no such device"):
        choose_batch_size(measure, LENGTHS)


@pytest.mark.parametrize("candidates", [(), (0, 1), (4, 2), (1, 1)])
def test_candidates_must_ascend(candidates):
    with pytest.raises(UsageError, match="ascending batch sizes"):
        choose_batch_size(lambda *_: 1.0, LENGTHS, candidates)


def test_a_clock_that_stands_still_is_refused():
    with pytest.raises(UsageError, match=r"measured 0\.0 seconds"):
        choose_batch_size(lambda *_: 0.0, LENGTHS)
