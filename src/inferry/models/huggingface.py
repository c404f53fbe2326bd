"""What several families fetch from Hugging Face."""

import re
from typing import Final

from inferry.core.protocols import Preset, PresetFile

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def speech_preset(repo: str, accuracy: str) -> Preset:
    """A published CTC folder: weights in either format, configuration, vocabulary.

    Args:
        repo: Hugging Face repository.
        accuracy: The published figure with its source.
    """
    names = {
        "config.json": True,
        "vocab.json": True,
        "preprocessor_config.json": True,
        "tokenizer_config.json": False,
        # Whichever of the two the repository holds; the reader says so if neither came.
        "model.safetensors": False,
        "pytorch_model.bin": False,
    }
    files = tuple(PresetFile(name, repo=repo, required=required) for name, required in names.items())
    return Preset(repo, accuracy, f"https://huggingface.co/{repo}", files)


def tokenizer_preset(repo: str) -> Preset | None:
    """The tokenizer of a published text model, with the model's configuration.

    Args:
        repo: Hugging Face repository, such as ``bert-base-uncased``.

    Returns:
        None if no repository can have this name; it may come from a file.
    """
    if not _REPOSITORY.fullmatch(repo):
        return None
    names = {"config.json": True, "tokenizer_config.json": False, "tokenizer.json": False, "vocab.txt": False}
    files = tuple(PresetFile(name, repo=repo, required=required) for name, required in names.items())
    return Preset(repo, "", f"https://huggingface.co/{repo}", files)
