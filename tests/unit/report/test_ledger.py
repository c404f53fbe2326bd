import pytest

from inferry.core.errors import RunError
from inferry.report.fields import parse
from inferry.report.ledger import Hop, Ledger, ledger_section
from inferry.report.markup import NOTHING

OLD = {
    "name": "original → ONNX, alone",
    "compared": True,
    "passed": True,
    "samples": 4,
    "max_abs": 1.5e-5,
    "mean_abs": 1e-6,
    "tolerance": 1e-4,
    "answers_changed": 0,
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
    "agreement": {"name": "WER to the truth's texts", "percent": 4.5},
    "accuracy": {"name": "WER to the references", "percent": 8.1},
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
    assert f'<th>WER to the references, %</th><td class="number">{NOTHING}</td>' in page
    assert ">8.10<" in page
    assert "<h3>b</h3>" in page
    assert ">make one</p>" in page


def test_pictures_have_no_frames():
    picture = OLD | {"frames": 4, "frames_changed": 0, "accuracy": {"name": "top-1 to the references", "percent": 75}}
    page = ledger_section(["a"], [ledger(picture)])
    assert "frames changed" not in page
    assert 'top-1 to the references, %</th><td class="number">75.00</td>' in page


def test_the_truth_is_named():
    assert "The truth is: original alone." in ledger_section(["a"], [ledger(OLD)])
    other = Ledger.from_json({"hops": [OLD], "truth": "bundle x"}, "parity.json")
    assert "The truth is: bundle x." in ledger_section(["a"], [other])


def test_without_the_original_the_truth_is_not_said_to_be_it():
    page = ledger_section(["a"], [ledger(SKIPPED, OLD)])
    assert "The truth is: the bundle&#x27;s own answers" in page
    assert "1 of 2 hops was not compared." in page


def test_where_a_difference_comes_in_is_said():
    small = OLD | {"name": "later", "max_abs": 2e-5, "added_max_abs": 3e-6}
    assert ledger(OLD, small).answer.endswith('within its tolerance; "original → ONNX, alone" brings most, 1.5e-05.')
    assert ledger(OLD, small | {"added_max_abs": 9e-5}).answer.endswith('"later" brings most, 9.0e-05.')
    assert ledger(OLD, FULL, FULL).answer == 'First in "optimised → batched": 3.4e-02, allowed are 1.0e-04.'
    assert ledger(OLD | {"max_abs": 0.0}).answer == "Nowhere: every hop gives exactly the same numbers."
    assert ledger(SKIPPED).answer == "Nobody knows: no hop was compared."


def test_a_ledger_that_runs_share_stands_once():
    page = ledger_section(["a", "b", "c"], [ledger(OLD), ledger(FULL), ledger(OLD)])
    assert "<h3>a and c</h3>" in page
    assert page.count('data-chart="ledger"') == 2


def test_what_compare_says_beside_its_numbers_is_on_the_page():
    left_out = [{"id": f"s{index}", "reason": "broken"} for index in range(7)]
    row = {
        "hops": [OLD],
        "notes": ["The outputs are <logits>."],
        "left_out": left_out,
        "data": "clips",
        "available": 24,
    }
    page = ledger_section(["a"], [Ledger.from_json(row, "parity.json")])
    assert "The outputs are &lt;logits&gt;." in page
    assert "Not compared: s0, s1, s2, s3, s4 and 2 more." in page
    assert "Samples from clips, which has 24." in page


def test_absent_and_null_are_the_same():
    assert Hop.from_json(OLD | {"accuracy": None}) == Hop.from_json(OLD)


@pytest.mark.parametrize("broken", [{}, [], None, {"hops": [{"name": "a"}]}, {"hops": [OLD | {"max_abs": "x"}]}])
def test_a_broken_ledger_is_an_error_that_says_how_to_fix_it(broken):
    with pytest.raises(RunError, match=r"parity\.json is not as expected .*; write it again with: inferry compare"):
        parse(lambda row: Ledger.from_json(row, "x"), broken, "parity.json", "inferry compare")


def test_outputs_that_are_not_finite_are_said_to_be():
    page = ledger_section(["a"], [ledger(FULL | {"max_abs": None, "mean_abs": None})])
    assert "not finite" in page
    assert 'class="verdict failed">FAILED' in page
