from inferry.core.scores import Rate
from inferry.report.accuracy import Accuracy, Breakdown, accuracy_section

CLASSES = Breakdown("Worst classes", ("class", ">top-1 %"), (("<cat>", "30.0"),), "The worst <first>.")


def rate(name, signature):
    return Rate(name, 40.0, 30.0, 50.0, "4 of 10", signature)


def accuracy(**more):
    return Accuracy((rate("top-1", "a|b"), rate("top-5", "c|d")), "10 scored.", 10, 4, "More is better", **more)


def test_the_caption_says_which_way_is_better():
    page = accuracy_section(["run"], [accuracy()])
    assert "More is better; the bars are 95 % intervals" in page
    assert "<ul><li>a|b</li><li>c|d</li></ul>" in page
    both = accuracy_section(["x", "y"], [accuracy(), accuracy()])
    assert both.count("a|b") == 1


def test_tables_stand_below_the_rates_of_their_run():
    page = accuracy_section(["run"], [accuracy(breakdowns=(CLASSES,))])
    assert "<h3>Worst classes</h3>" in page
    assert "The worst &lt;first&gt;." in page
    assert '<th>&lt;cat&gt;</th><td class="number">30.0</td>' in page
    both = accuracy_section(["x", "y"], [accuracy(), accuracy(breakdowns=(CLASSES,))])
    assert "<h3>Worst classes: y</h3>" in both
    assert "Worst classes: x" not in both


def test_a_run_without_a_score_has_its_reason_only():
    page = accuracy_section(["run"], [Accuracy((), "Not <scored>.")])
    assert "Not &lt;scored&gt;." in page
    assert "<figure" not in page
    assert "How the numbers" not in page


def test_picture_and_table_round_alike():
    tie = Rate("VQA score", 83.125, None, None, "", "a")
    page = accuracy_section(["run"], [Accuracy((tie,), "80 scored.")])
    assert '"text":"83.12 %"' in page.replace('": "', '":"')
    assert '<td class="number">83.12</td>' in page
