import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from inferry.core.errors import RunError, UsageError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.runs import RUN, Run, open_run
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.plan import plan
from inferry.pipeline.report import MOST_RUNS, report
from inferry.pipeline.reporting import samples as report_samples
from inferry.pipeline.reporting.data import gather_parts, labels_of
from inferry.pipeline.reporting.files import find_bundle, read_score
from inferry.pipeline.reporting.samples import gather_samples, join_rows
from inferry.pipeline.reporting.views.registry import view_of
from inferry.planning.make import write_plan
from inferry.report.page import LIMIT
from inferry.report.rows import Absence

HOP = {"name": "hop", "compared": True, "passed": True, "max_abs": 2e-5, "tolerance": 1e-4}


@pytest.fixture(scope="module")
def made(tiny, tiny_bundle, tmp_path_factory):
    """A scored run with quarantined samples, beside its bundle. Read only."""
    folder = tmp_path_factory.mktemp("made")
    data = tiny.write_difficult_data(folder / "data")
    shutil.copytree(tiny_bundle.path, folder / "bundle")
    write_plan(plan(folder / "bundle", data, shapes=2, batch_size=3).plan, folder / "plan.json")
    infer(folder / "bundle", data, folder / "run", Options(plan=folder / "plan.json"))
    evaluate(folder / "run")
    return folder


@pytest.fixture
def copied(made, tmp_path):
    """A copy of `made` that a test may change."""
    return shutil.copytree(made, tmp_path / "made")


def synthetic(folder, rows, errors=(), **config):
    """A finished run without any inference."""
    folder.mkdir(parents=True)
    config = {
        "family": "x",
        "task": "speech-recognition",
        "bundle": "0" * 64,
        "data": "nowhere",
        "kind": "jsonl",
        "samples_sha256": "1",
    } | config
    config |= {"backend": "onnxruntime", "precision": "fp32", "samples": len(rows)}
    info = {
        "config": config,
        "finished": True,
        "samples": len(rows),
        "predictions": len(rows),
        "quarantined": len(errors),
    }
    (folder / "run.json").write_text(to_json_text(info), encoding="utf-8")
    for name, content in (("predictions", rows), ("errors", errors)):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def row(name, text, reference=None, seconds=1.0):
    return {"id": name, "text": text, "frames": 1, "seconds": seconds, "reference": reference}


def gather(*paths):
    runs = [open_run(path) for path in paths]
    view = view_of(runs)
    gathered = gather_samples(runs, view)
    return gather_parts(runs, view, gathered.seconds), gathered.samples


def test_everything_of_a_run_is_on_its_page(made):
    written = report(made / "run")
    assert written == made / "run" / "report.html"
    text = written.read_text(encoding="utf-8")
    metrics = json.loads((made / "run" / "metrics.json").read_text())
    assert f"{metrics['score']['wer']['rate']:.2f} %" in text
    assert f"{metrics['score']['cer']['high']:.2f}" in text
    for error in (made / "run" / "errors.jsonl").read_text().splitlines():
        assert json.loads(error)["id"] in text
    assert text.count("<audio") == sum(not one["exact"] for one in metrics["score"]["rows"])
    assert f"inferry report {made / 'run'} --output {written}" in text
    assert open_run(made / "run").info["config"]["bundle"] in text
    assert written.stat().st_size < LIMIT


def test_the_same_run_gives_the_same_bytes(made):
    assert report(made / "run").read_bytes() == report(made / "run").read_bytes()


def test_the_edits_are_those_of_the_metrics(made):
    metrics = json.loads((made / "run" / "metrics.json").read_text())
    _, samples = gather(made / "run")
    edits = {one.id: one.answers[0].error for one in samples.rows if one.answers[0].error is not None}
    assert edits == {one["id"]: one["word_edits"] for one in metrics["score"]["rows"]}
    assert [one.error for one in samples.rows] == sorted((one.error for one in samples.rows), reverse=True)


def test_the_plan_is_drawn_in_seconds(made):
    (part,), _ = gather(made / "run")
    shapes = json.loads((made / "plan.json").read_text())["buckets"]
    assert part.lengths.buckets == pytest.approx([shape["length"] / 16_000 for shape in shapes])
    assert sum(part.lengths.counts) == 11


