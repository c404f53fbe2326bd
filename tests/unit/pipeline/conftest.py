"""Fixtures of what compiles."""

import shutil

import pytest

from inferry.core.bundle import open_bundle


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    """A copy whose cache may be written."""
    return open_bundle(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))


@pytest.fixture
def no_atc(monkeypatch, tmp_path):
    """A PATH without any program."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
