import sys
from pathlib import Path

import pytest

from inferry.pipeline.diagnosing import cann
from inferry.pipeline.diagnosing.cann import cann_findings

RULE = "+-------------------------------+-----------------+---------------------------------------+\n"
HEAD = (
    RULE
    + "| npu-smi 24.1.0.1                                 Version: 24.1.0.1                     |\n"
    + RULE
    + "| NPU     Name                  | Health          | Power(W)     Temp(C)   Hugepages      |\n"
    + "| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)         |\n"
    + RULE.replace("-", "=")
)
PROCESSES = (
    RULE
    + "| NPU     Chip                  | Process id      | Process name             | Memory(MB) |\n"
    + "| 0       0                     | 12345           | python3                  | 100        |\n"
)


def chip(npu, name, bus):
    return (
        f"| {npu:<7} {name:<21} | OK              | NA           49                0     / 0             |\n"
        f"| 0       0                     | {bus}    | 0            1448 / 44278                            |\n" + RULE
    )


TWO = HEAD + chip(0, "310P3", "0000:01:00.0") + chip(32, "310P3", "0000:02:00.0") + PROCESSES
BARE = (
    "| 0     910B3               | OK            | 93.6        41                0    / 0             |\n"
    "| 0                         | 0000:C1:00.0  | 0           0    / 0          3161 / 65536         |\n"
)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with nothing of CANN on it; gives its folder of programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME", raising=False)
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    monkeypatch.setattr(cann, "_BASES", (tmp_path / "Ascend",))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules")])
    (tmp_path / "modules").mkdir()
    for name in ("acl", "ais_bench"):  # Simulators of these names may be loaded by other tests.
        monkeypatch.delitem(sys.modules, name, raising=False)
    return programs


