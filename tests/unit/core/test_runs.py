import json

import pytest

from inferry.core.errors import RunError, UsageError
from inferry.core.runs import Journal, Run, begin_run, finish_run, json_line, open_run

CONFIG = {"bundle": "b", "data": "d"}
COUNT = 6


def add_all(journal, skip=()):
    for index in (4, 0, 5, 2, 1, 3):
        if index in journal or index in skip:
            continue
        if index == 2:
            journal.add(index, {"id": "2", "reason": "schlecht, naïf"}, error=True)
        else:
            journal.add(index, {"id": str(index), "text": "é" * index})


@pytest.fixture
def run(tmp_path):
    return begin_run(tmp_path / "run", CONFIG)


def published(run):
    with Journal(run, COUNT) as journal:
        add_all(journal)
        counts = journal.publish()
    return counts, *((run.path / name).read_bytes() for name in ("predictions.jsonl", "errors.jsonl"))


def test_answers_come_out_in_data_set_order(run):
    counts, predictions, errors = published(run)
    assert counts == (5, 1)
    assert [json.loads(line)["id"] for line in predictions.splitlines()] == list("01345")
    assert json.loads(errors) == {"id": "2", "reason": "schlecht, naïf"}
    assert [row["id"] for row in Run(run.path, {}).rows()] == list("01345")
    assert {path.name for path in run.path.iterdir()} == {"work", "run.json", "predictions.jsonl", "errors.jsonl"}


def test_a_journal_cut_at_any_byte_recovers(run):
    whole = published(run)
    journal_file = run.path / "work" / "answers.jsonl"
    content = journal_file.read_bytes()
    for cut in range(len(content) + 1):
        journal_file.write_bytes(content[:cut])
        with Journal(run, COUNT) as journal:
            assert journal.done == content[:cut].count(b"\n"), cut
        assert journal_file.read_bytes() == content[: content[:cut].rfind(b"\n") + 1]
        assert published(run) == whole, cut


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x00\n",
        b"{}\n",
        b"[]\n",
        b'{"index": 99, "prediction": {}}\n',
        b'{"index": -1, "prediction": {}}\n',
        b'{"index": "1", "prediction": {}}\n',
        b'{"index": 1}\n',
        b"\xff\n",
        b"null\n",
    ],
)
def test_what_is_no_answer_is_cut_off(run, garbage):
    whole = published(run)
    file = run.path / "work" / "answers.jsonl"
    first = file.read_bytes().splitlines(keepends=True)[0]
    file.write_bytes(first + garbage)
    with Journal(run, COUNT) as journal:
        assert journal.done == 1
    assert published(run) == whole


def test_a_second_answer_is_refused(run):
    with Journal(run, COUNT) as journal:
        journal.add(1, {"id": "1"})
        assert 1 in journal
        assert 0 not in journal
        with pytest.raises(RunError, match="sample 1 was answered twice"):
            journal.add(1, {"id": "1"})
        assert journal.done == 1


def test_a_missing_answer_is_refused(run):
    with Journal(run, COUNT) as journal:
        add_all(journal, skip={3, 5})
        with pytest.raises(RunError, match="2 samples have neither"):
            journal.publish()
    assert not (run.path / "predictions.jsonl").exists()


def test_nan_is_never_written(run):
    with Journal(run, COUNT) as journal, pytest.raises(ValueError, match="not JSON compliant"):
        journal.add(0, {"seconds": float("nan")})
    assert json_line({"a": "ü"}) == '{"a": "ü"}\n'


def test_the_same_command_takes_a_run_up(run):
    assert begin_run(run.path, CONFIG).info == run.info
    finished = finish_run(run, {"samples": 6})
    assert finished.finished
    again = begin_run(run.path, CONFIG)
    assert again.finished
    assert again.info["samples"] == 6


def test_another_command_is_refused(run):
    with pytest.raises(RunError, match="holds a run with another bundle, data: choose another --output"):
        begin_run(run.path, {"bundle": "c", "data": "e"})
    with pytest.raises(RunError, match="holds a run of another version of Inferry: choose another --output"):
        begin_run(run.path, {**CONFIG, "extra": 1})


def test_a_folder_with_only_a_bundle_may_become_a_run(tmp_path):
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    assert not begin_run(tmp_path / "run", CONFIG).finished


def test_other_things_are_left_alone(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(RunError, match="is not a run"):
            begin_run(path, CONFIG)


def test_a_broken_run_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="not a run"):
        open_run(tmp_path)
    (run.path / "predictions.jsonl").write_text('{"id": "a"}\n{"id"')
    with pytest.raises(RunError, match=r"predictions\.jsonl cannot be read"):
        list(run.rows())
    with pytest.raises(RunError, match=r"errors\.jsonl cannot be read"):
        list(run.rows("errors.jsonl"))
    for text in ("{", "[]", "{}", '{"config": []}'):
        (run.path / "run.json").write_text(text)
        with pytest.raises(RunError, match="remove the folder"):
            open_run(run.path)


def test_two_processes_may_not_work_on_one_run(run):
    pytest.importorskip("fcntl")
    with Journal(run, COUNT) as journal:
        with pytest.raises(RunError, match="another process is working on this run"):
            Journal(run, COUNT)
        add_all(journal)
        assert journal.publish() == (5, 1)
    with Journal(run, COUNT) as later:
        assert later.done == COUNT


@pytest.mark.parametrize("name", ["predictions.jsonl", "errors.jsonl"])
def test_a_finished_run_that_lost_a_file_is_not_complete(run, name):
    published(run)
    finished = finish_run(run, {})
    assert finished.complete
    (run.path / name).unlink()
    assert finished.finished
    assert not finished.complete
