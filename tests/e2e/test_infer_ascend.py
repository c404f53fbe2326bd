"""Data sets on the simulated NPU: the answers of the processor, in the shapes that were compiled."""

import json
import os
import subprocess
import sys

import pytest

import inferry
from inferry.core.compiled import find_compiled
from inferry.core.errors import BackendError, RunError, UsageError
from inferry.pipeline import model as model_module
from inferry.pipeline.infer import Options, infer
from inferry.planning.make import make_plan, write_plan

FILES = ("predictions.jsonl", "errors.jsonl")


@pytest.fixture(scope="module")
def difficult(tiny, tmp_path_factory):
    return tiny.write_difficult_data(tmp_path_factory.mktemp("difficult"))


@pytest.fixture(scope="module")
def compiled(tiny_bundle, compile_for_npu):
    return compile_for_npu(tiny_bundle, sizes={"samples": (6000, 14_000)}, batch_sizes=(1, 4))


def content(run):
    return [(run.path / name).read_bytes() for name in FILES]


def rows_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def rows(run, name):
    return {row["id"]: row for row in rows_of(run.path / name)}


@pytest.mark.parametrize("options", [{}, {"batch_size": 3, "workers": 2}, {"batch_size": 100}], ids=str)
def test_the_answers_are_those_of_the_processor(compiled, difficult, installed_acl, tmp_path, options):
    expected = infer(compiled.path, difficult, tmp_path / "cpu")
    found = infer(compiled.path, difficult, tmp_path / "npu", Options("ascend", **options))
    assert content(found) == content(expected)
    timings = json.loads((found.path / "timings.json").read_text())
    assert timings["signature"]["om"].startswith("Ascend310P3-fp32-")
    # Rows that fill a gear are padding too.
    assert timings["padding_waste"] > 0.4, "with one row a sample, it would be 0.31"
    assert timings["plan"].startswith(f"samples|shapes:6000x{min(4, options.get('batch_size', 4))},14000x")
    # 11 sounds with an answer, of which one is silent: full batches only, none is tried again one by one.
    assert timings["batches"] == {None: 4, 3: 5, 100: 4}[options.get("batch_size")] + timings["settled_alone"]


def test_near_ties_are_settled_in_shapes_that_are_compiled(compiled, difficult, installed_acl, tmp_path, monkeypatch):
    expected = infer(compiled.path, difficult, tmp_path / "cpu")
    monkeypatch.setattr(model_module, "NEAR_TIE", 1e9)
    found = infer(compiled.path, difficult, tmp_path / "npu", Options("ascend"))
    assert content(found) == content(expected)
    assert json.loads((found.path / "timings.json").read_text())["settled_alone"] == 10


def test_what_is_too_long_for_every_shape_is_quarantined(tiny, tiny_bundle, compile_for_npu, installed_acl, tmp_path):
    bundle, data = tiny_bundle, tiny.write_data(tmp_path / "data", 9)
    known = rows(infer(bundle.path, data, tmp_path / "cpu"), "predictions.jsonl")
    bundle = compile_for_npu(bundle, sizes={"samples": (6000,)}, batch_sizes=(4,))
    run = infer(bundle.path, data, tmp_path / "npu", Options("ascend"))
    short = {id_: row for id_, row in known.items() if row["seconds"] <= 6000 / tiny.RATE}
    assert 0 < len(short) < len(known)
    assert rows(run, "predictions.jsonl") == short
    late = rows(run, "errors.jsonl")
    assert late.keys() == known.keys() - short.keys()
    for row in late.values():
        assert row["stage"] == "infer"
        assert "no shape of this om takes inputs of (1, " in row["reason"]
        assert "(4, 6000)" in row["reason"]


def test_a_plan_of_other_shapes_is_refused_before_anything_is_written(compiled, difficult, installed_acl, tmp_path):
    write_plan(make_plan([5000, 20_000], axis="samples", batch_size=4, shapes=2), tmp_path / "plan.json")
    with pytest.raises(UsageError, match=r"the plan has batches of 4 x 20000 samples.*4 x 6000, 4 x 14000: leave out"):
        infer(compiled.path, difficult, tmp_path / "run", Options("ascend", plan=tmp_path / "plan.json"))
    assert not (tmp_path / "run").exists()


