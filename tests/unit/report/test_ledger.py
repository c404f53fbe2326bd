import pytest

from inferry.core.errors import RunError
from inferry.report.fields import parse
from inferry.report.ledger import Hop, Ledger, ledger_section

OLD = {
    "name": "original → ONNX, alone",
    "compared": True,
    "passed": True,
    "samples": 4,
    "max_abs": 1.5e-5,
    "mean_abs": 1e-6,
    "tolerance": 1e-4,
    "texts_changed": 0,
    "near_ties": 0,
}
FULL = OLD | {
    "name": "optimised → batched",
    "passed": False,
    "max_abs": 0.034,
    "p999_abs": 0.01,
    "cosine": 0.99,
    "just_passes": 0.034,
    "added_max_abs": 0.03,
    "frames": 3800,
    "frames_changed": 77,
    "wer_to_original": 4.5,
    "wer": 8.1,
}
SKIPPED = {"name": "ONNX → optimised", "compared": False, "reason": "the bundle is <not> optimised"}


def ledger(*hops, fault=None):
    return Ledger.from_json({"hops": hops, "fault": fault, "signature": {}}, "run/parity.json")


def test_a_ledger_of_today_has_what_it_has():
    page = ledger_section(["a"], [ledger(OLD)])
    assert "1.5e-05" in page
    assert "0 of 4" in page
    assert "cosine" not in page
    assert 'class="verdict passed"' in page
    assert "<h3>" not in page


def test_a_full_ledger_shows_failures_reasons_and_the_fault():
    page = ledger_section(["a", "b"], [ledger(OLD, SKIPPED, FULL, fault={"sentence": "node <x> departs"}), "make one"])
    assert 'class="verdict failed">FAILED' in page
    assert 'class="verdict not-compared">not compared' in page
    assert "the bundle is &lt;not&gt; optimised" in page
    assert "node &lt;x&gt; departs" in page
    assert "77 of 3,800" in page
    assert ">8.10<" in page
    assert "<h3>b</h3>" in page
    assert ">make one</p>" in page


def test_the_truth_is_named():
    assert "the original network" in ledger_section(["a"], [ledger(OLD)])
    other = Ledger.from_json({"hops": [OLD], "truth": "bundle x"}, "parity.json")
    assert "Every hop against: bundle x." in ledger_section(["a"], [other])


def test_absent_and_null_are_the_same():
    assert Hop.from_json(OLD | {"wer": None}) == Hop.from_json(OLD)


@pytest.mark.parametrize("broken", [{}, [], None, {"hops": [{"name": "a"}]}, {"hops": [OLD | {"max_abs": "x"}]}])
def test_a_broken_ledger_is_an_error_that_says_how_to_fix_it(broken):
    with pytest.raises(RunError, match=r"parity\.json is not as expected .*; write it again with: inferry compare"):
        parse(lambda row: Ledger.from_json(row, "x"), broken, "parity.json", "inferry compare")


def test_outputs_that_are_not_finite_are_said_to_be():
    page = ledger_section(["a"], [ledger(FULL | {"max_abs": None, "mean_abs": None})])
    assert "not finite" in page
    assert 'class="verdict failed">FAILED' in page
