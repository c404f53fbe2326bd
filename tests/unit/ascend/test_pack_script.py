"""run.sh, with stand-ins for atc and ais_bench that do what they are told by files in the pack."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferry.ascend.pack_script import PackRun, PackUnit, run_script

ATC = r"""#!/bin/sh
echo "atc $*" >>../calls
[ -f ../atc.fails ] && { echo "E10018: wrong"; exit "$(cat ../atc.fails)"; }
[ -f ../atc.silent ] || echo "ATC run success, welcome to the next use."
for word in "$@"; do case "$word" in --output=*) stem="${word#--output=}" ;; esac; done
om="$stem$(cat ../atc.suffix 2>/dev/null).om"
[ -f ../atc.empty ] || cat model.onnx ../atc.makes >"$om" 2>/dev/null || true
"""
BENCH = r"""#!/bin/sh
[ "$1" = --help ] && exit 0
echo "ais_bench $*" >>calls
while [ $# -gt 0 ]; do case "$1" in --output_dirname) name=$2 ;; --output) out=$2 ;; esac; shift; done
mkdir -p "$out/$name"
for file in 000000_0 000000_1; do echo outputs >"$out/$name/$file.bin"; done
[ -f "$name.loses" ] && rm "$out/$name/000000_1.bin"
[ -f "$name.adds" ] && echo outputs >"$out/$name/000001_0.bin"
[ -f "$name.fails" ] && { echo broken; exit 3; }
[ -f "$name.interrupts" ] && { kill -INT "$PPID"; exit 0; }
[ -f "$name.nothing" ] || echo '{}' >"$out/${name}_summary.json"
echo "[INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(2): 500.0"
"""
UNITS = (
    PackUnit(
        "model",
        ("atc", "--model=model.onnx", "--output=model", "--input_shape=a:1,2;b:1"),
        (
            PackRun("long_b1", ("long/00_a", "long/01_b"), 2, ("--dymDims", "a:1,2;b:1")),
            PackRun("long_b4", ("long/00_a", "long/01_b"), 2, ("--dymDims", "a:4,2;b:4")),
        ),
    ),
)
JOB = "0123abcd"


@pytest.fixture
def pack(tmp_path):
    """A pack with the stand-ins beside it."""
    folder = tmp_path / "pack"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.onnx").write_text("graph")
    (folder / "run.sh").write_text(run_script(UNITS, JOB))
    seal(folder)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("atc", ATC), ("ais_bench", BENCH)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return folder


def seal(folder, *more):
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and str(path.relative_to(folder)) in {"run.sh", "model/model.onnx", *more}
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def run(folder, **variables):
    path = os.pathsep.join([str(folder.parent / "bin"), "/usr/bin", "/bin"])
    environment = {"PATH": path, "AIS_BENCH": "ais_bench", **variables}
    return subprocess.run(
        ["sh", str(folder / "run.sh")], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def calls(folder):
    file = folder / "calls"
    return file.read_text().splitlines() if file.is_file() else []


def test_shellcheck_finds_nothing(tmp_path):
    file = tmp_path / "run.sh"
    file.write_text(run_script(UNITS, JOB))
    checker = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([checker, "--shell=sh", file], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_it_compiles_once_and_runs_every_gear(pack):
    done = run(pack, DEVICE="3")
    assert done.returncode == 0, done.stderr
    atc, *benches = calls(pack)
    assert atc == "atc --model=model.onnx --output=model --input_shape=a:1,2;b:1"
    folders = "inputs/long/00_a,inputs/long/01_b"
    assert benches == [
        f"ais_bench --model model/model.om --input {folders} --output results --output_dirname long_b{batch} "
        f"--outfmt BIN --device 3 --dymDims a:{batch},2;b:{batch}"
        for batch in (1, 4)
    ]
    assert "throughput" in done.stdout
    assert (pack / "results.tar.gz").is_file()
    system = (pack / "results" / "system.txt").read_text().splitlines()
    assert {"device: 3", f"pack: {JOB}"} <= set(system)
    made_by = sorted((pack / "results" / "logs").glob("*.made_by"))
    assert [file.name for file in made_by] == ["long_b1.made_by", "long_b4.made_by"]
    assert all(file.read_text().startswith(f"{JOB} 3 ") for file in made_by)


def test_what_is_done_is_not_done_again_unless_forced(pack):
    run(pack)
    first = calls(pack)
    assert run(pack).returncode == 0
    assert calls(pack) == first
    assert run(pack, FORCE="1").returncode == 0
    assert calls(pack) == first * 2


def test_an_om_that_atc_did_not_make_is_compiled_again(pack):
    run(pack)
    made = (pack / "model" / "model.om").read_text()
    (pack / "model" / "model.om").write_text("another")
    assert run(pack).returncode == 0
    assert (pack / "model" / "model.om").read_text() == made
    # The same om gives the same results: they stay.
    assert [line.split()[0] for line in calls(pack)] == ["atc", *["ais_bench"] * 2, "atc"]


def test_results_of_another_om_are_made_again(pack):
    run(pack)
    (pack / "atc.makes").write_text("another")
    (pack / "model" / "model.om").unlink()
    assert run(pack).returncode == 0
    assert [line.split()[0] for line in calls(pack)] == ["atc", "ais_bench", "ais_bench"] * 2


@pytest.mark.parametrize("changed", ["model/model.onnx", "inputs/long/00_a/000000.bin"])
def test_what_lies_there_of_another_pack_is_neither_taken_nor_lost(pack, changed):
    """As where two packs of one name are unpacked over each other."""
    assert run(pack).returncode == 0
    first = calls(pack)
    (pack / changed).parent.mkdir(parents=True, exist_ok=True)
    (pack / changed).write_text("another")
    seal(pack, changed)
    done = run(pack)
    assert done.returncode == 0, done.stderr
    assert calls(pack) == first * 2
    (aside,) = pack.glob("results.before.*")
    assert f"it is {aside.name} now" in done.stdout
    assert (aside / "long_b1" / "000000_0.bin").is_file()
    assert run(pack).returncode == 0
    assert calls(pack) == first * 2


def test_another_npu_runs_again_and_compiles_nothing(pack):
    run(pack, DEVICE="0")
    assert run(pack, DEVICE="5").returncode == 0
    assert [line.split()[0] for line in calls(pack)] == ["atc", *["ais_bench"] * 4]
    assert "--device 5 " in calls(pack)[-1]


def test_an_om_that_is_named_after_the_system_is_found(pack):
    (pack / "atc.suffix").write_text("_linux_aarch64")
    assert run(pack).returncode == 0
    assert "--model model/model_linux_aarch64.om " in calls(pack)[1]


def test_the_exit_code_of_atc_is_passed_on(pack):
    (pack / "atc.fails").write_text("17")
    done = run(pack)
    assert done.returncode == 17
    assert "E10018: wrong" in done.stderr
    assert len(calls(pack)) == 1
    assert not (pack / "results.tar.gz").exists()


@pytest.mark.parametrize(("lie", "said"), [("atc.silent", "does not say"), ("atc.empty", "there is no model/model.om")])
def test_a_success_of_atc_is_not_believed_without_its_words_and_its_file(pack, lie, said):
    (pack / lie).touch()
    done = run(pack)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(calls(pack)) == 1


@pytest.mark.parametrize("how", ["fails", "nothing", "loses", "adds"])
def test_a_gear_that_fails_is_named_and_the_others_run(pack, how):
    (pack / f"long_b1.{how}").touch()
    done = run(pack)
    assert done.returncode == 1
    assert "failed: long_b1" in done.stderr
    assert (pack / "results" / "long_b4_summary.json").is_file()
    assert not (pack / "results" / "long_b1").exists(), "what a failed run wrote is no result"
    assert not (pack / "results" / "long_b1_summary.json").exists()
    assert not (pack / "results.tar.gz").exists()
    assert {"loses": "1 of 2", "adds": "3 of 2"}.get(how, "of 2") in done.stderr
    (pack / f"long_b1.{how}").unlink()
    assert run(pack).returncode == 0
    assert [line.split("--output_dirname ")[1].split()[0] for line in calls(pack)[1:]] == [
        "long_b1",
        "long_b4",
        "long_b1",
    ]


def test_changed_files_are_refused(pack):
    (pack / "model" / "model.onnx").write_text("another")
    done = run(pack)
    assert done.returncode == 1
    assert "missing or changed" in done.stderr
    assert calls(pack) == []


def test_a_path_that_ais_bench_refuses_is_said_first(pack):
    moved = pack.parent / "with space"
    pack.rename(moved)
    done = run(moved)
    assert done.returncode == 1
    assert "letters, digits" in done.stderr
    assert calls(moved) == []


def test_why_ais_bench_cannot_be_run_is_said(pack):
    (pack.parent / "bin" / "ais_bench").write_text("#!/bin/sh\necho libascendcl.so is missing >&2\nexit 1\n")
    done = run(pack)
    assert done.returncode == 127
    assert "libascendcl.so is missing" in done.stderr


@pytest.mark.parametrize(("missing", "said"), [("atc", "set_env.sh"), ("ais_bench", "cannot be run")])
def test_a_missing_program_is_said_first(pack, missing, said):
    (pack.parent / "bin" / missing).unlink()
    done = run(pack)
    assert done.returncode == 127
    assert said in done.stderr
    assert calls(pack) == []


def test_modes_that_ais_bench_refuses_are_mended(pack):
    (pack / "model").chmod(0o777)
    assert run(pack).returncode == 0
    assert not (pack / "model").stat().st_mode & 0o022


def test_an_archive_of_an_earlier_time_does_not_stay_where_a_run_fails(pack):
    assert run(pack).returncode == 0
    (pack / "long_b4.fails").touch()
    assert run(pack, FORCE="1").returncode == 1
    assert not list(pack.glob("results.tar.gz*"))


def test_an_interruption_ends_it_and_it_goes_on_from_there(pack):
    (pack / "long_b1.interrupts").touch()
    done = run(pack)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert len(calls(pack)) == 2, "the second gear is not begun"
    (pack / "long_b1.interrupts").unlink()
    assert run(pack).returncode == 0
    assert [line.split()[0] for line in calls(pack)] == ["atc", *["ais_bench"] * 3]


def test_another_version_of_cann_compiles_and_runs_again(pack):
    cann = pack.parent / "cann"
    cann.mkdir()
    (cann / "version.cfg").write_text("[8.0]\n")
    assert run(pack, ASCEND_TOOLKIT_HOME=str(cann)).returncode == 0
    first = calls(pack)
    assert run(pack, ASCEND_TOOLKIT_HOME=str(cann)).returncode == 0
    assert calls(pack) == first
    (cann / "version.cfg").write_text("[8.5]\n")
    assert run(pack, ASCEND_TOOLKIT_HOME=str(cann)).returncode == 0
    assert calls(pack) == first * 2
    assert "cann: [8.5]" in (pack / "results" / "system.txt").read_text()


def test_the_other_file_of_cann_that_states_its_version_is_read_too(pack):
    info = pack.parent / "cann" / "aarch64-linux" / "ascend_toolkit_install.info"
    info.parent.mkdir(parents=True)
    info.write_text("package_name=Ascend-cann-toolkit\nversion=8.0.RC2\n")
    cann = str(pack.parent / "cann")
    assert run(pack, ASCEND_HOME_PATH=cann).returncode == 0
    first = calls(pack)
    assert "cann: version=8.0.RC2\n" in (pack / "results" / "system.txt").read_text()
    info.write_text("package_name=Ascend-cann-toolkit\nversion=8.0.RC3\n")
    assert run(pack, ASCEND_HOME_PATH=cann).returncode == 0
    assert calls(pack) == first * 2


def test_cann_is_found_around_atc(pack):
    real = pack.parent / "toolkit" / "x86_64-linux" / "bin" / "atc"
    real.parent.mkdir(parents=True)
    (pack.parent / "bin" / "atc").rename(real)
    (pack.parent / "bin" / "atc").symlink_to(real)
    (pack.parent / "toolkit" / "version.cfg").write_text("[8.0]\n")
    assert run(pack).returncode == 0
    assert "cann: [8.0]" in (pack / "results" / "system.txt").read_text()


def test_results_that_are_not_whole_any_more_are_made_again(pack):
    run(pack)
    (pack / "results" / "long_b4" / "000000_1.bin").unlink()
    assert run(pack).returncode == 0
    assert [line.split()[0] for line in calls(pack)] == ["atc", *["ais_bench"] * 3]
    assert (pack / "results" / "long_b4" / "000000_1.bin").is_file()


def test_what_is_noted_of_the_machine_is_from_the_last_time_that_something_ran(pack):
    run(pack)
    assert run(pack, AIS_BENCH=str(pack.parent / "bin" / "ais_bench")).returncode == 0
    assert "ais_bench: ais_bench\n" in (pack / "results" / "system.txt").read_text()


def test_another_folder_of_the_same_name_is_not_entered(pack):
    (pack.parent / "elsewhere" / "pack").mkdir(parents=True)
    path = os.pathsep.join([str(pack.parent / "bin"), "/usr/bin", "/bin"])
    environment = {"PATH": path, "AIS_BENCH": "ais_bench", "CDPATH": str(pack.parent / "elsewhere")}
    done = subprocess.run(
        ["sh", "pack/run.sh"], cwd=pack.parent, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert (pack / "results.tar.gz").is_file()


def test_a_folder_in_which_nothing_can_be_written_is_said_and_atc_is_not_blamed(pack):
    (pack / "results").write_text("a file is in the way")
    done = run(pack)
    assert done.returncode == 1
    assert "cannot be made" in done.stderr
    assert calls(pack) == []
