"""The report in a real browser: Debian's Chromium, without a window and without a network."""

import importlib.util
import json
import shutil
import sys
from itertools import pairwise
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from inferry.cli.main import app
from inferry.pipeline.report import report
from inferry.pipeline.run import run

HOP = {"name": "original → ONNX", "compared": True, "passed": True, "samples": 24, "max_abs": 2e-5, "mean_abs": 1e-6}
LEDGER = {
    "hops": [
        HOP | {"tolerance": 1e-4},
        {"name": "ONNX → optimised", "compared": False, "reason": "not optimised"},
        HOP | {"name": "batched", "max_abs": 0.0, "mean_abs": 0.0, "tolerance": 1e-4},
        HOP | {"name": "quantised", "max_abs": 0.3, "passed": False, "tolerance": 1e-4, "p999_abs": 0.1},
    ],
    "fault": {"sentence": "quantised departs first at node /encoder/MatMul_1"},
}
RESULT = {
    "rounds": 5,
    "latency_ms": {"p50": 20.0, "p90": 22.0, "p99": 40.0},
    "audio_seconds_per_second": 180.0,
    "accuracy": {
        "rates": [{"name": "WER", "percent": 6.06}, {"name": "CER", "percent": 2.37}],
        "scored": 24,
        "dropped": 0,
        "main_with_dropped": 6.06,
    },
}
BENCH = {
    "configurations": [
        {
            "name": name,
            "baseline": name == "recipe",
            "results": [
                RESULT | {"batch_size": size, "items_per_second": speed * size, "settled": size < 8}
                for size in (1, 4, 8)
            ],
        }
        for name, speed in (("fp32", 50.0), ("recipe", 7.0))
    ],
    "samples": 24,
}


@pytest.fixture(scope="module")
def runs(repository, tmp_path_factory):
    """Two runs over the demo's clips: one with everything, one with an id and a text that attack the page."""
    folder = tmp_path_factory.mktemp("report")
    examples = repository / "examples" / "speech"
    run("wav2vec2", examples / "wav2vec2", examples / "clips" / "demo-clean", folder / "first", reference=False)
    shutil.copytree(folder / "first", folder / "second")
    (folder / "first" / "parity.json").write_text(json.dumps(LEDGER))
    (folder / "first" / "bench.json").write_text(json.dumps(BENCH))
    file = folder / "second" / "predictions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[5] |= {"text": "<img src=x onerror=document.title='owned'> </script>", "reference": "<s>"}
    rows[6] |= {"id": "<script>document.title='owned'</script>"}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SimpleNamespace(first=folder / "first", second=folder / "second")


def test_the_command(runs, tmp_path):
    done = CliRunner().invoke(app, ["report", str(runs.first)])
    assert done.exit_code == 0, done.output
    assert str(runs.first / "report.html") in done.stdout
    several = [str(runs.first), str(runs.second), "--output", str(tmp_path / "both.html"), "--json"]
    told = json.loads(CliRunner().invoke(app, ["report", *several]).stdout)
    assert told["bytes"] == (tmp_path / "both.html").stat().st_size
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 2


def test_the_right_numbers_stand_on_the_page(runs, show):
    page = show(report(runs.first))
    score = json.loads((runs.first / "metrics.json").read_text())["score"]
    text = page.run("return document.body.innerText")
    assert f"{score['wer']['rate']:.2f} %" in text
    assert f"{score['wer']['low']:.2f} … {score['wer']['high']:.2f}" in text
    assert f"{score['exact_matches']}\nof 24 scored" in text
    assert "quantised departs first at node /encoder/MatMul_1" in text
    wrong = {one["id"]: f"{one['word_edits']} of {one['words']}" for one in score["rows"]}
    shown = dict(zip(page.column("id"), page.column("figure0"), strict=True))
    names = {name.removeprefix("▶").strip(): value for name, value in shown.items()}
    assert len(names) > 10
    assert names.items() <= wrong.items()


