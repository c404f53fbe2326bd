import json
import re

import numpy as np
import PIL.Image
import pytest

from inferry.core.errors import RunError
from inferry.core.runs import open_run
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.report import report
from inferry.pipeline.reporting import samples as report_samples
from inferry.report.page import LIMIT
from inferry.report.rows import Absence, Mark

TASK = "image-classification"
LABELS = ["cat", "<b>dog", "owl", "fox", "hen", "elk", "bee"]
TEXTS = {"labels.txt": "\n".join(LABELS) + "\n"}
RANKS = {"a": 1, "b": 3, "c": None, "d": 1, "e": 2, "f": None}
"""Of the right class, which is always the first label."""


def row(name, best, reference="0"):
    ranked = [{"index": index, "label": LABELS[index]} for index in best]
    return {"id": name, "label": ranked[0]["label"], "best": ranked, "seconds": None, "reference": reference}


def best_with(rank):
    """Five classes with the first one at that place."""
    others = [1, 2, 3, 4, 5]
    return others if rank is None else [*others[: rank - 1], 0, *others[rank - 1 : 4]]


@pytest.fixture
def data(tmp_path):
    """A picture for each of `RANKS`; one is cut short, one is not there."""
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(3).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for name in RANKS:
        PIL.Image.fromarray(noise).save(folder / f"{name}.png")
    (folder / "f.png").write_bytes((folder / "a.png").read_bytes()[:5000])
    (folder / "e.png").unlink()
    return folder


@pytest.fixture
def run(write_run, data, tmp_path):
    rows = [row(name, best_with(rank)) for name, rank in RANKS.items()]
    folder = write_run(tmp_path / "run", TASK, data, rows, texts=TEXTS)
    timings = {
        "samples": 6,
        "quarantined": 0,
        "wall_seconds": 0.5,
        "audio_seconds_per_second": 0.0,
        "stage_seconds": {},
    }
    (folder / "timings.json").write_text(json.dumps(timings))
    evaluate(folder)
    return folder


def test_ranks_are_those_of_the_metrics(run, gather):
    score = json.loads((run / "metrics.json").read_text())["score"]
    _, samples = gather(run)
    shown = {one.id: one.answers[0].figures[0].text for one in samples.rows}
    assert shown == {one["id"]: "> 5" if one["rank"] is None else str(one["rank"]) for one in score["rows"]}


def test_the_worst_come_first_and_right_ones_are_not_on_cards(run, gather):
    _, samples = gather(run)
    assert [one.id for one in samples.rows] == ["c", "f", "b", "e", "a", "d"]
    assert [one.row.id for one in samples.exhibits] == ["c", "f", "b", "e"]


def test_right_and_wrong_classes_are_marked(run, gather):
    rows = {one.id: one for one in gather(run)[1].rows}
    assert rows["a"].answers[0].pieces == (("cat", Mark.RIGHT),)
    assert rows["b"].answers[0].pieces == (("<b>dog", Mark.WRONG),)
    assert rows["b"].answers[0].others[:2] == (("owl", Mark.SAME), ("cat", Mark.RIGHT))
    assert {row.facts for row in rows.values()} == {("cat",)}


def test_thumbnails_or_the_reason_why_not(run, gather):
    exhibits = {one.row.id: one for one in gather(run)[1].exhibits}
    assert {name: one.media is not None for name, one in exhibits.items()} == {
        "b": True,
        "c": True,
        "e": False,
        "f": False,
    }
    assert "does not have this sample" in exhibits["e"].problem
    assert exhibits["f"].problem.startswith("It has no picture to show: the picture cannot be decoded")
    assert (exhibits["b"].media.width, exhibits["b"].media.height) == (120, 90)
    text = report(run).read_text(encoding="utf-8")
    assert text.count("<img src=") == 2
    assert "<b>dog" not in text


def test_nothing_is_said_of_speech(run, gather):
    (part,), _ = gather(run)
    assert part.lengths is None
    assert not {"decoding", "max seconds"} & part.settings.keys()
    facts = {fact.label: (fact.value, fact.note) for fact in part.overview.facts}
    assert facts["Speed"] == ("12.0", "pictures per second")
    assert list(facts)[:3] == ["top-1", "top-5", "Exactly right"]
    page = report(run).read_text(encoding="utf-8")
    body = re.sub(
        r"<script.*?</script>|<[^>]*>", " ", page[page.index("<main>") : page.index("</main>")], flags=re.DOTALL
    )
    assert re.findall(r"(?i)sound|utterance|word|text|length|error rate", body) == []


def test_classes_and_confusions_stand_below_the_rates(run, gather):
    (part,), _ = gather(run)
    assert part.accuracy.scale.endswith("more is better")
    classes, confusions = part.accuracy.breakdowns
    assert classes.rows == (("cat", "6", "33.3", "66.7"),)
    assert confusions.rows == (("cat", "<b>dog", "4"),)
    assert part.doubts == ()


