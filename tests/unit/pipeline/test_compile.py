import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from inferry.backends.ascend_model import read_origin
from inferry.core.bundle import verify
from inferry.core.compiled import FILE, find_compiled, read_compiled
from inferry.pipeline.compile import FAILED_LOG, SCRIPT, CompileOptions, compile_bundle
from inferry.pipeline.compiling import running
from inferry.pipeline.compiling.running import LOG

P3 = "Ascend310P3"
OPTIONS = CompileOptions(soc=P3, precision="fp16", sizes={"samples": (16_000,)}, batch_sizes=(1, 4))


@pytest.fixture
def atc(monkeypatch, tmp_path):
    """Puts an atc on the PATH whose body is shell; each run adds a line to the file that is given back."""
    calls = tmp_path / "calls"

    def install(body):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        stem = 'for word in "$@"; do case $word in --output=*) stem=${word#*=};; esac; done'
        (folder / "atc").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{stem}\n{body}\n', encoding="utf-8")
        (folder / "atc").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return calls

    return install


GOOD = 'echo om > "$stem.om"; echo "ATC run success, welcome to the next use."'


def artifacts(bundle):
    return find_compiled(bundle.model, "ascend")


def test_without_atc_the_command_is_written_and_nothing_is_claimed(bundle, no_atc):
    made = compile_bundle(bundle, OPTIONS)
    assert not made.ran
    assert not made.failed
    assert made.exit_code == 0
    (found,) = artifacts(bundle)
    assert found == made.compiled
    assert not found.is_complete
    assert found.units[0].om is None
    assert sorted(path.name for path in found.folder.iterdir()) == [SCRIPT, FILE]
    assert os.access(found.folder / SCRIPT, os.X_OK)
    assert verify(bundle.path).problems == ()


def test_the_artifact_describes_itself(bundle, no_atc):
    made = compile_bundle(bundle, OPTIONS).compiled
    assert (made.backend, made.device, made.precision, made.bundle) == ("ascend", P3, "fp16", bundle.digest)
    assert made.key.startswith(f"{P3}-fp16-")
    assert made.inputs == bundle.manifest.inputs
    assert made.outputs == bundle.manifest.outputs
    assert [dict(gear) for gear in made.units[0].gears] == [
        {"batch": rows, "sizes": {"samples": 16_000}} for rows in (1, 4)
    ]
    assert made.model_sha256 == bundle.manifest.files["model.onnx"].sha256


def test_the_simulated_atc_compiles_what_is_written(bundle, cann, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{cann.install(tmp_path)}:{os.environ['PATH']}")
    made = compile_bundle(bundle, OPTIONS)
    log = (made.compiled.folder / LOG).read_text(encoding="utf-8")
    assert made.ran, log
    assert not made.failed, log
    unit = made.compiled.units[0]
    assert (unit.om, unit.returncode) == ("model.om", 0)
    assert log.startswith("$ atc --model=../../../model.onnx")
    origin = read_origin(made.compiled.folder / "model.om")
    assert (origin.inputs, origin.outputs, origin.precision) == (
        bundle.manifest.inputs,
        bundle.manifest.outputs,
        "fp16",
    )


def test_the_script_compiles_what_compile_compiles(bundle, cann, monkeypatch, tmp_path):
    written = compile_bundle(bundle, OPTIONS, run=False).compiled.folder
    environment = {**os.environ, "PATH": f"{cann.install(tmp_path)}:{os.environ['PATH']}"}
    ran = subprocess.run([written / SCRIPT], env=environment, cwd="/", check=True, capture_output=True, text=True)
    assert "ATC run success" in ran.stdout
    assert (written / "model.om").is_file()


def test_the_version_of_cann_is_recorded_where_it_compiled(bundle, atc, monkeypatch, tmp_path):
    (tmp_path / "cann").mkdir()
    (tmp_path / "cann" / "version.cfg").write_text("toolkit_running_version=[7.3.0.1.231:8.0.RC2]\n", encoding="utf-8")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path / "cann"))
    assert "cann" not in compile_bundle(bundle, OPTIONS, run=False).compiled.tools
    atc(GOOD)
    assert compile_bundle(bundle, OPTIONS).compiled.tools["cann"] == "8.0.RC2"


def test_a_second_identical_compile_is_found_in_the_cache(bundle, atc):
    calls = atc(GOOD)
    first = compile_bundle(bundle, OPTIONS)
    again = compile_bundle(bundle, OPTIONS)
    assert (first.cached, again.cached) == (False, True)
    assert (again.ran, again.failed) == (False, False)
    assert again.compiled == first.compiled
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 1
    assert compile_bundle(bundle, OPTIONS, force=True).ran
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("content", ["o", "mo\n"])
def test_an_om_that_was_damaged_is_compiled_again(bundle, atc, content):
    atc(GOOD)
    om = compile_bundle(bundle, OPTIONS).compiled.folder / "model.om"
    om.write_text(content, encoding="utf-8")
    again = compile_bundle(bundle, OPTIONS)
    assert (again.ran, again.cached, again.failed) == (True, False, False)
    assert om.read_text(encoding="utf-8") == "om\n"