def test_a_run_belongs_to_what_was_compiled(tiny, tiny_bundle, compile_for_npu, installed_acl, tmp_path):
    data, run = tiny.write_data(tmp_path / "data", 3), tmp_path / "run"
    first = compile_for_npu(tiny_bundle, sizes={"samples": (6000,)}, batch_sizes=(2,))
    infer(first.path, data, run, Options("ascend"))
    assert infer(first.path, data, run, Options("ascend")).complete
    second = compile_for_npu(first, sizes={"samples": (14_000,)}, batch_sizes=(2,))
    with pytest.raises(RunError, match="holds a run with another compiled"):
        infer(second.path, data, run, Options("ascend"))


def test_a_run_belongs_to_the_om_that_was_chosen(tiny, tiny_bundle, compile_for_npu, installed_acl, tmp_path):
    data, run = tiny.write_data(tmp_path / "data", 3), tmp_path / "run"
    both = tiny_bundle
    for length in (6000, 14_000):
        both = compile_for_npu(both, sizes={"samples": (length,)}, batch_sizes=(2,))
    infer(both.path, data, run, Options("ascend"))
    before, newest = find_compiled(both.model, "ascend")
    again = compile_for_npu(both, sizes={"samples": (6000,)}, batch_sizes=(2,))
    assert [one.key for one in find_compiled(again.model, "ascend")] == [newest.key, before.key]
    with pytest.raises(RunError, match="holds a run with another compiled"):
        infer(again.path, data, run, Options("ascend"))


def test_load_opens_what_is_compiled(compiled, tiny, installed_acl, tmp_path):
    sounds = [inferry.Audio(tiny.sound(length, 1), tiny.RATE) for length in (5000, 9000)]
    with inferry.load(compiled.path) as processor, inferry.load(compiled.path, backend="ascend") as npu:
        assert npu.predict(sounds, batch_size=2) == processor.predict(sounds)
        with pytest.raises(BackendError, match="no shape of this om takes"):
            npu.infer(sounds * 3, batch_size=6)
        with pytest.raises(BackendError, match=r"inputs of \(1, 14001\) \(1,\); it was compiled for"):
            npu.infer(sounds, pad_to=14_001)
    with pytest.raises(BackendError, match="is compiled for fp32, not fp16: ask for --precision fp32"):
        inferry.load(compiled.path, "ascend", "fp16")


@pytest.fixture
def call(cann, tmp_path):
    """The command line in a process of its own, on a machine with CANN."""
    paths = {"PATH": f"{cann.install(tmp_path)}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **paths, "PYTHONPATH": str(cann.install_module(tmp_path))}

    def run(*words):
        command = [sys.executable, "-m", "inferry", *map(str, words)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_command_line(call, tiny, tiny_bundle, compile_for_npu, tmp_path):
    bundle = compile_for_npu(tiny_bundle, sizes={"samples": (14_000,)}, precision="fp16").path
    data = tiny.write_data(tmp_path / "data", 3)
    words = ["infer", bundle, "--data", data, "--output", tmp_path / "run", "--backend", "ascend"]
    wrong = call(*words)
    assert wrong.returncode == 1
    told = " ".join(wrong.stderr.split())
    assert "is compiled for fp16, not fp32: ask for --precision fp16. Or compile it: inferry compile" in told
    assert not (tmp_path / "run").exists()
    right = call(*words, "--precision", "fp16")
    assert (right.returncode, right.stderr.count("misused")) == (0, 0), right.stderr
    answers = rows_of(tmp_path / "run" / "predictions.jsonl")
    assert len(answers) == 3
    sounds = sorted(data.parent.glob("*.wav"))[:1]
    found = call("predict", bundle, *sounds, "--backend", "ascend", "--precision", "fp16")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.split(":", 1)[-1].strip() in {row["text"] for row in answers}
    planned = call("plan", bundle, "--data", data, "--batch-size", "1", "--backend", "ascend", "--precision", "fp16")
    assert (planned.returncode, planned.stderr) == (0, "")
