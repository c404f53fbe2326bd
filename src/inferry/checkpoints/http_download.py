"""One file over HTTP: resumed where it stopped, checked, and under its name only when it is whole."""

import shutil
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast

from inferry.core.files import sha256_of

_CHUNK = 1 << 20
_TIMEOUT = 30.0
"""Seconds without a byte."""

_ATTEMPTS = 3
"""Connections per call; each goes on where the last one broke off."""


class TransferError(Exception):
    """A file could not be fetched.

    Args:
        reason: For the user.
        absent: The server answered, and has no such file.
    """

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        self.reason = reason
        self.absent = absent
        super().__init__(reason)


def download(address: str, path: Path, *, size: int | None = None, sha256: str | None = None) -> None:
    """Fetch a file; a broken transfer leaves ``<name>.part``, from which the next call goes on.

    Args:
        address: http or https.
        path: Where the whole file goes.
        size: Expected bytes, if known.
        sha256: Expected digest or its first digits, if known.

    Raises:
        TransferError: No connection, a refusal, or the file is not the expected one (then the part is removed).
        OSError: The folder cannot be written.
    """
    if not address.startswith(("http://", "https://")):
        raise TransferError(f"{address!r} is not an address, expected http:// or https://")
    part = path.with_name(f"{path.name}.part")
    reason = ""
    for _ in range(_ATTEMPTS):
        reason = _go_on(address, part)
        if not reason:
            break
    if reason:
        raise TransferError(reason)
    _check(part, size, sha256)
    part.replace(path)
    _label_of(part).unlink(missing_ok=True)


def _label_of(part: Path) -> Path:
    """Holds the server's label (ETag) of the version that the part belongs to."""
    return part.with_name(f"{part.name}.etag")


def _go_on(address: str, part: Path) -> str:
    """One connection; why it ended too early, or nothing."""
    try:
        with _request(address, part) as response:
            return _receive(response, part)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file: it belongs to something else
            part.unlink(missing_ok=True)
            return "the server has less than was received before"
        raise TransferError(f"the server answers {error.code} {error.reason}", absent=error.code == 404) from error
    except urllib.error.URLError as error:
        return f"no connection: {error.reason}"
    except (HTTPException, TimeoutError, ConnectionError) as error:
        return f"the connection broke off: {error!r}"


def _request(address: str, part: Path) -> HTTPResponse:
    request = urllib.request.Request(address, headers={"User-Agent": "inferry"})  # noqa: S310 -- scheme checked above
    label = _label_of(part)
    if part.is_file() and part.stat().st_size and label.is_file():
        request.add_header("Range", f"bytes={part.stat().st_size}-")
        request.add_header("If-Range", label.read_text(encoding="ascii"))  # all of it, if it changed meanwhile
    return cast("HTTPResponse", urllib.request.urlopen(request, timeout=_TIMEOUT))  # noqa: S310 -- likewise


def _receive(response: HTTPResponse, part: Path) -> str:
    start = part.stat().st_size if response.status == 206 else 0
    if start and not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
        part.unlink()
        return "the server answered with another range than was asked for"
    if not start:
        _write_label(part, response.headers.get("ETag") or "")
    with part.open("ab" if start else "wb") as file:
        shutil.copyfileobj(response, file, _CHUNK)
    expected = response.headers.get("Content-Length")
    received = part.stat().st_size - start
    if expected is not None and received != int(expected):
        return f"the connection broke off after {received} of {expected} bytes"
    return ""


def _write_label(part: Path, label: str) -> None:
    """A weak label (W/...) does not promise the same bytes, so nothing can be resumed with it."""
    if label.isascii() and label.startswith('"'):
        _label_of(part).write_text(label, encoding="ascii")
    else:
        _label_of(part).unlink(missing_ok=True)


def _check(part: Path, size: int | None, sha256: str | None) -> None:
    found = part.stat().st_size
    problem = f"the file has {found} bytes, expected {size}" if size is not None and found != size else ""
    if not problem and sha256 is not None and not (digest := sha256_of(part)).startswith(sha256):
        problem = f"the file's sha256 is {digest}, expected {sha256}"
    if problem:
        part.unlink()
        _label_of(part).unlink(missing_ok=True)
        raise TransferError(problem)
