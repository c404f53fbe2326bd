"""What the presets of Hugging Face speech families have in common."""

from inferry.core.protocols import Preset, PresetFile


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
