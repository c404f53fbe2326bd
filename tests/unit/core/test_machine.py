import os

import pytest

from inferry.core import machine
from inferry.core.machine import available_threads, package_version, processor_name, signature


def quota(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return machine._cgroup_quota(tmp_path)


V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "nonsense\n"}, None),
        ({"cpu.max": "a b\n"}, None),
        ({V1[0]: "-1\n", V1[1]: "100000\n"}, None),
        ({V1[0]: "200000\n", V1[1]: "100000\n"}, 2.0),
        ({V1[0]: "200000\n", V1[1]: "0\n"}, None),
        ({V1[0]: "200000\n"}, None),
        ({"cpu.max": "50000 100000", V1[0]: "200000\n", V1[1]: "100000\n"}, 0.5),
    ],
)
def test_the_quota_of_a_container(tmp_path, files, expected):
    assert quota(tmp_path, files) == expected


@pytest.mark.parametrize(("limit", "threads"), [(None, 6), (0.2, 1), (2.5, 3), (64.0, 6)])
def test_threads_are_bounded_by_affinity_and_quota(monkeypatch, limit, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(machine, "_cgroup_quota", lambda: limit)
    assert available_threads() == threads


def test_threads_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(machine, "_cgroup_quota", lambda: None)
    assert available_threads() == 5


def test_names_and_versions():
    assert processor_name()
    assert package_version("numpy")
    assert package_version("no-such-package-at-all") is None
    found = signature()
    assert {"machine", "system", "python", "inferry", "numpy", "onnxruntime"} <= set(found)


def test_a_machine_without_cpuinfo(monkeypatch):
    monkeypatch.setattr(machine, "Path", lambda _: (_ for _ in ()).throw(OSError))
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv64")
    assert processor_name() == "riscv64"