def test_a_mix_up_of_numbers_is_said_at_the_head(write_run, data, tmp_path):
    rows = [row(f"p{index}", [(index + 1) % 7, 6 - index % 7], str(index % 7)) for index in range(70)]
    rows = [one for one in rows if one["reference"] != "6"]
    folder = write_run(tmp_path / "run", TASK, data, rows, texts=TEXTS)
    evaluate(folder)
    text = report(folder).read_text(encoding="utf-8")
    head = text[text.index("<main>") : text.index('<section id="accuracy"')]
    assert "The labels seem to be numbered otherwise: 0.0 % are right" in head
    assert text.count("0.0 % are right") == 1


def test_labels_of_another_network_leave_the_answers(write_run, data, tmp_path, gather):
    folder = write_run(tmp_path / "run", TASK, data, [row("a", [1, 2], "999"), row("b", [1, 2], "cat")], texts=TEXTS)
    with pytest.raises(RunError, match="The labels of the data set are not those of this network"):
        evaluate(folder)
    (part,), samples = gather(folder)
    assert [one.facts for one in samples.rows] == [("class 999",), ("class cat",)]
    assert all(one.answers[0].error is None for one in samples.rows)
    assert "was not scored" in part.accuracy.coverage


def test_without_its_labels_a_run_shows_numbers(run, gather):
    (run / "labels.txt").unlink()
    _, samples = gather(run)
    assert [one.id for one in samples.rows] == ["c", "f", "b", "e", "a", "d"]
    assert samples.rows[0].facts == ("class 0",)


def test_several_right_classes(write_run, data, tmp_path, gather):
    folder = write_run(tmp_path / "run", TASK, data, [row("a", [2, 0, 3], "1|0"), row("b", [2], None)], texts=TEXTS)
    first, second = gather(folder)[1].rows
    assert first.facts == ("<b>dog | cat",)
    assert first.answers[0].figures[0].text == "2"
    assert (second.facts, second.answers[0].error) == ((None,), None)


def test_runs_over_different_data_are_not_told_to_lack_answers(write_run, run, data, tmp_path, gather):
    rows = [row("a", best_with(2)), row("z", best_with(1))]
    bad = {"id": "b", "path": "b.png", "stage": "read", "reason": "broken"}
    other = write_run(tmp_path / "other", TASK, data, rows, texts=TEXTS, errors=[bad])
    found = {one.id: one for one in gather(run, other)[1].rows}
    assert found["a"].differ
    assert found["b"].answers[1] is Absence.QUARANTINED
    assert found["b"].differ
    assert found["c"].answers[1] is Absence.ELSEWHERE
    assert found["z"].answers[0] is Absence.ELSEWHERE
    assert not found["c"].differ
    assert "not among this run&#x27;s samples" in report([run, other]).read_text(encoding="utf-8")


def test_data_that_is_gone_leaves_the_classes(run, data):
    data.rename(data.with_name("elsewhere"))
    text = report(run).read_text(encoding="utf-8")
    assert "No picture can be shown: the data set is gone." in text
    assert "<img" not in text
    assert "<article>" in text


def test_pictures_stay_within_their_budget(run, gather, monkeypatch):
    monkeypatch.setattr(report_samples, "_MEDIA_BYTES", 10)
    exhibits = gather(run)[1].exhibits
    assert not any(one.media for one in exhibits)
    assert exhibits[0].problem == "Its picture was left out to keep the page small."


def test_many_pictures_stay_under_the_limit(write_run, data, tmp_path):
    rows = [row(f"n{index:08}", best_with(None if index % 3 else 1)) for index in range(20_000)]
    written = report(write_run(tmp_path / "run", TASK, data, rows, texts=TEXTS))
    assert LIMIT - 300_000 < written.stat().st_size < LIMIT
    shown = int(re.search(r"([\d,]+) of 20,000 samples", written.read_text(encoding="utf-8"))[1].replace(",", ""))
    assert 5_000 < shown < 20_000


def test_names_of_any_length_leave_a_small_page(write_run, data, tmp_path):
    labels = [f"{index}" * 50_000 for index in range(5)]
    rows = []
    for index in range(20):
        ranked = [{"index": (index + place) % 5, "label": labels[(index + place) % 5]} for place in range(5)]
        rows.append({"id": f"p{index}", "label": ranked[0]["label"], "best": ranked, "seconds": None})
        rows[-1]["reference"] = str((index + 1 + index % 3) % 5)
    folder = write_run(tmp_path / "run", TASK, data, rows, texts={"labels.txt": "\n".join(labels)})
    evaluate(folder)
    written = report(folder)
    assert written.stat().st_size < LIMIT
    text = written.read_text(encoding="utf-8")
    assert text.count("<article>") == 20
    assert "1" * 2_000 not in text


def test_a_broken_score_is_a_sentence(run):
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["score"]["classes"][0]["top1"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(RunError, match=r"metrics\.json is not as expected .*inferry evaluate"):
        report(run)
    assert open_run(run).finished
