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

BROWSER = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
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
    "accuracy": {"wer": 6.06, "cer": 2.37, "scored": 24, "dropped": 0},
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


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser: pip install selenium")
    from selenium.webdriver.chrome.service import Service

    if BROWSER is None or DRIVER is None:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    # CI runs as root in a container with a small /dev/shm; a page may only start sound by itself where nobody listens.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "mute-audio"):
        options.add_argument(f"--{argument}")
    options.add_argument("--autoplay-policy=no-user-gesture-required")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The driver's path is given, so that selenium downloads none.
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def show(browser):
    """Opens a page at a width and in a colour scheme; at the end of the test nothing may have gone wrong in it."""

    def opened(path, width=1200, scheme="light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(path.as_uri())
        wait(browser, "return document.querySelectorAll('#grid .tabulator-row').length")
        return browser

    for kind in ("browser", "performance"):
        browser.get_log(kind)
    yield opened
    assert browser.get_log("browser") == []


def wait(browser, script):
    """The script's value as soon as it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 10).until(lambda driver: driver.execute_script(script))


def column(browser, field):
    """What one column of the table shows, row by row."""
    cells = "document.querySelectorAll(`#grid .tabulator-cell[tabulator-field='${arguments[0]}']`)"
    script = f"return [...{cells}].map(cell => cell.innerText.trim())"
    return browser.execute_script(script, field)


def click(browser, selector):
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


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
    text = page.execute_script("return document.body.innerText")
    assert f"{score['wer']['rate']:.2f} %" in text
    assert f"{score['wer']['low']:.2f} … {score['wer']['high']:.2f}" in text
    assert f"{score['exact_matches']}\nof 24 scored" in text
    assert "quantised departs first at node /encoder/MatMul_1" in text
    wrong = {one["id"]: f"{one['word_edits']} of {one['words']}" for one in score["rows"]}
    shown = dict(zip(column(page, "id"), column(page, "wrong"), strict=True))
    names = {name.removeprefix("▶").strip(): value for name, value in shown.items()}
    assert len(names) > 10
    assert names.items() <= wrong.items()


def test_every_picture_is_drawn_and_has_its_words(runs, show):
    page = show(report(runs.first))
    drawn = page.execute_script(
        "return [...document.querySelectorAll('figure[data-chart]')].map(figure => [figure.dataset.chart,"
        " figure.querySelectorAll('svg path, svg rect, svg line').length, figure.querySelector('.canvas').ariaLabel])"
    )
    assert [name for name, _, _ in drawn] == ["accuracy", "ledger", "throughput", "latency", "stages", "lengths"]
    assert all(marks > 2 and label for _, marks, label in drawn)
    ledger = page.execute_script("return document.querySelector('figure[data-chart=ledger] svg').textContent")
    texts = "[...document.querySelectorAll('figure[data-chart=latency] svg text')].map(text => text.textContent)"
    assert {"20", "50", "100"} <= set(page.execute_script(f"return {texts}"))
    for words in ("ONNX → optimised: not compared", "0 (equal)", "3.0e-01", "2.0e-05"):
        assert words in ledger


def test_a_click_on_a_header_sorts(runs, show):
    page = show(report(runs.first))
    expected = [json.loads(line)["seconds"] for line in (runs.first / "predictions.jsonl").read_text().splitlines()]
    for direction in (True, False):
        click(page, "#grid .tabulator-col[tabulator-field='seconds']")
        seconds = [float(cell) for cell in column(page, "seconds")]
        assert seconds == pytest.approx(sorted(expected, reverse=direction)[: len(seconds)], abs=0.01)


def test_the_keyboard_sorts_and_every_control_has_a_name(runs, show):
    page = show(report(runs.first))
    page.execute_script("document.querySelector(`#grid .tabulator-col[tabulator-field='seconds']`).focus()")
    page.switch_to.active_element.send_keys(" ")
    seconds = [float(cell) for cell in column(page, "seconds")]
    assert seconds == sorted(seconds, reverse=True)
    controls = "[...document.querySelectorAll('audio, .play, input')]"
    named = f"{controls}.map(one => one.ariaLabel || one.labels?.[0]?.textContent)"
    assert all(page.execute_script(f"return {named}"))


def test_numbers_of_the_plan_do_not_hide_each_other(runs, show, tmp_path):
    again = shutil.copytree(runs.first, tmp_path / "again")
    timings = json.loads((again / "timings.json").read_text())
    timings["plan"] = "samples|shapes:30000x8,60000x8,60500x8,90000x4|batch:8"
    (again / "timings.json").write_text(json.dumps(timings))
    page = show(report(again), 400)
    figure = "document.querySelector('figure[data-chart=lengths]')"
    text = page.execute_script(f"return {figure}.querySelector('svg').textContent")
    assert all(number in text for number in ("1.9", "3.8", "5.6"))
    labels = f"[...{figure}.querySelectorAll('g[font-weight=\"600\"] text')].map(text => text.getBoundingClientRect())"
    boxes = sorted((box["left"], box["right"]) for box in page.execute_script(f"return {labels}.map(b => b.toJSON())"))
    assert len(boxes) == 3
    assert all(left[1] < right[0] for left, right in pairwise(boxes))


def test_the_search_box_finds_ids_and_texts(runs, show):
    page = show(report(runs.first))
    box = page.find_element("css selector", "input[type=search]")
    box.send_keys("4-1-000")
    assert wait(page, "return document.querySelector('#controls output').textContent == '4 of 24 shown'")
    assert column(page, "id") == [f"4-1-000{number}" for number in (1, 0, 2, 3)]
    box.clear()
    box.send_keys("yellow lamp")
    wait(page, "return document.querySelector('#controls output').textContent.startsWith('2 of')")
    box.clear()
    box.send_keys("no such word")
    assert wait(page, "return document.querySelector('#grid').innerText.includes('No sample matches.')")
    box.clear()
    box.send_keys(" ")
    click(page, "#controls input[type=checkbox]")
    assert wait(page, "return document.querySelector('#controls output').textContent == '3 of 24 shown'")


def test_the_sounds_play(runs, show):
    page = show(report(runs.first))
    wait(page, "return [...document.querySelectorAll('audio')].every(audio => audio.readyState >= 2)")
    seconds = page.execute_script("return [...document.querySelectorAll('audio')].map(audio => audio.duration)")
    rows = {row["id"]: row for row in map(json.loads, (runs.first / "predictions.jsonl").read_text().splitlines())}
    ids = page.execute_script("return [...document.querySelectorAll('audio')].map(audio => audio.dataset.id)")
    assert len(ids) == 3
    # An MP3 begins with the encoder's delay and ends with a whole frame of 72 ms.
    assert seconds == pytest.approx([rows[name]["seconds"] for name in ids], abs=0.15)
    click(page, "#grid .play")
    assert wait(page, "return document.querySelector('audio').currentTime > 0.1")
    click(page, "#grid .play")
    assert wait(page, "return document.querySelector('audio').paused")


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_width_in_both_schemes(runs, show, width, scheme):
    page = show(report([runs.first, runs.second]), width, scheme)
    wide = page.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    colours = page.execute_script(
        "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    )
    light, dark = ("rgb(255, 255, 255)", "rgb(19, 22, 26)")
    assert colours[0] == (light if scheme == "light" else dark)
    pictures = page.execute_script("return [...document.querySelectorAll('.canvas svg')].map(svg => svg.clientWidth)")
    assert max(pictures) <= width


def test_a_turned_screen_draws_again(runs, show, browser):
    page = show(report(runs.first), 1000)
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert wait(
        page, "return [...document.querySelectorAll('.canvas svg')].every(svg => svg.getAttribute('width') < 400)"
    )


def test_several_runs_and_hostile_texts(runs, show):
    page = show(report([runs.first, runs.second]))
    text = page.execute_script("return document.body.innerText")
    assert page.title == "wav2vec2 on demo-clean: 2 runs side by side"
    assert "<script>document.title='owned'</script>" in text
    assert "onerror=document.title='owned'" in text
    assert page.execute_script("return document.querySelectorAll('main img, main s').length") == 0
    click(page, "#controls label:nth-of-type(2) input")
    assert wait(page, "return document.querySelector('#controls output').textContent == '3 of 25 shown'")
    click(page, "#grid .tabulator-col[tabulator-field='answers.1']")
    assert column(page, "answers.1")[0].startswith("4/1")


def test_no_request_leaves_the_page(runs, show, browser):
    written = report(runs.first)
    show(written)
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = {e["params"]["request"]["url"].split(",")[0] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {written.as_uri()}


def test_printed_it_has_the_table_but_no_controls(runs, show):
    page = show(report(runs.first), scheme="dark")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return document.querySelectorAll('.tabulator-print-table tbody tr').length") == 24
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    controls = "[...document.querySelectorAll('nav, .controls, audio')]"
    hidden = f"return {controls}.every(control => getComputedStyle(control).display == 'none')"
    assert page.execute_script(hidden)


@pytest.fixture
def pictures(repository, browser):
    """scripts/report_pictures.py; where there is no browser, skipped."""
    spec = importlib.util.spec_from_file_location("report_pictures", repository / "scripts" / "report_pictures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_pictures_are_taken_or_nothing_is(runs, pictures, monkeypatch, tmp_path):
    page = report(runs.first)
    made = pictures.take_pictures(page)
    assert [name for name, content in made.items() if content.startswith(b"\x89PNG")] == [
        "report.png",
        "report-samples.png",
    ]
    monkeypatch.setattr(pictures, "LARGEST", 1_000)
    with pytest.raises(SystemExit, match="1,000 are too many"):
        pictures.take_pictures(page)
    with pytest.raises(SystemExit, match="lacks its figures latency, throughput"):
        pictures.take_pictures(report(runs.second, tmp_path / "without.html"))
