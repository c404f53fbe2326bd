"""Archives of AllenNLP (``archive_model``), read member by member into memory: no path of theirs is ever written."""

import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferry.core.errors import CheckpointError

WEIGHTS: Final = ("weights.th", "best.th")
"""In the order of preference: AllenNLP archives under the first name and falls back on the second."""

TEXTS: Final = (
    "config.json",
    "meta.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocabulary/answers.txt",
    "vocabulary/non_padded_namespaces.txt",
    "vocabulary/tags.txt",
)
"""Members that are read; all others are passed over."""

_GREATEST_TEXT: Final = 64 << 20
"""Bytes. The tokenizer of BERT takes 0.7 MB."""

_GROWTH: Final = 32
"""Weights may take this many times the archive's size: random numbers hardly compress, more is an attack."""

_FIX: Final = "Give the .tar.gz file that AllenNLP wrote, such as vilbert-vqa-pretrained.2021-03-15.tar.gz."


@dataclass(frozen=True)
class Archive:
    """What an archive holds.

    Attributes:
        path: The archive.
        texts: Of the members in `TEXTS` that it has, by name.
        weights: The weight file's bytes; None if there is none.
        problems: All that was wrong with the members, each a sentence.
    """

    path: Path
    texts: Mapping[str, str]
    weights: bytes | None
    problems: tuple[str, ...]


def read_archive(path: Path) -> Archive:
    """Read the members that matter.

    Args:
        path: The archive, or a folder with exactly one.

    Raises:
        CheckpointError: It is no tar archive, or cut off or damaged.
    """
    file = _file(path)
    limits = dict.fromkeys(TEXTS, _GREATEST_TEXT) | dict.fromkeys(
        WEIGHTS, max(_GREATEST_TEXT, _GROWTH * file.stat().st_size)
    )
    found: dict[str, bytes] = {}
    problems: list[str] = []
    try:
        with tarfile.open(file, "r:*") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name in limits:
                    problem = _refused(member, limits[name])
                    if problem:
                        problems.append(problem)
                    else:
                        found[name] = _content(archive, member)
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # further lines tell of each compression that was tried
        raise CheckpointError(file, [f"it cannot be read as a tar archive: {reason}"], _FIX) from error
    texts, unreadable = _texts(found)
    weights = next((found[name] for name in WEIGHTS if name in found), None)
    return Archive(file, texts, weights, (*problems, *unreadable))


def _file(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(path, ["it does not exist; expected an AllenNLP archive (.tar.gz)"], _FIX)
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.tar.gz"))
    if len(found) == 1:
        return found[0]
    names = ": " + ", ".join(file.name for file in found) if found else ""
    problem = f"it has {len(found)} .tar.gz files, expected one{names}"
    raise CheckpointError(path, [problem], "Name the file itself." if found else _FIX)


def _refused(member: tarfile.TarInfo, limit: int) -> str | None:
    """Why a member is not read."""
    if not member.isfile():
        return f"its member {member.name} is a link or something else that is not a plain file"
    if member.size > limit:
        return f"its member {member.name} has {member.size} bytes, expected at most {limit}"
    return None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None  # it is a plain file
    return stream.read()


def _texts(found: Mapping[str, bytes]) -> tuple[dict[str, str], list[str]]:
    texts: dict[str, str] = {}
    problems = []
    for name in (name for name in TEXTS if name in found):
        try:
            texts[name] = found[name].decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(f"its member {name} is no UTF-8 text: {error}")
    return texts, problems
