import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.ascend.atc_write import PRECISIONS, write_command, write_script
from inferry.ascend.gear_set import Gear, GearSet
from inferry.core.specs import TensorSpec

INPUTS = (TensorSpec("ids", "int64", ("batch", "tokens")), TensorSpec("mask", "int64", ("batch", "tokens")))
GEARS = GearSet(INPUTS, tuple(Gear(rows, {"tokens": tokens}) for tokens in (32, 64) for rows in (1, 4)))


def written(precision="fp16", **extra):
    return write_command(
        GEARS, model="../model.onnx", stem="model", soc="Ascend310P3", precision=precision, extra=extra
    )


def test_a_command_says_everything_in_atcs_words():
    assert written() == (
        "atc",
        "--model=../model.onnx",
        "--framework=5",
        "--output=model",
        "--soc_version=Ascend310P3",
        "--input_format=ND",
        "--input_shape=ids:-1,-1;mask:-1,-1",
        "--dynamic_dims=1,32,1,32;4,32,4,32;1,64,1,64;4,64,4,64",
        "--precision_mode_v2=fp16",
        "--log=error",
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_one_that_atc_knows(precision):
    assert lint(parse_command(written(precision)), None, "Ascend310P3") == ()


def test_fp32_is_the_mode_that_keeps_every_operator_as_it_stands():
    assert "--precision_mode_v2=origin" in written("fp32")


def test_mixed_is_fp16_with_what_is_kept_beside_it():
    assert written("mixed", keep_dtype="keep.cfg") == (*written("fp16"), "--keep_dtype=keep.cfg")


def test_further_options_come_last_and_win():
    assert written(log="debug", jit_compile="1")[-2:] == ("--log=debug", "--jit_compile=1")


def test_the_script_says_what_the_command_says():
    script = write_script([written(), ("atc", "--output=a b")])
    lines = [shlex.split(part.replace("\\\n", "")) for part in script.split("\n\n")[1:]]
    assert lines == [list(written()), ["atc", "--output=a b"]]


def fake_atc(folder, body):
    folder.mkdir()
    (folder / "atc").write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    (folder / "atc").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_the_script_runs_from_anywhere_in_its_own_folder(tmp_path):
    environment = fake_atc(tmp_path / "bin", 'pwd >> calls; for word in "$@"; do echo "$word" >> calls; done')
    folder = tmp_path / "my artifact"
    folder.mkdir()
    (folder / "atc.sh").write_text(write_script([written()]), encoding="utf-8")
    subprocess.run(["sh", str(folder / "atc.sh")], cwd="/", env=environment, check=True)
    assert (folder / "calls").read_text(encoding="utf-8").splitlines() == [str(folder), *written()[1:]]


def test_the_script_runs_from_a_folder_whose_name_begins_with_a_dash(tmp_path):
    environment = fake_atc(tmp_path / "bin", "pwd >> calls")
    folder = tmp_path / "-b x"
    folder.mkdir()
    (folder / "atc.sh").write_text(write_script([written()]), encoding="utf-8")
    subprocess.run(["sh", "--", "-b x/atc.sh"], cwd=tmp_path, env=environment, check=True)
    assert (folder / "calls").read_text(encoding="utf-8") == f"{folder}\n"


def test_the_script_ends_with_the_exit_code_of_the_first_command_that_fails(tmp_path):
    environment = fake_atc(tmp_path / "bin", 'echo "$1" >> calls; exit 7')
    (tmp_path / "atc.sh").write_text(write_script([("atc", "--a=1"), ("atc", "--a=2")]), encoding="utf-8")
    ran = subprocess.run(["sh", str(tmp_path / "atc.sh")], env=environment, check=False)
    assert ran.returncode == 7
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "--a=1\n"


def test_the_script_passes_shellcheck(tmp_path):
    (tmp_path / "atc.sh").write_text(write_script([written()]), encoding="utf-8")
    checker = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([checker, "--shell=sh", tmp_path / "atc.sh"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