def test_the_bundle_is_known_by_its_digest(copied):
    run = open_run(copied / "run")
    assert find_bundle(run).path == Path(run.info["bundle_path"])
    run = Run(run.path, {**run.info, "bundle_path": str(copied / "gone")})
    write_atomic(run.path / RUN, to_json_text(run.info))
    assert find_bundle(run).path == copied / "bundle"
    (copied / "elsewhere").mkdir()
    (copied / "bundle").rename(copied / "elsewhere" / "bundle")
    assert find_bundle(run).path == copied / "elsewhere" / "bundle"
    (copied / "elsewhere" / "bundle").rename(copied / "elsewhere" / "far")
    assert find_bundle(run) is None
    text = report(run.path).read_text(encoding="utf-8")
    assert "inferry compare BUNDLE" in text
    assert "Shape plan: " in text


def test_the_ledger_of_the_run_goes_before_that_of_the_bundle(copied):
    (part,), _ = gather(copied / "run")
    assert part.ledger.source == "bundle/parity.json"
    assert not part.ledger.hops[0].compared
    (copied / "run" / "parity.json").write_text(json.dumps({"hops": [HOP], "fault": None}))
    (part,), _ = gather(copied / "run")
    assert part.ledger.source == "run/parity.json"
    assert [fact.value for fact in part.overview.facts if fact.label == "Parity"] == ["2.0e-05"]


def test_a_failed_hop_is_the_first_thing_seen(copied):
    bad = HOP | {"passed": False, "max_abs": 0.5}
    (copied / "run" / "parity.json").write_text(json.dumps({"hops": [HOP, bad], "fault": {"sentence": "node departs"}}))
    (part,), _ = gather(copied / "run")
    fact = next(fact for fact in part.overview.facts if fact.label == "Parity")
    assert (fact.value, fact.tone) == ("5.0e-01", "bad")
    assert "1 of 2 hops failed" in fact.note


def test_a_ledger_of_another_bundle_is_doubted(copied):
    digest = open_run(copied / "run").info["config"]["bundle"]
    for bundle, doubted in ((digest, False), ("f" * 64, True)):
        (copied / "run" / "parity.json").write_text(json.dumps({"hops": [HOP], "bundle": bundle}))
        text = report(copied / "run").read_text(encoding="utf-8")
        assert ("parity.json was made with another bundle (ffffffffffff…)" in text) == doubted


def test_what_is_missing_says_which_command_makes_it(copied):
    for name in ("metrics.json", "timings.json"):
        (copied / "run" / name).unlink()
    text = report(copied / "run").read_text(encoding="utf-8")
    assert f"inferry evaluate {copied / 'run'}" in text
    assert (
        f"inferry bench {copied / 'bundle'}" in text
        or f"inferry bench {open_run(copied / 'run').info['bundle_path']}" in text
    )


@pytest.mark.parametrize("name", ["metrics.json", "bench.json", "parity.json", "timings.json"])
@pytest.mark.parametrize("content", ["{", "[]", '{"score": 1, "stage_seconds": 1}'])
def test_a_broken_file_is_a_sentence(copied, name, content):
    (copied / "run" / name).write_text(content)
    with pytest.raises(RunError, match=re.escape(name)):
        report(copied / "run")


def test_the_totals_are_read_without_the_rows(made):
    metrics = json.loads((made / "run" / "metrics.json").read_text())
    assert read_score(open_run(made / "run"))["score"] == metrics["score"] | {"rows": []}


def test_a_data_set_that_is_gone_leaves_the_texts(copied):
    info = json.loads((copied / "run" / "run.json").read_text())
    info["config"]["data"] = str(copied / "gone.jsonl")
    (copied / "run" / "run.json").write_text(json.dumps(info))
    text = report(copied / "run").read_text(encoding="utf-8")
    assert "the data set is gone" in text
    assert "<audio" not in text
    assert "<article>" in text


