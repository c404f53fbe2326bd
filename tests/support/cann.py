"""The simulated CANN: programs as executables for the PATH and as functions, and the module for other processes."""

import shlex
import sys
from pathlib import Path

from ais_bench_program import main as ais_bench
from atc import main as atc

__all__ = ["ais_bench", "atc", "install", "install_module"]
MODULE = """\
import atexit, os, sys
sys.path.append({support!r})
from acl_simulator import AclSimulator
simulator = AclSimulator()
def complain():
    errors = [*simulator.errors, *(["it was never finalised"] if simulator.running else [])]
    if errors:
        print("acl was misused:", *errors, sep="\\n", file=sys.stderr, flush=True)
        os._exit(70)
atexit.register(complain)
sys.modules["acl"] = simulator
"""
PROGRAMS = {"atc": "atc.py", "ais_bench": "ais_bench_program.py"}


def install(folder: Path) -> Path:
    """Write the executables into ``folder/bin``, which belongs on the PATH; gives back ``folder/bin``."""
    target = folder / "bin"
    target.mkdir(parents=True, exist_ok=True)
    for name, file in PROGRAMS.items():
        words = [sys.executable, str(Path(__file__).with_name(file))]
        (target / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (target / name).chmod(0o755)
    return target


def install_module(folder: Path) -> Path:
    """Write the simulated module ``acl``; gives back the folder for the PYTHONPATH.

    A process that misuses it ends with code 70 and says how.
    """
    target = folder / "python"
    target.mkdir(parents=True, exist_ok=True)
    (target / "acl.py").write_text(MODULE.format(support=str(Path(__file__).parent)))
    return target