def test_every_picture_is_drawn_and_has_its_words(runs, show):
    page = show(report(runs.first))
    drawn = page.run(
        "return [...document.querySelectorAll('figure[data-chart]')].map(figure => [figure.dataset.chart,"
        " figure.querySelectorAll('svg path, svg rect, svg line').length, figure.querySelector('.canvas').ariaLabel])"
    )
    assert [name for name, _, _ in drawn] == ["accuracy", "ledger", "throughput", "latency", "stages", "lengths"]
    assert all(marks > 2 and label for _, marks, label in drawn)
    ledger = page.run("return document.querySelector('figure[data-chart=ledger] svg').textContent")
    texts = "[...document.querySelectorAll('figure[data-chart=latency] svg text')].map(text => text.textContent)"
    assert {"20", "50", "100"} <= set(page.run(f"return {texts}"))
    for words in ("ONNX → optimised: not compared", "0 (equal)", "3.0e-01", "2.0e-05"):
        assert words in ledger


def test_a_click_on_a_header_sorts(runs, show):
    page = show(report(runs.first))
    expected = [json.loads(line)["seconds"] for line in (runs.first / "predictions.jsonl").read_text().splitlines()]
    for direction in (True, False):
        page.click("#grid .tabulator-col[tabulator-field='fact0']")
        seconds = [float(cell) for cell in page.column("fact0")]
        assert seconds == pytest.approx(sorted(expected, reverse=direction)[: len(seconds)], abs=0.01)


def test_the_keyboard_sorts_and_every_control_has_a_name(runs, show):
    page = show(report(runs.first))
    page.run("document.querySelector(`#grid .tabulator-col[tabulator-field='fact0']`).focus()")
    page.driver.switch_to.active_element.send_keys(" ")
    seconds = [float(cell) for cell in page.column("fact0")]
    assert seconds == sorted(seconds, reverse=True)
    controls = "[...document.querySelectorAll('audio, .play, input')]"
    named = f"{controls}.map(one => one.ariaLabel || one.labels?.[0]?.textContent)"
    assert all(page.run(f"return {named}"))


def test_numbers_of_the_plan_do_not_hide_each_other(runs, show, tmp_path):
    again = shutil.copytree(runs.first, tmp_path / "again")
    timings = json.loads((again / "timings.json").read_text())
    timings["plan"] = "samples|shapes:30000x8,60000x8,60500x8,90000x4|batch:8"
    (again / "timings.json").write_text(json.dumps(timings))
    page = show(report(again), 400)
    figure = "document.querySelector('figure[data-chart=lengths]')"
    text = page.run(f"return {figure}.querySelector('svg').textContent")
    assert all(number in text for number in ("1.9", "3.8", "5.6"))
    labels = f"[...{figure}.querySelectorAll('g[font-weight=\"600\"] text')].map(text => text.getBoundingClientRect())"
    boxes = sorted((box["left"], box["right"]) for box in page.run(f"return {labels}.map(b => b.toJSON())"))
    assert len(boxes) == 3
    assert all(left[1] < right[0] for left, right in pairwise(boxes))


def test_the_search_box_finds_ids_and_texts(runs, show):
    page = show(report(runs.first))
    box = page.driver.find_element("css selector", "input[type=search]")
    box.send_keys("4-1-000")
    assert page.wait("return document.querySelector('#controls output').textContent == '4 of 24 shown'")
    assert page.column("id") == [f"4-1-000{number}" for number in (1, 0, 2, 3)]
    box.clear()
    box.send_keys("yellow lamp")
    page.wait("return document.querySelector('#controls output').textContent.startsWith('2 of')")
    box.clear()
    box.send_keys("no such word")
    assert page.wait("return document.querySelector('#grid').innerText.includes('No sample matches.')")
    box.clear()
    box.send_keys(" ")
    page.click("#controls input[type=checkbox]")
    assert page.wait("return document.querySelector('#controls output').textContent == '3 of 24 shown'")