def test_a_sound_that_is_gone_says_so(tiny, copied):
    samples = gather(copied / "run")[1]
    assert all(exhibit.media is not None for exhibit in samples.exhibits)
    data = copied / "data"
    names = {"a": "nan.wav", "b": "000.wav"}
    path = tiny.write_manifest(data, [{"id": name, "audio": file} for name, file in names.items()])
    run = synthetic(copied / "again", [row(name, "x") for name in "abc"], data=str(path))
    exhibits = gather(run)[1].exhibits
    assert [exhibit.media is None for exhibit in exhibits] == [True, False, True]
    assert "NaN" in exhibits[0].problem
    assert "does not have this sample" in exhibits[2].problem


def test_media_stay_within_their_budget(copied, monkeypatch):
    monkeypatch.setattr(report_samples, "_MEDIA_BYTES", 3_000)
    exhibits = gather(copied / "run")[1].exhibits
    assert 0 < sum(len(exhibit.media.mp3) for exhibit in exhibits if exhibit.media is not None) <= 3_000
    assert any("keep the page small" in exhibit.problem for exhibit in exhibits)


def test_several_runs_are_joined_by_id(copied):
    rows = [json.loads(line) for line in (copied / "run" / "predictions.jsonl").read_text().splitlines()]
    other = [one | {"text": "ON"} for one in rows[1:]] + [row("extra", "NEW", "OLD")]
    bad = {"id": rows[0]["id"], "path": "", "stage": "read", "reason": "broken"}
    second = synthetic(copied / "second", other, [bad])
    written = report([copied / "run", second])
    assert written == copied / "run" / "comparison.html"
    parts, samples = gather(copied / "run", second)
    assert samples.total == len(rows) + 1
    answers = {one.id: one.answers for one in samples.rows}
    assert answers[rows[0]["id"]][1] is Absence.QUARANTINED
    assert answers["extra"][0] is Absence.ELSEWHERE
    assert answers[rows[1]["id"]][1].text == "ON"
    assert [part.overview.label for part in parts] == ["run", "second"]
    assert "2 runs side by side" in written.read_text(encoding="utf-8")


def test_joining_holds_back_only_what_another_run_lacks():
    taken = []

    def lines(names):
        for name in names:
            taken.append(name)
            yield {"id": name}

    joined = join_rows([lines("abcd"), lines("acd")])
    assert next(joined) == ({"id": "a"}, {"id": "a"})
    assert taken == ["a", "a"]
    found = [tuple(None if one is None else one["id"] for one in pair) for pair in joined]
    assert found == [("c", "c"), ("d", "d"), ("b", None)]


def test_runs_without_references_show_where_they_differ(tmp_path):
    first = synthetic(tmp_path / "first", [row("a", "X"), row("b", "Y"), row("c", "Z", seconds=9.0)])
    second = synthetic(tmp_path / "second", [row("a", "X"), row("b", "OTHER"), row("c", "Z", seconds=9.0)])
    _, samples = gather(first, second)
    assert [one.id for one in samples.rows] == ["b", "c", "a"]
    assert "differ first" in samples.order
    assert gather(first)[1].order == "longest first"
    text = report(first).read_text(encoding="utf-8")
    assert "This run was not scored" in text
    assert "data-scored" not in text


def test_lengths_of_the_same_samples_are_drawn_once(tmp_path):
    paths = [synthetic(tmp_path / name, [row("a", "X")]) for name in ("one", "two")]
    other = synthetic(tmp_path / "three", [row("a", "X", seconds=9.0)])
    (paths[1] / "timings.json").write_text(json.dumps({"plan": "samples|shapes:dynamic|batch:7"}))
    text = report([*paths, other]).read_text(encoding="utf-8")
    assert text.count('data-chart="lengths"') == 2
    assert "<h3>one and two</h3>" in text
    assert "batch size at most 7" in text
    assert "The run names no shape plan." in text


def test_decoding_stands_in_words(tmp_path):
    greedy = {"beam": None, "language_model": None, "alpha": 0.5, "beta": 2.0, "hotwords": [], "hotword_weight": 5.0}
    searched = greedy | {"beam": 8, "language_model": "abcdef0123456789", "hotwords": ["DOOR", "RIGHT"]}
    default = greedy | {"hotwords": ["DOOR"]}
    paths = [
        synthetic(tmp_path / str(index), [row("a", "X")], decoding=decoding, max_seconds=36.0)
        for index, decoding in enumerate((greedy, searched, default))
    ]
    assert [part.settings["decoding"] for part in gather(*paths)[0]] == [
        "greedy",
        "beam search 8 wide, language model abcdef012345… (alpha 0.5, beta 2.0), hotwords DOOR, RIGHT (weight 5.0)",
        "beam search, hotwords DOOR (weight 5.0)",
    ]


