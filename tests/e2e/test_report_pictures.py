"""The report of pictures and of questions about them in a real browser."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from inferry.cli.main import app
from inferry.core.files import to_json_text
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.infer import infer
from inferry.pipeline.report import report

OWNED = "<img src=x onerror=document.title='owned'>"
SHOWN = "return document.querySelector('#controls output').textContent == arguments[0]"


@pytest.fixture(scope="module")
def runs(pictures, tmp_path_factory):
    """What `inferry run beit` makes of pictures, one of them broken; and a copy with other answers."""
    folder = tmp_path_factory.mktemp("report")
    data = pictures.write_pictures(folder / "photos", 30)
    (data / "cat" / "broken.png").write_bytes(b"no picture")
    checkpoint = pictures.write_beit(folder / "beit")
    command = [
        "run",
        "beit",
        "--checkpoint",
        checkpoint,
        "--data",
        data,
        "--output",
        folder / "first",
        "--no-reference",
    ]
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    shutil.copytree(folder / "first", folder / "second")
    file = folder / "second" / "predictions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["best"] = rows[0]["best"][1:] + rows[0]["best"][:1]
    rows[1]["best"][0]["label"] = rows[1]["label"] = OWNED
    rows[2]["id"] = OWNED
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SimpleNamespace(first=folder / "first", second=folder / "second")


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """A run over one photo, written by hand."""
    folder = tmp_path_factory.mktemp("questions")
    data, run = folder / "vqa", folder / "run"
    data.mkdir()
    run.mkdir()
    PIL.Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(data / "COCO_val2014_000000000071.png")
    texts = ["What colour?", f"Is it {OWNED}?", "How many?"]
    asked = [{"question_id": number, "image_id": 71, "question": text} for number, text in enumerate(texts)]
    (data / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"questions": asked}))
    answers = ["<pad>", "<unk>", "blue", "red", "yes", "2"]
    (run / "answers.txt").write_text("\n".join(answers) + "\n")
    people = [["red"] * 8 + ["blue"] * 2, ["yes"] * 10, [OWNED] * 9 + ["2"]]
    rows = []
    for number, best in enumerate(([2, 3], [4, 5], [5, 4])):
        ranked = [{"index": index, "label": answers[index]} for index in best]
        row = {"id": str(number), "answer": ranked[0]["label"], "best": ranked, "given": best[:1], "seconds": None}
        rows.append(row | {"reference": people[number]})
    (run / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "errors.jsonl").touch()
    config = {"family": "vilbert-vqa", "task": "visual-question-answering", "bundle": "0" * 64, "data": str(data)}
    counts = {"samples": 3, "predictions": 3, "quarantined": 0}
    info = {"config": config | {"kind": "vqa-v2"}, "finished": True, **counts}
    (run / "run.json").write_text(to_json_text(info))
    evaluate(run)
    return run


def test_the_command_leaves_a_page_with_the_right_numbers(runs, show):
    page = show(runs.first / "report.html")
    metrics = json.loads((runs.first / "metrics.json").read_text())
    text = page.run("return document.body.innerText")
    for rate in metrics["rates"]:
        assert f"{rate['percent']:.2f} %" in text
        assert f"{rate['low']:.2f} … {rate['high']:.2f}" in text
    assert f"{metrics['exact']}\nof 30 scored" in text
    assert "pictures per second" in text
    assert "the file is no picture" in text
    ranks = {one["id"]: str(one["rank"]) for one in metrics["score"]["rows"]}
    shown = dict(zip(page.column("id"), page.column("figure0"), strict=True))
    assert len(shown) > 8
    assert shown.items() <= ranks.items()
    drawn = page.run(
        "return [...document.querySelectorAll('figure[data-chart]:has(svg)')].map(one => one.dataset.chart)"
    )
    assert drawn == ["accuracy", "ledger", "stages"]


def test_thumbnails_decode_on_cards_and_in_the_table(runs, show):
    page = show(runs.first / "report.html")
    metrics = json.loads((runs.first / "metrics.json").read_text())
    page.wait("return [...document.querySelectorAll('main img')].every(one => one.complete)")
    sizes = page.run(
        "return [...document.querySelectorAll('.exhibits img')].map(one => [one.naturalWidth, one.naturalHeight])"
    )
    assert len(sizes) == min(24, 30 - metrics["exact"])
    assert all(40 <= side <= 120 for size in sizes for side in size)
    assert page.run("return [...document.querySelectorAll('#grid .thumb')].every(one => one.naturalWidth > 0)")
    names = "return [...document.querySelectorAll('.exhibits img')].map(one => one.alt)"
    assert page.run(names) == page.run(
        "return [...document.querySelectorAll('.exhibits header b')].map(one => one.innerText)"
    )


def test_it_sorts_searches_and_filters(runs, show):
    page = show(runs.first / "report.html")
    rank = "#grid .tabulator-col[tabulator-field='figure0']"
    for descending in (True, False):
        page.click(rank)
        ranks = page.column("figure0")
        assert ranks == sorted(ranks, reverse=descending)
    metrics = json.loads((runs.first / "metrics.json").read_text())
    page.click("#controls input[type=checkbox]")
    page.wait(SHOWN.replace("arguments[0]", f"'{30 - metrics['exact']} of 30 shown'"))
    page.click("#controls input[type=checkbox]")
    page.driver.find_element("css selector", "#controls input[type=search]").send_keys("picture007")
    page.wait(SHOWN.replace("arguments[0]", "'1 of 30 shown'"))
    assert page.column("id") == ["dog/picture007"]


def test_two_runs_show_where_they_differ_and_run_no_code_of_theirs(runs, show):
    page = show(report([runs.first, runs.second]))
    text = page.run("return document.body.innerText")
    assert page.driver.title == "beit on photos: 2 runs side by side"
    assert OWNED in text
    assert "not among this run's samples" in text
    assert page.run(
        "return [...document.querySelectorAll('main img')].every(one => one.src.startsWith('data:image/jpeg'))"
    )
    page.click("#controls label:nth-of-type(2) input")
    page.wait(SHOWN.replace("arguments[0]", "'2 of 31 shown'"))


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1600, "light")])
def test_it_fits_every_width(runs, questions, show, width, scheme):
    for written in (runs.first / "report.html", report(questions), report([runs.first, runs.second])):
        page = show(written, width, scheme)
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert "[object" not in page.run("return document.body.innerText")


def test_no_request_leaves_the_page(runs, show, browser):
    show(runs.first / "report.html")
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = {e["params"]["request"]["url"].split(",")[0] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {(runs.first / "report.html").as_uri()}


def test_a_real_run_of_questions_has_a_page(asking, question_bundle, show, tmp_path):
    data = asking.write_data(tmp_path / "data")
    run = infer(question_bundle.path, data, tmp_path / "run")
    score = evaluate(run.path).score
    page = show(report(run.path))
    text = page.run("return document.body.innerText")
    for rate in score.rates:
        assert f"{rate.name}\t{rate.percent:.2f}" in text
    assert "questions per second" in text
    asked = {str(row["question_id"]): row["question"] for row in json.loads(data.read_text())["questions"]}
    assert dict(zip(page.column("id"), page.column("fact0"), strict=True)) == asked
    page.wait("return [...document.querySelectorAll('.exhibits img')].some(one => one.naturalWidth >= 100)")


def test_questions_with_their_answers(questions, show):
    page = show(report(questions))
    assert page.column("id") == ["2", "0", "1"]
    assert page.column("fact0") == ["How many?", "What colour?", f"Is it {OWNED}?"]
    assert page.column("fact1")[0] == f"{OWNED}\N{NO-BREAK SPACE}(9), 2"
    scores = {
        one["id"]: f"{100 * one['score']:.1f}"
        for one in json.loads((questions / "metrics.json").read_text())["score"]["rows"]
    }
    assert page.column("figure0") == [scores[name] for name in "201"]
    assert page.column("answers.0") == ["2", "blue", "yes"]
    cards = page.run("return [...document.querySelectorAll('article')].map(one => one.innerText)")
    cards = [re.sub(r"\n+", "\n", card) for card in cards]
    assert len(cards) == 2
    assert (
        "What colour?\npeople's answers red\N{NO-BREAK SPACE}(8), blue\N{NO-BREAK SPACE}(2)\nblue\nthen red" in cards[1]
    )
    page.wait("return [...document.querySelectorAll('main img')].every(one => one.naturalWidth == 80)")
    assert page.driver.title == "vilbert-vqa on vqa"
    page.driver.find_element("css selector", "#controls input[type=search]").send_keys("what COLOUR")
    page.wait(SHOWN.replace("arguments[0]", "'1 of 3 shown'"))
