from inferry.report.timing import Lengths, Stages, timing_section

STAGES = Stages({"read": 1.0, "infer": 2.0}, 2.5, 0)
LENGTHS = Lengths("seconds", (0.0, 1.0, 2.0), (3, 4), (1.5,), "Shape plan: one shape.")


def test_a_task_without_lengths_has_times_only():
    page = timing_section(["run"], [STAGES], [None])
    assert "<h2>Time</h2>" in page
    assert "length" not in page
    assert "2.50 s from begin to end (read 1.00 s, infer 2.00 s)" in page


def test_lengths_stand_below_the_times():
    page = timing_section(["run"], [STAGES], [LENGTHS])
    assert "<h2>Time and lengths</h2>" in page
    assert "Shape plan: one shape." in page
    assert page.index('data-chart="stages"') < page.index('data-chart="lengths"')


def test_a_run_that_says_nothing():
    assert "No run says where its time went." in timing_section(["run"], [None], [None])