def test_an_om_of_another_size_takes_the_place_of_the_earlier_one(bundle, atc):
    atc(GOOD)
    compile_bundle(bundle, OPTIONS)
    atc(GOOD.replace("echo om", "echo longer"))
    made = compile_bundle(bundle, OPTIONS, force=True)
    assert (made.ran, made.failed, made.kept) == (True, False, False)
    assert (made.compiled.folder / "model.om").read_text(encoding="utf-8") == "longer\n"
    assert read_compiled(made.compiled.folder).units[0].size == len("longer\n")


def test_the_last_command_decides_which_om_runs(bundle, atc):
    atc(GOOD)
    first = compile_bundle(bundle, OPTIONS).compiled
    other = compile_bundle(bundle, replace(OPTIONS, batch_sizes=(1, 2))).compiled
    assert [one.key for one in artifacts(bundle)] == [first.key, other.key]
    again = compile_bundle(bundle, OPTIONS)
    assert again.cached
    assert "`inferry infer` runs this one now" in again.notes[-1]
    assert [one.key for one in artifacts(bundle)] == [other.key, first.key]
    assert again.notes[:-1] == compile_bundle(bundle, OPTIONS).notes, "the newest needs no such words"


def test_what_was_only_written_is_compiled_once_atc_is_there(bundle, atc):
    written = compile_bundle(bundle, OPTIONS, run=False)
    atc(GOOD)
    made = compile_bundle(bundle, OPTIONS)
    assert made.compiled.key == written.compiled.key
    assert (made.ran, made.cached) == (True, False)
    assert read_compiled(made.compiled.folder).is_complete


def test_an_om_that_went_missing_is_compiled_again(bundle, atc):
    atc(GOOD)
    (compile_bundle(bundle, OPTIONS).compiled.folder / "model.om").unlink()
    assert compile_bundle(bundle, OPTIONS).ran


def test_a_broken_description_is_written_anew(bundle, atc):
    atc(GOOD)
    (compile_bundle(bundle, OPTIONS).compiled.folder / FILE).write_text("{", encoding="utf-8")
    assert compile_bundle(bundle, OPTIONS).ran
    assert artifacts(bundle)[0].is_complete


@pytest.mark.parametrize("name", ["model_linux_aarch64.om", "model_linux_x86_64.om"])
def test_an_om_that_atc_renames_is_found(bundle, atc, name):
    atc(f'echo om > {name}; echo "ATC run success"')
    made = compile_bundle(bundle, OPTIONS)
    assert made.compiled.units[0].om == name
    assert read_origin(made.compiled.folder / name) is not None


FAILURES = [  # what atc does, our exit code, what is told
    ('echo "E10016: Opname a is not found."; exit 5', 5, "E10016"),
    ('echo om > "$stem.om"; echo "E40000: no kernel"; exit 1', 1, "E40000"),
    ('echo om > "$stem.om"; echo "done"', 1, "atc"),
    ('echo om > "$stem.om"; echo "ATC run success"; exit 2', 2, None),
    ('echo "ATC run success"', 1, None),
    ('touch "$stem.om"; echo "ATC run success"', 1, None),
    ('echo "ATC run success"; kill -9 $$', 137, None),
]


@pytest.mark.parametrize(("body", "code", "told"), FAILURES)
def test_no_success_is_claimed_that_did_not_happen(bundle, atc, body, code, told):
    atc(body)
    made = compile_bundle(bundle, OPTIONS)
    assert made.ran
    assert made.failed
    assert made.exit_code == code
    assert [problem.code for problem in made.readings[0].problems] == ([told] if told else [])
    (found,) = artifacts(bundle)
    assert found.units[0].om is None
    assert not found.is_complete
    assert not made.to_json()["ok"]
    assert not made.to_json()["compiled"]
    assert (found.folder / LOG).is_file()
    assert not (found.folder / "model.json").exists()


def test_a_failure_is_not_kept_as_an_answer(bundle, atc):
    atc("exit 3")
    assert compile_bundle(bundle, OPTIONS).exit_code == 3
    atc(GOOD)
    assert not compile_bundle(bundle, OPTIONS).failed


@pytest.mark.parametrize("body", ['echo "E40000: no kernel"; exit 7', 'echo "ATC run success"'])
def test_a_failure_does_not_take_the_place_of_an_om(bundle, atc, body):
    atc(GOOD)
    good = compile_bundle(bundle, OPTIONS).compiled
    atc(body)
    made = compile_bundle(bundle, OPTIONS, force=True)
    assert (made.failed, made.kept, made.ran) == (True, True, True)
    assert made.exit_code in {1, 7}
    assert not made.compiled.is_complete
    assert artifacts(bundle) == (good,)
    assert good.is_complete
    assert (good.folder / FAILED_LOG).read_text(encoding="utf-8").endswith(body.split('"')[1] + "\n")
    assert sorted(path.name for path in good.folder.parent.iterdir()) == [good.key]
    atc(GOOD)
    assert compile_bundle(bundle, OPTIONS, force=True).compiled == good
    assert not (good.folder / FAILED_LOG).exists()


