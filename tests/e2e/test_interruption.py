"""Runs that are killed, interrupted or taken up by another command."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferry.core.errors import RunError
from inferry.core.runs import Journal, open_run
from inferry.pipeline.infer import Options, infer

COUNT = 70
SLOW = """
import sys, time
from pathlib import Path
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.model import Model
whole = Model.run_batch
def slow(self, features, pad_to=None):
    time.sleep(float(sys.argv[6]) * len(features))
    return whole(self, features, pad_to)
Model.run_batch = slow
options = Options(batch_size=int(sys.argv[4]), workers=int(sys.argv[5]))
infer(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), options)
"""


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"), COUNT)


@pytest.fixture(scope="module")
def whole(tiny_bundle, data, tmp_path_factory):
    """The bytes of a run that nothing disturbed."""
    run = infer(tiny_bundle.path, data, tmp_path_factory.mktemp("whole") / "run", Options(batch_size=3))
    return (run.path / "predictions.jsonl").read_bytes()


def start(bundle, data, output, batch_size=1, workers=1, *, seconds=0.02):
    """A process that needs at least so many seconds for each sample."""
    command = [sys.executable, "-c", SLOW, bundle.path, data, output, batch_size, workers, seconds]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE)


def rows_of(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_new_rows(process, journal, before):
    deadline = time.monotonic() + 60
    while rows_of(journal) <= before:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "no answer within a minute"
        time.sleep(0.002)


@pytest.mark.slow
def test_ten_kills_change_no_byte(tiny_bundle, data, whole, tmp_path):
    chance = random.Random(20)
    run, journal = tmp_path / "run", tmp_path / "run" / "work" / "answers.jsonl"
    for kill in range(10):
        before = rows_of(journal)
        with start(tiny_bundle, data, run, batch_size=1 + kill % 2, workers=1 + kill % 3) as process:
            wait_for_new_rows(process, journal, before)
            time.sleep(chance.uniform(0, 0.04))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert before < rows_of(journal) < COUNT, "the kill came in the middle"
        assert not open_run(run).finished
        assert not (run / "predictions.jsonl").exists()
    finished = infer(tiny_bundle.path, data, run, Options(batch_size=5))
    assert (run / "predictions.jsonl").read_bytes() == whole
    assert (finished.info["predictions"], finished.info["quarantined"]) == (COUNT, 0)
    timings = json.loads((run / "timings.json").read_text())
    assert 10 <= timings["resumed_after"] < COUNT


def test_ctrl_c_leaves_a_run_that_goes_on(tiny_bundle, data, whole, tmp_path):
    run, journal = tmp_path / "run", tmp_path / "run" / "work" / "answers.jsonl"
    # So slow that the signal comes before the end, however busy the machine is.
    with start(tiny_bundle, data, run, batch_size=2, seconds=0.5) as process:
        wait_for_new_rows(process, journal, 3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in errors
    assert 3 < rows_of(journal) < COUNT
    assert journal.read_bytes().endswith(b"\n"), "the last answer is whole"
    infer(tiny_bundle.path, data, run)
    assert (run / "predictions.jsonl").read_bytes() == whole


def test_a_torn_last_line_is_dropped(tiny_bundle, data, whole, tmp_path):
    first = infer(tiny_bundle.path, data, tmp_path / "run")
    journal = first.path / "work" / "answers.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) * 2 // 3])
    (first.path / "predictions.jsonl").unlink()
    info = json.loads((first.path / "run.json").read_text())
    (first.path / "run.json").write_text(json.dumps({**info, "finished": False}))
    again = infer(tiny_bundle.path, data, tmp_path / "run", Options(batch_size=4))
    assert again.finished
    assert (again.path / "predictions.jsonl").read_bytes() == whole


def test_a_finished_run_is_not_run_again(tiny_bundle, data, tmp_path):
    run = infer(tiny_bundle.path, data, tmp_path / "run")
    before = (run.path / "timings.json").read_bytes()
    assert infer(tiny_bundle.path, data, tmp_path / "run", Options(batch_size=2)).finished
    assert (run.path / "timings.json").read_bytes() == before


def test_another_command_is_refused(tiny, tiny_bundle, tiny_bundles, data, tmp_path):
    infer(tiny_bundle.path, data, tmp_path / "run", Options(limit=4))
    other = tiny.write_data(tmp_path / "other", 4)
    with pytest.raises(RunError, match="data"):
        infer(tiny_bundle.path, other, tmp_path / "run", Options(limit=4))
    with pytest.raises(RunError, match="samples"):
        infer(tiny_bundle.path, data, tmp_path / "run", Options(limit=5))
    with pytest.raises(RunError, match="bundle, family"):
        infer(tiny_bundles["deepspeech2"].path, data, tmp_path / "run", Options(limit=4))


def test_a_changed_data_set_is_refused(tiny, tiny_bundle, tmp_path):
    data = tiny.write_data(tmp_path / "data", 3)
    infer(tiny_bundle.path, data, tmp_path / "run")
    data.write_text(data.read_text().replace("ON TOE", "NO TOE", 1))
    with pytest.raises(RunError, match="samples_sha256"):
        infer(tiny_bundle.path, data, tmp_path / "run")


def test_a_folder_that_is_no_run_is_refused(tiny_bundle, data, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(RunError, match="not a run"):
        infer(tiny_bundle.path, data, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_progress_of_a_resumed_run_counts_what_was_done(tiny_bundle, data, tmp_path):
    seen = []

    def stop(tally):
        seen.append(tally.done)
        if tally.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(tiny_bundle.path, data, tmp_path / "run", Options(batch_size=4), stop)
    with Journal(open_run(tmp_path / "run"), COUNT) as journal:
        done = journal.done
    assert 20 <= done < COUNT
    later = []
    infer(tiny_bundle.path, data, tmp_path / "run", Options(batch_size=4), lambda tally: later.append(tally.done))
    assert later[0] >= done
    assert later[-1] == COUNT
