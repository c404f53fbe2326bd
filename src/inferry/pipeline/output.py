"""The folder that takes what `compare` and `bench` write: a run's own, for its report, or any other."""

import os
from pathlib import Path

from inferry.core.bundle import Bundle
from inferry.core.errors import UsageError
from inferry.core.runs import RUN, open_run


def check_output(folder: Path, bundle: Bundle) -> None:
    """Refuse a folder that could not be written to, before anything is measured; nothing is made yet.

    Args:
        folder: What the user named.
        bundle: That is about to be measured.

    Raises:
        UsageError: It is a run of another bundle, it is no folder, or it may not be written.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"{folder} cannot be written: {there} is no folder; choose another --output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be written: {there} does not allow it; choose another --output")
    if (folder / RUN).is_file():
        config = open_run(folder).info.get("config", {})
        if config.get("bundle") != bundle.digest:
            raise UsageError(f"{folder} is a run of another bundle: choose another --output")
