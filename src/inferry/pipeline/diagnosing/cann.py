"""What of CANN, the software of Ascend NPUs, is on this machine.

Files are read and programs are looked up; only ``npu-smi info`` is run, and not for long. Where CANN says its version,
and how ``npu-smi`` writes its table, is known from its documentation and public logs:
``/usr/local/Ascend/ascend-toolkit/latest/version.cfg`` has ``toolkit_running_version=[7.3.0.1.231:8.0.RC2]``,
``<root>/<arch>-linux/ascend_toolkit_install.info`` has ``version=8.0.RC2``. The module acl is a shared object, in older
versions at ``<root>/pyACL/python/site-packages/acl/acl.so``, in newer ones at ``<root>/python/site-packages/acl.so``.

A name alone proves nothing: Debian has a game called atc, and anyone may call a module acl. So a thing is said to be
there only where it lies in a folder that looks like CANN's, or, for acl, where it is compiled.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from inferry.ascend.atc_soc import soc_family
from inferry.pipeline.diagnosing.finding import Finding

SECONDS: Final = 10.0
"""How long ``npu-smi`` may take."""

_VARIABLES: Final = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
_USUAL: Final = ("ascend-toolkit/latest", "cann", "latest")
_BASES: Final = (Path("/usr/local/Ascend"), Path("~/Ascend"))
_VERSION_FILES: Final = ("version.cfg", "*-linux/ascend_toolkit_install.info")
_LAYOUT: Final = (
    *("compiler/bin/atc", "atc/bin/atc", "*-linux/bin/atc", "opp/built-in"),
    *("python/site-packages/acl*.so", "python/site-packages/acl/acl*.so", "pyACL/python/site-packages/acl/acl*.so"),
)
"""What lies in a folder of CANN of any version; `_VERSION_FILES` besides."""

_DEPTH: Final = 6
"""How many folders above a program or module its CANN may begin."""

_VERSION: Final = re.compile(r"^(?:toolkit_running_version=\[(?:[^\]:]*:)?([^\]]+)\]|version=(\S+))", re.MULTILINE)
_CHIP: Final = re.compile(r"^\|\s*\d+\s+(\w+)\s*\|\s*[A-Za-z]+\s*\|", re.MULTILINE)
"""NPU, name and health; the second row of a chip has its bus in the place of the health, that of a process a number."""


def cann_findings() -> list[Finding]:
    """CANN itself, what compiles for it, what runs on it, and the chip; what is missing comes with what needs it."""
    return [_toolkit(), _atc(), _acl(), _measuring(), _chip()]


def cann_version() -> str | None:
    """The version of CANN that its files state, the likeliest place first; None where none does."""
    return next((version for version, _ in _stated()), None)


def _stated() -> Iterator[tuple[str, Path]]:
    """Versions, and the files that state them."""
    for root in dict.fromkeys(_roots()):
        yield from _versions_in(root)


def _versions_in(root: Path) -> Iterator[tuple[str, Path]]:
    for file in (found for pattern in _VERSION_FILES for found in sorted(root.glob(pattern))):
        with suppress(OSError):  # It is a folder, or not ours to read: then it states nothing.
            if match := _VERSION.search(file.read_text(encoding="utf-8", errors="replace")):
                yield match[1] or match[2], file


def _toolkit() -> Finding:
    for version, file in _stated():
        return Finding("CANN", ok=True, detail=f"{version} (says {file})")
    roots = list(dict.fromkeys(_roots()))
    there = [root for root in roots if _is_cann(root)]
    if there:
        return Finding(
            "CANN", ok=True, detail=f"{there[0]}, of unknown version: no {' or '.join(_VERSION_FILES)} in it"
        )
    looked = [f"{name} ({os.environ.get(name) or 'not set'})" for name in _VARIABLES]
    places = ", ".join([*looked, *map(str, _BASES)])
    needed = "only compiling for an NPU and running on one need it; it is on hiascend.com"
    return Finding("CANN", ok=False, detail=f"not found in {places}; {needed}")


def _roots() -> Iterator[Path]:
    """Where CANN may lie, the likeliest first: what its set_env.sh says, around atc, where its installer puts it."""
    yield from (Path(os.environ[name]) for name in _VARIABLES if os.environ.get(name))
    if atc := shutil.which("atc"):
        yield from list(Path(atc).resolve().parents)[1:4]
    yield from (base.expanduser() / folder for base in _BASES for folder in _USUAL)


def _is_cann(root: Path) -> bool:
    """Whether a folder states a version of CANN, or has what CANN has."""
    found = (next(root.glob(pattern), None) for pattern in _LAYOUT)
    return next(_versions_in(root), None) is not None or any(found)


def _lies_in_cann(file: str) -> bool:
    """Whether a program or module lies in a folder of CANN, under this name or where its link leads."""
    places = (Path(file).absolute(), Path(file).resolve())
    return any(_is_cann(root) for place in places for root in list(place.parents)[:_DEPTH])


def _atc() -> Finding:
    found = shutil.which("atc")
    if found is None:
        missing = (
            "not on the PATH; it compiles for an NPU. `inferry optimize --target ascend310p` and `inferry lint-atc`"
            " work without it. If CANN is installed, run its set_env.sh in this shell"
        )
        return Finding("atc", ok=False, detail=missing)
    if not _lies_in_cann(found):
        other = f"found {found}, which is not in a CANN folder: perhaps another program. CANN's set_env.sh puts its own"
        return Finding("atc", ok=False, detail=f"{other} before it")
    return Finding("atc", ok=True, detail=found)


def _acl() -> Finding:
    found = _module("acl")
    if found is None:
        missing = (
            "no Python module of this name; `--backend ascend` runs networks through it. Runs on the CPU need none. It"
            " is a part of CANN: run its set_env.sh in this shell"
        )
        return Finding("acl", ok=False, detail=missing)
    if not (found.endswith(tuple(EXTENSION_SUFFIXES)) or _lies_in_cann(found)):
        other = (
            f"found {found}, which is neither compiled nor in a CANN folder: perhaps another module. CANN's set_env.sh"
            " puts its own before it"
        )
        return Finding("acl", ok=False, detail=other)
    return Finding("acl", ok=True, detail=f"found {found}, not tried")


def _measuring() -> Finding:
    """The tools that time a compiled network on an NPU."""
    programs = {name: shutil.which(name) for name in ("ais_bench", "msame")}
    found = [f"{name}: {path}" for name, path in programs.items() if path]
    if (module := _module("ais_bench")) is not None:
        found.insert(0, f"module ais_bench: {module}")
    missing = (
        "neither ais_bench nor msame; they time a compiled network on an NPU. The run.sh of `inferry pack` needs "
        "ais_bench where it runs; `inferry bench --backend ascend` needs neither"
    )
    return Finding("ais_bench, msame", bool(found), ", ".join(found) or missing)


def _chip() -> Finding:
    name = "npu-smi"
    program = shutil.which(name)
    if program is None:
        detail = "not on the PATH; it comes with an NPU's driver and names the chip. Without it, say --soc yourself"
        return Finding(name, ok=False, detail=detail)
    try:
        done = subprocess.run(  # noqa: S603 -- the vendor's own program, from the user's PATH, without any input
            [program, "info"], capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(name, ok=False, detail=f"{program} did not answer within {SECONDS:g} s: is the driver well?")
    except OSError as error:
        return Finding(name, ok=False, detail=f"{program} does not run: {error.strerror or error}")
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        return Finding(
            name, ok=False, detail=f"{program} failed ({done.returncode}): {said[-1] if said else 'no word'}"
        )
    return _chips(name, program, done.stdout)


def _chips(name: str, program: str, table: str) -> Finding:
    chips = Counter(_CHIP.findall(table))
    if not chips:
        return Finding(name, ok=False, detail=f"{program} lists no chip")
    listed = "; ".join(f"{number} x {chip}, {_soc(chip)}" for chip, number in chips.items())
    return Finding(name, ok=True, detail=f"{program}: {listed}")


def _soc(chip: str) -> str:
    """How atc calls a chip that npu-smi names."""
    soc = f"Ascend{chip}"
    return f"--soc {soc}" if soc_family(soc) else "whose soc name `npu-smi info -t board -i NPU` tells"


def _module(name: str) -> str | None:
    """Where a Python module lies; it is not imported."""
    spec = find_spec(name)
    if spec is None:
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    return next((place for place in places if place), name)
