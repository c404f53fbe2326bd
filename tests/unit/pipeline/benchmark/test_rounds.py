import pytest

from inferry.core.samples import Transcription
from inferry.pipeline.benchmark.rounds import Answers, Pass, Rules, in_turn, run_rounds


class Machine:
    """A clock that only the cells move."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def cell(self, name, seconds):
        """A cell whose passes take the given times, the last one for ever."""
        left = list(seconds)

        def run():
            self.log.append(name)
            took = left.pop(0) if len(left) > 1 else left[0]
            self.now += took
            return Pass((Answers({name: Transcription(name, len(self.log))}, 0.75 * took, 0.25 * took),))

        return run

    def clock(self):
        return self.now


@pytest.fixture
def machine():
    return Machine()


def test_members_of_a_group_stay_together_and_take_turns():
    groups = [[0, 1], [2, 3]]
    assert [in_turn(groups, count) for count in range(4)] == [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3], [3, 2, 1, 0]]
    three = [[0, 1, 2]]
    assert [in_turn(three, count) for count in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_steady_cells_stop_after_seven_rounds(machine):
    told, beside = [], []
    series = run_rounds(
        [machine.cell("a", [9.0, 1.0]), machine.cell("b", [9.0, 2.0])],
        [[0, 1]],
        Rules(most=12, seconds=100.0),
        beside=lambda: beside.append(machine.now),
        progress=told.append,
        clock=machine.clock,
    )
    assert [one.seconds for one in series] == [[1.0] * 7, [2.0] * 7]
    assert [one.settled for one in series] == [True, True]
    assert machine.log == ["a", "b"] + ["a", "b", "b", "a"] * 3 + ["a", "b"]
    assert len(beside) == 7
    assert told[0] == "warming up"
    assert told[-1] == "round 7 of at most 12, 2/2"


def test_the_first_pass_counts_for_nothing_but_its_answers(machine):
    (series,) = run_rounds([machine.cell("a", [50.0, 1.0])], [[0]], Rules(12, 100.0), clock=machine.clock)
    assert series.warm_up.predictions == {"a": Transcription("a", 1)}
    assert series.seconds == [1.0] * 7


def test_one_cell_that_drifts_keeps_all_going_to_the_last_round(machine):
    cells = [machine.cell("steady", [1.0]), machine.cell("drifts", [1.0 + 0.1 * count for count in range(20)])]
    steady, drifts = run_rounds(cells, [[0], [1]], Rules(8, 1000.0), clock=machine.clock)
    assert (len(steady.passes), len(drifts.passes)) == (8, 8)
    assert (steady.settled, drifts.settled) == (True, False)


def test_time_ends_it_but_not_before_seven_rounds(machine):
    slow = [10.0 + count for count in range(30)]
    (series,) = run_rounds([machine.cell("a", slow)], [[0]], Rules(20, 30.0), clock=machine.clock)
    assert len(series.passes) == 7
    machine.now = 0.0
    (series,) = run_rounds([machine.cell("a", slow)], [[0]], Rules(20, 130.0), clock=machine.clock)
    assert len(series.passes) == 9


def test_a_pause_goes_before_each_pass_but_the_warm_up(machine):
    cells = [machine.cell("a", [1.0]), machine.cell("b", [1.0])]
    run_rounds(cells, [[0, 1]], Rules(2, 100.0), pause=lambda: machine.log.append("-"), clock=machine.clock)
    assert machine.log == ["a", "b", "-", "a", "-", "b", "-", "b", "-", "a"]


def test_fewer_rounds_than_seven_are_possible_and_not_settled(machine):
    (series,) = run_rounds([machine.cell("a", [1.0])], [[0]], Rules(2, 100.0), clock=machine.clock)
    assert len(series.passes) == 2
    assert not series.settled
