"""What this process may use of the machine."""

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

INSTALL_REFERENCE: Final = "pip install torch==2.13.0 && pip install 'inferry[reference]'"
"""torch first and pinned: a range would bring the newest build with several GB of CUDA packages."""


def available_threads() -> int:
    """Processors this process may use: its CPU affinity, bounded by the container's quota (cgroup v2 and v1)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(affinity, math.ceil(quota)) if quota else affinity)


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    try:
        limit, period = (root / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = int((root / "cpu/cpu.cfs_quota_us").read_text())
        return quota / int((root / "cpu/cpu.cfs_period_us").read_text()) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def processor_name() -> str:
    """The processor's own name, or the architecture where none is given."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def package_version(package: str) -> str | None:
    """Version of an installed package, None if it is not installed; nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def signature() -> dict[str, str]:
    """Machine and versions that every number carries."""
    packages = ("inferry", "numpy", "onnxruntime", "soundfile", "soxr", "pillow", "tokenizers")
    versions = {name: found for name in packages if (found := package_version(name))}
    return {
        "machine": f"{processor_name()} ({platform.machine()}), {available_threads()} threads",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **versions,
    }
