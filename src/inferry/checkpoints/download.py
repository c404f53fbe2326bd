"""Published checkpoints, fetched once into a cache."""

import os
from pathlib import Path

from inferry.checkpoints.http_download import TransferError, download
from inferry.core.errors import DownloadError
from inferry.core.files import sha256_of
from inferry.core.protocols import Preset, PresetFile

_FALLBACK_WEIGHTS = {"pytorch_model.bin": "model.safetensors"}
"""A file that is not needed beside another one with the same weights."""


def default_cache() -> Path:
    """``$INFERRY_CACHE``, or ``~/.cache/inferry``."""
    return Path(os.environ.get("INFERRY_CACHE") or Path.home() / ".cache" / "inferry")


def fetch(preset: Preset, family: str, cache: Path | None = None, option: str = "--checkpoint") -> Path:
    """The local folder of a published checkpoint, downloaded unless it is there already.

    A file that was put there by hand counts as downloaded, if its size and digest are those that the preset states.

    Args:
        preset: What to fetch.
        family: Registry key of the recipe; a folder of the cache.
        cache: Root of the cache, None for `default_cache`.
        option: That would take a folder with the files instead, for the message.

    Raises:
        DownloadError: A file could not be fetched; says which file to put where, and from where.
    """
    folder = (cache or default_cache()) / family / preset.name.replace("/", "--")
    if all(_is_there(folder, file) for file in preset.files if file.required):
        return folder
    # The optional ones first: once all required files are there, nothing is asked of the network again.
    for file in sorted(preset.files, key=lambda file: file.required):
        if _is_there(folder, file) or _is_replaced(folder, file):
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _fetch_file(file, folder)
        except TransferError as error:
            if error.absent and not file.required:
                continue
            raise DownloadError(_by_hand(preset, folder, file, error.reason, option)) from error
        except OSError as error:
            raise DownloadError(
                _by_hand(preset, folder, file, f"{folder} cannot be written: {error}", option)
            ) from error
    return folder


def _is_there(folder: Path, file: PresetFile) -> bool:
    path = folder / file.name
    return path.is_file() and not _difference(path, file)


def _is_replaced(folder: Path, file: PresetFile) -> bool:
    better = _FALLBACK_WEIGHTS.get(file.name)
    return better is not None and (folder / better).is_file()


def _difference(path: Path, file: PresetFile) -> str:
    """How a file differs from what the preset states; empty if it does not."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size} bytes, expected {file.size}"
    if file.sha256 is not None and not (found := sha256_of(path)).startswith(file.sha256):
        return f"its sha256 is {found}, expected {file.sha256}"
    return ""


def _fetch_file(file: PresetFile, folder: Path) -> None:
    if not file.repo:
        download(file.url, folder / file.name, size=file.size, sha256=file.sha256)
        return
    _fetch_from_hub(file, folder)
    difference = _difference(folder / file.name, file)
    if difference:
        (folder / file.name).unlink()
        raise TransferError(difference)


def _fetch_from_hub(file: PresetFile, folder: Path) -> None:
    """One file of a Hugging Face repository; the hub's client resumes, and checks the size.

    Raises:
        TransferError: Whatever went wrong.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 -- takes half a second, and is needed only here
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: PLC0415 -- likewise

    try:
        hf_hub_download(file.repo, file.name, revision="main", local_dir=folder)
    except LocalEntryNotFoundError as error:  # a kind of EntryNotFoundError, but it means: no connection
        raise TransferError(str(error.__cause__ or error)) from error
    except EntryNotFoundError as error:
        raise TransferError(f"the repository {file.repo} has no {file.name}", absent=True) from error
    except Exception as error:  # the client lets errors of its own, of its HTTP library and of the system pass
        raise TransferError(f"{type(error).__name__}: {error}") from error


def _by_hand(preset: Preset, folder: Path, failed: PresetFile, reason: str, option: str) -> str:
    lines = [f"{preset.name}: {failed.name} could not be downloaded from {_address(failed)}: {reason}"]
    lines.append(f"What to do: put these files into {folder} (more about them: {preset.source})")
    lines += [
        f"  - {file.name}{'' if file.required else ' (if there is one)'} from {_address(file)}"
        for file in preset.files
        if not (folder / file.name).is_file()
    ]
    lines.append(f"Or put them into any folder, and give that folder to {option}.")
    return "\n".join(lines)


def _address(file: PresetFile) -> str:
    return file.url or f"https://huggingface.co/{file.repo}/resolve/main/{file.name}"