def test_force_without_atc_compiles_nothing_and_takes_nothing_away(bundle, atc, monkeypatch, tmp_path):
    atc(GOOD)
    good = compile_bundle(bundle, OPTIONS).compiled
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    made = compile_bundle(bundle, OPTIONS, force=True)
    assert (made.cached, made.ran, made.compiled) == (True, False, good)
    assert "nothing was compiled again" in made.notes[-1]
    assert artifacts(bundle) == (good,)


def test_what_runs_is_told_with_its_log(bundle, atc):
    atc(GOOD)
    told = []
    compile_bundle(bundle, replace(OPTIONS, split=True), tell=told.append)
    assert [text.partition(";")[0] for text in told] == [
        "atc compiles model_samples16000_b1",
        "atc compiles model_samples16000_b4",
    ]
    assert all(text.endswith(LOG) for text in told)


def test_split_makes_one_static_om_for_each_shape(bundle, atc):
    calls = atc(GOOD)
    made = compile_bundle(bundle, replace(OPTIONS, split=True))
    assert [unit.stem for unit in made.compiled.units] == ["model_samples16000_b1", "model_samples16000_b4"]
    assert [unit.om for unit in made.compiled.units] == ["model_samples16000_b1.om", "model_samples16000_b4.om"]
    assert "dynamic" not in calls.read_text(encoding="utf-8")
    assert made.compiled.is_complete


def test_the_first_om_that_fails_ends_a_split_compile(bundle, atc):
    calls = atc("exit 4")
    made = compile_bundle(bundle, replace(OPTIONS, split=True))
    assert [unit.returncode for unit in made.compiled.units] == [4, None]
    assert made.exit_code == 4
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize(
    "ending", [(signal.SIGINT, 130, "nothing was written"), (signal.SIGTERM, 143, "")], ids=["int", "term"]
)
def test_an_interruption_ends_atc_and_leaves_nothing(tiny_bundle, atc, tmp_path, ending):
    number, code, said = ending
    bundle = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    atc(f"echo $$ > {tmp_path}/pid; sleep 60 & echo $! >> {tmp_path}/pid; wait")
    words = ["-m", "inferry", "compile", str(bundle), "--soc", P3, "--sizes", "samples=16000"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or (tmp_path / "pid").read_text().count("\n") < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code
    assert said in told
    assert "Traceback" not in told
    assert list((bundle / "compiled" / "ascend").iterdir()) == []
    for pid in (tmp_path / "pid").read_text().split():
        assert_ended(int(pid))


def test_what_ignores_the_first_signal_is_ended_too(bundle, atc, monkeypatch, tmp_path):
    monkeypatch.setattr(running, "_PATIENCE", 0.2)
    atc(f"trap '' TERM; echo $$ > {tmp_path}/pid; (trap '' TERM; sleep 60) & echo $! >> {tmp_path}/pid; wait")

    wait, interruptions = subprocess.Popen.wait, [KeyboardInterrupt]

    def interrupted(process, timeout=None):
        while not (tmp_path / "pid").exists() or (tmp_path / "pid").read_text().count("\n") < 2:
            time.sleep(0.02)
        if interruptions:
            raise interruptions.pop()
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compile_bundle(bundle, OPTIONS)
    for pid in (tmp_path / "pid").read_text().split():
        assert_ended(int(pid))


def assert_ended(pid):
    """Soon, that is: a killed process needs a moment."""
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    """A child of atc that nobody waits for may stay a zombie, which runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_atc_would_refuse_is_neither_run_nor_written(bundle, atc):
    calls = atc(GOOD)
    model = onnx.load(bundle.model)
    model.opset_import[0].version = 21
    onnx.save(model, bundle.model)
    made = compile_bundle(bundle, OPTIONS)
    assert [problem.code for problem in made.problems] == ["E16002"]
    assert (made.failed, made.ran, made.exit_code) == (True, False, 1)
    assert made.to_json()["problems"][0]["code"] == "E16002"
    assert not calls.exists()
    assert artifacts(bundle) == ()


def test_a_folder_of_ones_own_has_no_cache(bundle, atc, tmp_path):
    calls = atc(GOOD)
    folder = tmp_path / "package"
    folder.mkdir()
    for _ in range(2):
        made = compile_bundle(bundle, OPTIONS, folder=folder, model="model.onnx", run=False)
    assert made.compiled.folder == folder
    assert not made.cached
    assert made.compiled.units[0].command[1] == "--model=model.onnx"
    assert "--model=model.onnx" in (folder / SCRIPT).read_text(encoding="utf-8")
    assert not calls.exists()
    assert artifacts(bundle) == ()