def test_sounds_that_ran_in_windows_are_counted(tmp_path):
    path = synthetic(tmp_path / "run", [row("a", "X")], max_seconds=36.0)
    info = json.loads((path / "run.json").read_text())
    assert not [fact for fact in gather(path)[0][0].overview.facts if fact.label == "In windows"]
    (path / "run.json").write_text(to_json_text(info | {"cut": 3}))
    (fact,) = (fact for fact in gather(path)[0][0].overview.facts if fact.label == "In windows")
    assert (fact.value, fact.note) == ("3", "longer than 36 s, joined again")


def test_commands_on_the_page_can_be_copied_into_a_shell(tmp_path):
    path = synthetic(tmp_path / "my run", [row("a", "X")], data="my data")
    text = unescape(report(path).read_text(encoding="utf-8"))
    assert f"<code>inferry evaluate '{path}'</code>" in text
    assert f"<code>inferry bench BUNDLE --data 'my data' --batch-sizes 1,4,8,16 --output '{path}'</code>" in text
    assert f"inferry compare BUNDLE --checkpoint PATH --data 'my data' --output '{path}'" in text


def test_folders_of_one_name_are_told_apart(tmp_path):
    paths = [synthetic(tmp_path / name / "run", []) for name in ("one", "two")]
    assert labels_of([open_run(path) for path in paths]) == tuple(map(str, paths))


def test_a_run_without_any_answer_has_a_page(tmp_path):
    errors = [{"id": f"<{index}>", "path": "p" * 5000, "stage": "read", "reason": "r" * 5000} for index in range(3000)]
    text = report(synthetic(tmp_path / "run", [], errors)).read_text(encoding="utf-8")
    assert "No sample has an answer." in text
    assert "The first 200 of 3,000; errors.jsonl has all." in text
    assert len(text.encode()) < LIMIT


def test_twenty_thousand_long_samples_stay_under_the_limit(tmp_path):
    reference = "<s> ÄÖÜ & " * 30
    rows = [row(f"utt{index}", reference + "x " * (index % 7), reference, index % 30) for index in range(20_000)]
    written = report(synthetic(tmp_path / "run", rows))
    text = written.read_text(encoding="utf-8")
    assert LIMIT - 10_000 < written.stat().st_size < LIMIT
    shown = int(re.search(r"([\d,]+) of 20,000 samples", text)[1].replace(",", ""))
    assert 500 < shown < 20_000
    assert "predictions.jsonl has all" in text


def test_what_cannot_be_meant_is_refused(made, copied, tmp_path):
    with pytest.raises(UsageError, match="is not a run"):
        report(tmp_path)
    with pytest.raises(UsageError, match="named twice"):
        report([made / "run", made / "data" / ".." / "run"])
    with pytest.raises(UsageError, match="1 to 8"):
        report([tmp_path / str(index) for index in range(MOST_RUNS + 1)])
    with pytest.raises(UsageError, match="cannot be written"):
        report(made / "run", tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        report(made / "run", tmp_path / "no" / "folder.html")
    (copied / "run" / "predictions.jsonl").unlink()
    with pytest.raises(RunError, match="not finished"):
        report(copied / "run")


def test_runs_of_two_tasks_cannot_be_laid_side_by_side(tmp_path):
    paths = [synthetic(tmp_path / task, [], task=task) for task in ("speech-recognition", "image-classification")]
    with pytest.raises(UsageError, match="only runs of one task can be laid side by side"):
        report(paths)


def test_a_run_that_names_no_task_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match="names no task: run the same"):
        report(synthetic(tmp_path / "run", [], task=None))
    with pytest.raises(UsageError, match="unknown task 'dance'"):
        report(synthetic(tmp_path / "other", [], task="dance"))
