from dataclasses import replace
from html.parser import HTMLParser

import pytest

from inferry.core.errors import RunError
from inferry.core.samples import Rejected
from inferry.core.scores import Rate
from inferry.report import page
from inferry.report.accuracy import Accuracy, Breakdown
from inferry.report.devices import DeviceRow, Devices
from inferry.report.ledger import Hop, Ledger
from inferry.report.overview import Fact, Overview
from inferry.report.page import Report, RunPart, render
from inferry.report.quarantine import Quarantine
from inferry.report.rows import Answer, Column, Figure, Layout, Mark, Piece, Row
from inferry.report.samples import Exhibit, Samples
from inferry.report.timing import Lengths, Stages

HOSTILE = '</script><script>alert("1")</script><img src=x onerror=alert(2)><!--$title'


class Tags(HTMLParser):
    """Which elements a page has, and where they point."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href"} or name.startswith("on")]


def tags_of(text):
    tags = Tags()
    tags.feed(text)
    return tags


def part(text, label):
    rate = Rate(text, 6.06, 0.0, 13.7, text, text)
    hops = (Hop(text, compared=False, reason=text), Hop(text, compared=True, passed=True, max_abs=0.0, tolerance=1e-4))
    return RunPart(
        overview=Overview(label, text, text, text, text, (Fact(text, text, text, "good"),)),
        settings={text: text, "label": label},
        accuracy=Accuracy((rate,), text, 5, 3, text, (Breakdown(text, (text, text), ((text, text),), text),)),
        ledger=Ledger(text, hops, text),
        speed=text,
        devices=Devices((DeviceRow(text, text, 4, text, text, 1.0, 2.0, text, elsewhere=True),), ((text, text),)),
        stages=Stages({text: 1.0}, 2.0, 3),
        lengths=Lengths(text, (0.0, 1.0, 2.0), (3, 4), (1.5,), text),
        quarantine=Quarantine((Rejected(text, text, text, text),), 5, text),
    )


def layout(text):
    pieces = tuple(Piece(text, mark) for mark in Mark)
    column = Column(text)
    return Layout((column, replace(column, heads=True)), (column,), text, text, pieces, text, text, text, text)


def make(text, runs=1, rows=1):
    pieces = tuple(Piece(text, mark) for mark in Mark)
    answer = Answer(text, pieces, 1, 0.5, (Figure(1, text),), text, pieces)
    shown = tuple(Row(f"{text}{index}", (text, text), (answer,) * runs) for index in range(rows))
    samples = Samples(layout(text), shown, 10**6, text, (Exhibit(shown[0], None, text),), text, text)
    return Report(tuple(part(text, f"{text}{index}") for index in range(runs)), samples, text)


@pytest.mark.parametrize("runs", [1, 2])
def test_no_text_of_a_run_becomes_markup(runs):
    calm, hostile = tags_of(render(make("calm", runs))), tags_of(render(make(HOSTILE, runs)))
    assert hostile.tags == calm.tags
    assert hostile.addresses == calm.addresses


def test_nothing_points_outside_the_page():
    text = render(make("a"))
    assert all(address.startswith("#") for address in tags_of(text).addresses)
    assert "default-src 'none'" in text
    assert "@import" not in text


def test_a_page_of_long_rows_stays_small_and_fills_what_it_has():
    text = render(make("ÄÖÜ <&> " * 40, runs=2, rows=3000))
    assert page.LIMIT - 10_000 < len(text.encode()) < page.LIMIT


def test_where_there_is_no_room_the_samples_go_first(monkeypatch):
    report = make("a")
    exhibits = (replace(report.samples.exhibits[0], problem="x" * 10_000),)
    report = replace(report, samples=replace(report.samples, exhibits=exhibits))
    least = len(render(replace(report, samples=replace(report.samples, rows=(), exhibits=()))).encode())
    assert "<article>" in render(report)
    monkeypatch.setattr(page, "LIMIT", least + 5_000)
    assert "<article>" not in render(report)
    monkeypatch.setattr(page, "LIMIT", least - 1)
    with pytest.raises(RunError, match="lay fewer runs side by side"):
        render(report)


def test_settings_that_are_the_same_are_not_repeated():
    report = make("a", runs=2)
    one = replace(report.runs[1], settings=report.runs[0].settings)
    assert "all settings are the same" in render(replace(report, runs=(report.runs[0], one)))
    assert "all settings are the same" not in render(report)
