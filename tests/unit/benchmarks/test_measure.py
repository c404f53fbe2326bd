import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def measure(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import measure

    return measure


def test_range_keeps_median_and_extremes(measure):
    found = measure.Range.of([3.0, 1.0, 2.0, 10.0])
    assert (found.median, found.least, found.greatest) == (2.5, 1.0, 10.0)
    assert str(found) == "2.500 (1.000 to 10.000)"


def test_ratios_compare_round_by_round(measure):
    # The second round was ten times slower for both sides.
    found = measure.ratios([1.1, 12.0, 1.3], [1.0, 10.0, 1.0])
    assert (found.median, found.least, found.greatest) == pytest.approx((1.2, 1.1, 1.3))


def test_ratios_refuse_sides_of_different_length(measure):
    with pytest.raises(ValueError, match="shorter"):
        measure.ratios([1.0, 2.0], [1.0])


def test_a_child_reports_its_own_peak(measure):
    # In an interpreter of its own: a test process that has grown large counts into its children's peak.
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import measure\n"
        "small = measure.run_child([sys.executable, '-c', 'pass'])\n"
        "large = measure.run_child([sys.executable, '-c', 'b = bytearray(300_000_000); b[::4096] = b[::4096]'])\n"
        "print(large.peak - small.peak, small.seconds)"
    )
    folder = str(Path(measure.__file__).parent)
    made = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    growth, seconds = made.stdout.split()
    assert int(growth) > 100_000_000
    assert float(seconds) > 0


def test_a_failing_child_ends_the_benchmark_with_its_output(measure, capfd):
    with pytest.raises(SystemExit, match="ended with code 3"):
        measure.run_child([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])
    assert "the reason" in capfd.readouterr().err


def test_a_given_work_folder_is_kept(measure, tmp_path):
    with measure.work_folder(tmp_path / "new") as folder:
        assert folder == tmp_path / "new"
    assert folder.is_dir()


def test_a_temporary_work_folder_is_removed(measure):
    with measure.work_folder(None) as folder:
        assert folder.is_dir()
    assert not folder.exists()


def test_the_verdict_names_the_limit(measure):
    assert measure.verdict(kept=True, limit="3 GB") == "within the limit of 3 GB"
    assert measure.verdict(kept=False, limit="3 GB") == "ABOVE the limit of 3 GB"
