"""The model families by name."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from inferry.checkpoints.download import fetch
from inferry.core.errors import UsageError
from inferry.core.protocols import Checkpoint, ExportOptions, Preset, Recipe, flag_of

RECIPES: dict[str, str] = {
    "beit": "inferry.models.beit",
    "data2vec-audio": "inferry.models.data2vec_audio",
    "deepspeech2": "inferry.models.deepspeech2",
    "vilbert-vqa": "inferry.models.vilbert_vqa",
    "wav2vec2": "inferry.models.wav2vec2",
}
"""Built in: the module whose ``RECIPE`` it is. Others join through the entry point group ``inferry.recipes``."""


def family_names() -> list[str]:
    """All names that `get_recipe` knows."""
    return sorted({*RECIPES, *(point.name for point in entry_points(group="inferry.recipes"))})


def get_recipe(family: str) -> Recipe:
    """The recipe of that family.

    Raises:
        UsageError: There is none; those available are listed.
    """
    if family in RECIPES:
        recipe: Recipe = import_module(RECIPES[family]).RECIPE
        return recipe
    for point in entry_points(group="inferry.recipes"):
        if point.name == family:
            found: Recipe = point.load()
            return found
    raise UsageError(f"unknown family {family!r}; available: {', '.join(family_names())}")


def locate_checkpoint(recipe: Recipe, checkpoint: str | Path) -> Path:
    """The checkpoint's path; the name of a preset is fetched once.

    Raises:
        UsageError: Neither a path that exists nor the name of a preset.
        DownloadError: The preset cannot be fetched.
    """
    path = Path(checkpoint).expanduser()
    if path.exists():
        return path
    preset = find_preset(recipe, str(checkpoint))
    if preset is not None:
        return fetch(preset, recipe.family)
    names = ", ".join(preset.name for preset in recipe.presets) or "none"
    raise UsageError(f"no checkpoint at {checkpoint}; names that {recipe.family} can fetch: {names}")


def read_checkpoint(recipe: Recipe, checkpoint: str | Path, options: ExportOptions) -> Checkpoint:
    """A checkpoint, read as the user wants it.

    Args:
        recipe: Of its family.
        checkpoint: A path, or the name of a preset.
        options: Those that were given must be ones that the family takes.

    Raises:
        UsageError: An option is none of this family's, or there is no such checkpoint.
        CheckpointError: It cannot be read safely and completely.
        DownloadError: The preset cannot be fetched.
    """
    if strange := [flag_of(name) for name in options.given if name not in recipe.takes]:
        known = ", ".join(map(flag_of, recipe.takes)) or "none"
        raise UsageError(f"{recipe.family} takes no {', '.join(strange)}; such options of this family: {known}")
    return recipe.read(locate_checkpoint(recipe, checkpoint), options)


def find_preset(recipe: Recipe, name: str) -> Preset | None:
    """The preset of that name, None if the family has none."""
    return next((preset for preset in recipe.presets if preset.name == name), None)
