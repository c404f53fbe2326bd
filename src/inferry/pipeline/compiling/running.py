"""Running a compiler: its output is kept, its exit code believed only where the file is there."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from inferry.ascend.atc_log import Reading, read_log
from inferry.core.compiled import Unit
from inferry.core.files import sha256_of

LOG: Final = "atc.log"
_PATIENCE: Final = 5.0
"""Seconds between asking a compiler to end and ending it."""


@dataclass(frozen=True)
class Ran:
    """A unit after its command ran, and what the command's output says."""

    unit: Unit
    reading: Reading


def run_unit(unit: Unit, folder: Path, atc: str) -> Ran:
    """Run one command; its output is added to ``atc.log``.

    Args:
        unit: What to compile.
        folder: Where the command runs, and where the om will lie.
        atc: The program.

    Returns:
        The unit with its exit code, and with its om, the om's size and its digest only where atc ended well, said so,
        and the file is there.
    """
    log = folder / LOG
    with log.open("ab") as file:
        file.write(f"$ {' '.join(unit.command)}\n".encode())
        begin = file.tell()
    returncode = _run((atc, *unit.command[1:]), folder, log)
    reading = read_log(log.read_bytes()[begin:].decode("utf-8", errors="replace"))
    om = find_om(folder, unit.stem) if returncode == 0 and reading.success else None
    ended = replace(unit, returncode=returncode, om=om)
    if om is not None:
        made = folder / om
        ended = replace(ended, size=made.stat().st_size, sha256=sha256_of(made))
    return Ran(ended, reading)


def find_om(folder: Path, stem: str) -> str | None:
    """Name of a unit's om, which atc calls ``<stem>_linux_<architecture>.om`` where the om depends on the host."""
    found = [folder / f"{stem}.om", *sorted(folder.glob(f"{stem}_linux_*.om"))]
    return next((path.name for path in found if path.is_file() and path.stat().st_size), None)


def _run(command: Sequence[str], folder: Path, log: Path) -> int:
    """The exit code, as a shell would give it. An interruption ends the compiler and all that it has started."""
    with _terminable():
        with log.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603 -- the command is ours, word by word
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    return code if code >= 0 else 128 - code


@contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM an exception: a compiler in a session of its own would otherwise outlive us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the compiler to end; then end what is left of its session, even where a second interruption comes."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
