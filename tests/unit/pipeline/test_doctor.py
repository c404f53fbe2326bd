import pytest
import soundfile

from inferry.pipeline import doctor as doctor_module
from inferry.pipeline.diagnosing.finding import Finding
from inferry.pipeline.doctor import doctor


def by_name():
    return {finding.name: finding for finding in doctor()}


def test_what_works_is_said():
    found = by_name()
    assert (found["backend onnxruntime"].ok, found["backend onnxruntime"].detail) == (True, "ready (cpu, fp32)")
    assert found["audio formats"].ok
    assert "libsndfile" in found["audio formats"].detail
    assert {"machine", "python", "inferry", "reference"} <= set(found)


def test_what_is_missing_comes_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(doctor_module, "find_spec", lambda _: None)
    monkeypatch.setattr(doctor_module, "package_version", lambda name: None if name == "torch" else "1")
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "", "FLAC": "", "OGG": "", "NIST": ""})
    monkeypatch.setattr(doctor_module, "get_backend", lambda _: Missing())
    found = by_name()
    assert not found["reference"].ok
    assert "torch missing" in found["reference"].detail
    assert "pip install" in found["reference"].detail
    assert (found["audio formats"].ok, "lacks MP3: pip install" in found["audio formats"].detail) == (False, True)
    assert (found["backend onnxruntime"].ok, found["backend onnxruntime"].detail) == (False, "pip install it")


class Missing:
    def missing(self):
        return "pip install it"


class FromOutside:
    """A backend that does not say what it runs on."""

    def missing(self):
        return None


def test_a_backend_is_not_said_to_be_what_another_is(monkeypatch):
    monkeypatch.setattr(doctor_module, "get_backend", lambda _: FromOutside())
    assert by_name()["backend onnxruntime"].detail == "installed"


def test_cann_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (by_name()["atc"].ok, by_name()["npu-smi"].ok) == (False, False)


@pytest.mark.parametrize("ok", [True, False])
def test_a_runtime_that_was_only_found_is_not_ready(monkeypatch, ok):
    monkeypatch.setattr(doctor_module, "cann_findings", lambda: [Finding("acl", ok, "found somewhere")])
    monkeypatch.setattr(doctor_module, "backend_names", lambda: ["ascend", "onnxruntime"])
    monkeypatch.setattr(doctor_module, "get_backend", lambda _: Found())
    found = by_name()
    expected = "installed, not tried (npu)" if ok else "acl: found somewhere"
    assert (found["backend ascend"].ok, found["backend ascend"].detail) == (ok, expected)
    assert found["backend onnxruntime"].detail == "ready (npu)"


class Found(FromOutside):
    runs = "npu"


def test_torchaudio_beside_transformers_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor_module, "find_spec", lambda name: object() if name == "torchaudio" else None)
    assert "pip uninstall torchaudio" in by_name()["reference"].detail


def test_the_reference_extra_is_found(monkeypatch):
    monkeypatch.setattr(doctor_module, "find_spec", lambda _: None)
    monkeypatch.setattr(doctor_module, "package_version", lambda _: "1.2")
    assert by_name()["reference"].detail == "torch 1.2, transformers 1.2"