def test_the_sounds_play(runs, show):
    page = show(report(runs.first))
    page.wait("return [...document.querySelectorAll('audio')].every(audio => audio.readyState >= 2)")
    seconds = page.run("return [...document.querySelectorAll('audio')].map(audio => audio.duration)")
    rows = {row["id"]: row for row in map(json.loads, (runs.first / "predictions.jsonl").read_text().splitlines())}
    ids = page.run("return [...document.querySelectorAll('audio')].map(audio => audio.dataset.id)")
    assert len(ids) == 3
    # An MP3 begins with the encoder's delay and ends with a whole frame of 72 ms.
    assert seconds == pytest.approx([rows[name]["seconds"] for name in ids], abs=0.15)
    page.click("#grid .play")
    assert page.wait("return document.querySelector('audio').currentTime > 0.1")
    page.click("#grid .play")
    assert page.wait("return document.querySelector('audio').paused")


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_width_in_both_schemes(runs, show, width, scheme):
    page = show(report([runs.first, runs.second]), width, scheme)
    wide = page.run("return document.documentElement.scrollWidth")
    assert wide <= width
    colours = page.run("const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]")
    light, dark = ("rgb(255, 255, 255)", "rgb(19, 22, 26)")
    assert colours[0] == (light if scheme == "light" else dark)
    pictures = page.run("return [...document.querySelectorAll('.canvas svg')].map(svg => svg.clientWidth)")
    assert max(pictures) <= width


def test_a_turned_screen_draws_again(runs, show, browser):
    page = show(report(runs.first), 1000)
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert page.wait(
        "return [...document.querySelectorAll('.canvas svg')].every(svg => svg.getAttribute('width') < 400)"
    )


def test_several_runs_and_hostile_texts(runs, show):
    page = show(report([runs.first, runs.second]))
    text = page.run("return document.body.innerText")
    assert page.driver.title == "wav2vec2 on demo-clean: 2 runs side by side"
    assert "<script>document.title='owned'</script>" in text
    assert "onerror=document.title='owned'" in text
    assert page.run("return document.querySelectorAll('main img, main s').length") == 0
    assert text.count("not among this run's samples") == 2
    page.click("#grid .tabulator-col[tabulator-field='answers.1']")
    assert page.column("answers.1")[0].startswith("4 of 1")
    page.click("#controls label:nth-of-type(2) input")
    assert page.wait("return document.querySelector('#controls output').textContent == '1 of 25 shown'")


def test_no_request_leaves_the_page(runs, show, browser):
    written = report(runs.first)
    show(written)
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = {e["params"]["request"]["url"].split(",")[0] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {written.as_uri()}


def test_printed_it_has_the_table_but_no_controls(runs, show):
    page = show(report(runs.first), scheme="dark")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run("return document.querySelectorAll('.tabulator-print-table tbody tr').length") == 24
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    controls = "[...document.querySelectorAll('nav, .controls, audio')]"
    hidden = f"return {controls}.every(control => getComputedStyle(control).display == 'none')"
    assert page.run(hidden)


@pytest.fixture
def script(repository, browser):
    """scripts/report_pictures.py; where there is no browser, skipped."""
    spec = importlib.util.spec_from_file_location("report_pictures", repository / "scripts" / "report_pictures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_pictures_are_taken_or_nothing_is(runs, script, monkeypatch, tmp_path):
    page = report(runs.first)
    made = script.take_pictures(script.SPEECH, page)
    assert [name for name, content in made.items() if content.startswith(b"\x89PNG")] == [
        "report.png",
        "report-samples.png",
    ]
    monkeypatch.setattr(script, "LARGEST", 1_000)
    with pytest.raises(SystemExit, match="1,000 are too many"):
        script.take_pictures(script.SPEECH, page)
    with pytest.raises(SystemExit, match="lacks its figures latency, throughput"):
        script.take_pictures(script.SPEECH, report(runs.second, tmp_path / "without.html"))