def program(folder: Path, name: str, script: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def listing(folder, table):
    (folder.parent / "table.txt").write_text(table)
    return program(folder, "npu-smi", f'while read -r line; do echo "$line"; done < {folder.parent / "table.txt"}')


def by_name():
    return {finding.name: finding for finding in cann_findings()}


def test_nothing_is_there_and_each_line_says_what_needs_it(machine):
    found = by_name()
    assert list(found) == ["CANN", "atc", "acl", "ais_bench, msame", "npu-smi"]
    assert not any(finding.ok for finding in found.values())
    assert "ASCEND_TOOLKIT_HOME (not set), ASCEND_HOME_PATH (not set)" in found["CANN"].detail
    assert str(machine.parent / "Ascend") in found["CANN"].detail
    assert "`inferry lint-atc` work without it" in found["atc"].detail
    assert "Runs on the CPU need none" in found["acl"].detail
    assert "run.sh of `inferry pack` needs ais_bench" in found["ais_bench, msame"].detail
    assert "say --soc yourself" in found["npu-smi"].detail


def toolkit(machine):
    """A folder of CANN whose programs are on the PATH by links; gives the folder."""
    root = machine.parent / "toolkit"
    (machine / "atc").symlink_to(program(root / "compiler" / "bin", "atc", f": > {machine.parent / 'touched'}"))
    return root


def test_programs_are_looked_up_and_not_run(machine):
    touched = machine.parent / "touched"
    toolkit(machine)
    for name in ("ais_bench", "msame"):
        program(machine, name, f": > {touched}")
    found = by_name()
    assert (found["atc"].ok, found["atc"].detail) == (True, str(machine / "atc"))
    assert found["ais_bench, msame"].detail == f"ais_bench: {machine / 'ais_bench'}, msame: {machine / 'msame'}"
    assert not touched.exists()


def test_a_program_and_a_module_of_the_same_names_are_not_canns(machine):
    program(machine, "atc")
    module = machine.parent / "modules" / "acl.py"
    module.touch()
    found = by_name()
    assert not any(found[name].ok for name in ("CANN", "atc", "acl"))
    assert found["atc"].detail.startswith(
        f"found {machine / 'atc'}, which is not in a CANN folder: perhaps another program"
    )
    assert found["acl"].detail.startswith(f"found {module}, which is neither compiled nor in a CANN folder")


def test_a_folder_called_acl_is_not_canns(machine):
    (machine.parent / "modules" / "acl").mkdir()
    assert not by_name()["acl"].ok


def test_a_version_file_that_cannot_be_read_states_nothing(machine):
    program(machine, "atc")
    (machine / "version.cfg").mkdir()
    assert not by_name()["atc"].ok


def test_modules_are_found_and_not_imported(machine, monkeypatch):
    package = toolkit(machine) / "python" / "site-packages" / "acl"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit")
    monkeypatch.setattr(sys, "path", [str(package.parent), *sys.path])
    (machine.parent / "modules" / "ais_bench").mkdir()
    (machine.parent / "modules" / "ais_bench" / "__init__.py").write_text("raise SystemExit")
    found = by_name()
    assert (found["acl"].ok, found["acl"].detail) == (True, f"found {package / '__init__.py'}, not tried")
    assert found["ais_bench, msame"].detail.startswith("module ais_bench: ")


def test_a_compiled_module_is_not_tried(machine):
    module = machine.parent / "modules" / "acl.so"
    module.write_bytes(b"no library at all")
    found = by_name()["acl"]
    assert (found.ok, found.detail) == (True, f"found {module}, not tried")


@pytest.mark.parametrize("variable", ["ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"])
def test_the_version_of_version_cfg(variable, machine, monkeypatch):
    root = machine.parent / "toolkit"
    root.mkdir()
    text = "runtime_running_version=[7.3.0.1.231:7.0.RC1]\ntoolkit_running_version=[7.3.0.1.231:8.0.RC2]\n"
    (root / "version.cfg").write_text(text)
    monkeypatch.setenv(variable, str(root))
    assert by_name()["CANN"].detail == f"8.0.RC2 (says {root / 'version.cfg'})"


@pytest.mark.parametrize("place", ["ascend-toolkit/latest", "cann"])
def test_the_version_of_the_installer(place, machine):
    folder = machine.parent / "Ascend" / place / "aarch64-linux"
    folder.mkdir(parents=True)
    file = folder / "ascend_toolkit_install.info"
    file.write_text("package_name=Ascend-cann-toolkit\nversion=8.5.0\ninnerversion=V100R001C25\narch=aarch64\n")
    found = by_name()["CANN"]
    assert (found.ok, found.detail) == (True, f"8.5.0 (says {file})")


def test_the_version_around_atc(machine):
    root = machine.parent / "elsewhere"
    real = program(root / "compiler" / "bin", "atc")
    (machine / "atc").symlink_to(real)
    (root / "version.cfg").write_text("toolkit_running_version=[8.1.RC1]\n")
    assert by_name()["CANN"].detail.startswith("8.1.RC1 ")


def test_a_folder_without_a_version_is_no_version(machine, monkeypatch):
    root = toolkit(machine)
    monkeypatch.setenv("ASCEND_HOME_PATH", str(root))
    found = by_name()["CANN"]
    assert (found.ok, found.detail.startswith(f"{root}, of unknown version: no version.cfg or ")) == (True, True)


def test_any_other_folder_is_not_canns(machine, monkeypatch):
    monkeypatch.setenv("ASCEND_HOME_PATH", str(machine.parent))
    assert not by_name()["CANN"].ok
    monkeypatch.setenv("ASCEND_HOME_PATH", str(machine.parent / "gone"))
    found = by_name()["CANN"]
    assert not found.ok
    assert f"ASCEND_HOME_PATH ({machine.parent / 'gone'})" in found.detail


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (TWO, "2 x 310P3, --soc Ascend310P3"),
        (BARE, "1 x 910B3, --soc Ascend910B3"),
        (
            HEAD + chip(0, "Ascend910", "0000:9D:00.0"),
            "1 x Ascend910, whose soc name `npu-smi info -t board -i NPU` tells",
        ),
    ],
)
def test_the_chips(table, told, machine):
    listing(machine, table)
    found = by_name()["npu-smi"]
    assert (found.ok, found.detail) == (True, f"{machine / 'npu-smi'}: {told}")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'dcmi module initialize failed. ret is -8005' >&2; exit 255", "failed (255): dcmi module initialize"),
        ("exit 3", "failed (3): no word"),
        ("echo nothing", "lists no chip"),
        ("read -r line < /dev/zero", "did not answer within 0.3 s"),
    ],
)
def test_npu_smi_that_tells_nothing(script, told, machine, monkeypatch):
    monkeypatch.setattr(cann, "SECONDS", 0.3)
    program(machine, "npu-smi", script)
    found = by_name()["npu-smi"]
    assert not found.ok
    assert told in found.detail


def test_npu_smi_of_another_machine(machine):
    (machine / "npu-smi").write_bytes(b"\x7fELF for something else")
    (machine / "npu-smi").chmod(0o755)
    found = by_name()["npu-smi"]
    assert not found.ok
    assert "does not run: " in found.detail
