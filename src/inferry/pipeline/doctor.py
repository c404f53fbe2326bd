"""What this machine can run, and the line that installs what it cannot."""

from importlib.util import find_spec
from typing import Final

from inferry.backends.registry import backend_names, get_backend
from inferry.core.machine import INSTALL_REFERENCE, package_version, signature
from inferry.core.protocols import Backend
from inferry.pipeline.diagnosing.cann import cann_findings
from inferry.pipeline.diagnosing.finding import Finding

_NEEDS: Final = {"ascend": "acl"}
"""Backends whose runtime is found by a name that others have too, and the finding that looks closer."""


def doctor() -> list[Finding]:
    """All findings; nothing is imported that need not be."""
    findings = [Finding(name, ok=True, detail=value) for name, value in signature().items()]
    cann = cann_findings()
    closer = {finding.name: finding for finding in cann}
    findings += [_backend(name, get_backend(name), closer.get(_NEEDS.get(name, ""))) for name in backend_names()]
    return [*findings, _audio_formats(), _reference(), *cann]


def _backend(name: str, backend: Backend, runtime: Finding | None) -> Finding:
    """What a backend says of itself; that of another package need not say what it runs on."""
    missing = backend.missing()
    if missing is None and runtime is not None and not runtime.ok:
        missing = f"{runtime.name}: {runtime.detail}"
    runs = getattr(backend, "runs", "")
    state = "installed, not tried" if runtime else "ready" if runs else "installed"
    return Finding(f"backend {name}", missing is None, missing or (f"{state} ({runs})" if runs else state))


def _audio_formats() -> Finding:
    import soundfile

    wanted = ("WAV", "FLAC", "OGG", "MP3", "NIST")
    lacking = [name for name in wanted if name not in soundfile.available_formats()]
    detail = f"libsndfile {soundfile.__libsndfile_version__}: {', '.join(wanted)}"
    if lacking:
        detail = f"libsndfile lacks {', '.join(lacking)}: pip install --upgrade soundfile"
    return Finding("audio formats", not lacking, detail)


def _reference() -> Finding:
    if find_spec("torchaudio") is not None:
        return Finding("reference", ok=False, detail="torchaudio breaks transformers: pip uninstall torchaudio")
    versions = {name: package_version(name) for name in ("torch", "transformers")}
    lacking = [name for name, version in versions.items() if version is None]
    if lacking:
        return Finding(
            "reference",
            ok=False,
            detail=f"{', '.join(lacking)} missing, the first hop is not compared: {INSTALL_REFERENCE}",
        )
    return Finding("reference", ok=True, detail=", ".join(f"{name} {version}" for name, version in versions.items()))
