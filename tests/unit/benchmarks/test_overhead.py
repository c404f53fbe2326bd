import pytest


@pytest.fixture
def overhead(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import overhead

    return overhead


def seconds(overhead):
    return overhead.Seconds(
        opening=[1.0, 2.0],
        bare=[11.0, 22.0],
        pipeline=[12.0, 23.0],
        bare_cpu=[20.0, 20.0],
        pipeline_cpu=[21.0, 21.0],
        command=[],
    )


def test_opening_counts_on_both_sides(overhead):
    assert seconds(overhead).with_opening().least == pytest.approx(23 / 22)
    assert seconds(overhead).with_opening().greatest == pytest.approx(12 / 11)


def test_opening_can_be_taken_off_both_sides(overhead):
    assert seconds(overhead).without_opening().greatest == pytest.approx(1.1)
    assert seconds(overhead).without_opening().least == pytest.approx(21 / 20)


def test_the_report_fails_above_the_limit(overhead, capsys):
    slow = seconds(overhead)
    assert overhead._report(slow) == 0
    slow.pipeline = [14.0, 25.0]
    assert overhead._report(slow) == 1
    assert "ABOVE the limit of 1.1" in capsys.readouterr().out
