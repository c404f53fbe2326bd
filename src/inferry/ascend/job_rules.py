"""What ais_bench refuses about input files, found before they are shipped.

The rules are those of ais_bench's sources (its path_security_check and its input and output handling) in the
repositories ``ascend/tools`` and ``msit``. They read the user and groups of a POSIX system.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

MAX_FILES: Final = 100_000
"""Files in one input folder."""

MAX_BIN_BYTES: Final = 4 << 30
"""Of one .bin file."""

FILE_MODE: Final = 0o640
FOLDER_MODE: Final = 0o750

_MAX_PATH, _MAX_PART = 4096, 255
_SUFFIXES = (".npy", ".NPY", ".bin", ".BIN")
_REFUSED = re.compile(r"[^_A-Za-z0-9/.-]")
_SHOWN = 10


def output_stem(name: str) -> str:
    """What the output files of an input file begin with: its name up to the FIRST dot."""
    return name.split(".", 1)[0]


def listing(problems: Sequence[str]) -> str:
    """The first problems, one a line, and how many more there are."""
    lines = [f"  - {problem}" for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"  and {len(problems) - _SHOWN} more")
    return "\n".join(lines)


def path_problems(path: Path) -> list[str]:
    """What ais_bench refuses about the absolute path of a file or folder, whether it exists or not."""
    absolute = os.path.abspath(path)  # noqa: PTH100 -- ais_bench does this: "..", but no link, is resolved
    problems = []
    if refused := sorted(set(_REFUSED.findall(absolute))):
        characters = " ".join(repr(character) for character in refused)
        problems.append(
            f"{absolute}: ais_bench refuses {characters} in a path; it takes letters, digits and _ - . only"
        )
    if len(absolute) > _MAX_PATH:
        problems.append(f"{absolute[:40]}…: the path has {len(absolute)} characters, ais_bench takes {_MAX_PATH}")
    problems += [
        f"{part[:40]}…: the name has {len(part)} characters, ais_bench takes {_MAX_PART}"
        for part in absolute.split("/")
        if len(part) > _MAX_PART
    ]
    return problems


def input_problems(folders: Sequence[Path]) -> tuple[str, ...]:
    """Everything that ais_bench refuses, or silently mixes up, in input folders.

    Args:
        folders: One for each input of the model, in the model's order.

    Returns:
        Sentences; none where the folders can be shipped.
    """
    problems: list[str] = []
    stems: list[set[str]] = []
    for folder in folders:
        problems += path_problems(folder)
        if not folder.is_dir():
            problems.append(f"{folder}: is no folder; ais_bench takes one folder for each input of the model")
            continue
        problems += _access_problems(folder)
        files = sorted(folder.iterdir())
        problems += _content_problems(folder, files)
        stems.append({output_stem(file.name) for file in files})
    # The folders' files are paired by position, so a file that one of them lacks shifts all that follow.
    for other in stems[1:]:
        if odd := sorted(stems[0] ^ other):
            problems.append(f"{odd[0]}: stands in some input folders only, as do {len(odd) - 1} other files")
    return tuple(problems)


def collisions(names: Iterable[str]) -> list[str]:
    """Input files whose outputs would overwrite each other (``a.1.bin`` and ``a.2.bin`` both give ``a_0.bin``)."""
    found = Counter(output_stem(name) for name in names)
    return [
        f"{count} files are called {stem}.*; ais_bench cuts names at the first dot, so one output overwrites the other"
        for stem, count in found.items()
        if count > 1
    ]


def _content_problems(folder: Path, files: Sequence[Path]) -> list[str]:
    problems = []
    if not files:
        problems.append(f"{folder}: is empty")
    if len(files) > MAX_FILES:
        problems.append(f"{folder}: holds {len(files):,} files, ais_bench takes {MAX_FILES:,}; split the data set")
    for file in files:
        problems += path_problems(file)
        if file.is_dir() or file.suffix not in _SUFFIXES:
            problems.append(f"{file}: ais_bench reads {', '.join(_SUFFIXES)} files only, and no folders within folders")
        else:
            problems += _access_problems(file)
    problems += [f"{folder}: {problem}" for problem in collisions(file.name for file in files)]
    return problems + _size_problems(folder, files)


def _size_problems(folder: Path, files: Sequence[Path]) -> list[str]:
    sizes = {file.stat().st_size for file in files if file.suffix.lower() == ".bin" and file.is_file()}
    problems = []
    if len(sizes) > 1:
        few = ", ".join(f"{size:,}" for size in sorted(sizes)[:3])
        problems.append(f"{folder}: its files have different sizes ({few} bytes); a model takes one shape")
    if sizes and not 0 < max(sizes) <= MAX_BIN_BYTES:
        problems.append(f"{folder}: a file has {max(sizes):,} bytes; ais_bench takes 1 to {MAX_BIN_BYTES:,}")
    return problems


def _access_problems(path: Path) -> list[str]:
    """Links, owner and mode of something that exists."""
    if path.is_symlink():
        return [f"{path}: is a link, which ais_bench refuses; copy what it points to"]
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    problems = []
    if mode & 0o022 or not mode & 0o400:
        good = FOLDER_MODE if path.is_dir() else FILE_MODE
        problems.append(
            f"{path}: has the mode {mode:04o}; ais_bench wants owners to read and nobody else to write: chmod {good:o}"
        )
    if status.st_uid != os.geteuid() and status.st_gid not in {os.getegid(), *os.getgroups()}:
        problems.append(f"{path}: belongs to neither you nor one of your groups, which ais_bench refuses")
    return problems
