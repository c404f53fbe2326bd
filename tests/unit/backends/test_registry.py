from importlib.metadata import EntryPoint

import pytest

from inferry.backends import onnxruntime, registry
from inferry.backends.onnxruntime import OnnxRuntime
from inferry.backends.registry import backend_names, get_backend
from inferry.core.errors import BackendError, UsageError
from inferry.core.protocols import SessionOptions


class Outsider:
    name = "outsider"


def test_names_are_the_registry_keys():
    assert backend_names() == ["ascend", "onnxruntime"]
    assert [get_backend(name).name for name in backend_names()] == backend_names()


def test_an_unknown_name_lists_what_is_available():
    with pytest.raises(UsageError, match="unknown backend 'tensorrt'; available: ascend, onnxruntime"):
        get_backend("tensorrt")


def test_a_package_adds_a_backend(monkeypatch):
    point = EntryPoint("outsider", "somewhere:Outsider", "inferry.backends")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "inferry.backends" else [])
    monkeypatch.setattr(EntryPoint, "load", lambda self: Outsider)
    assert backend_names() == ["ascend", "onnxruntime", "outsider"]
    assert isinstance(get_backend("outsider"), Outsider)
    with pytest.raises(UsageError, match="available: ascend, onnxruntime, outsider"):
        get_backend("stranger")


def test_a_missing_runtime_names_the_line_that_installs_it(monkeypatch):
    assert OnnxRuntime().missing() is None
    monkeypatch.setattr(onnxruntime, "package_version", lambda _: None)
    assert "pip install onnxruntime" in OnnxRuntime().missing()


def test_another_device_than_asked_for_is_an_error(monkeypatch, tiny_bundle):
    import onnxruntime as ort

    monkeypatch.setattr(ort.InferenceSession, "get_providers", lambda _: ["OtherProvider"])
    with pytest.raises(BackendError, match="it uses OtherProvider"):
        OnnxRuntime().open(tiny_bundle.model, SessionOptions())
