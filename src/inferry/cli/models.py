"""``inferry models``."""

from typing import Final

from inferry.cli import console
from inferry.cli.options import Json
from inferry.models.registry import family_names, get_recipe

EXAMPLE: Final = "inferry models"


@console.verb
def command(as_json: Json = False) -> None:
    """Families, checkpoints that can be named, and their published accuracy."""
    recipes = [get_recipe(name) for name in family_names()]
    if as_json:
        console.print_json(
            [
                {
                    "family": recipe.family,
                    "task": recipe.task,
                    "summary": recipe.summary,
                    "presets": [{"name": p.name, "accuracy": p.accuracy, "source": p.source} for p in recipe.presets],
                }
                for recipe in recipes
            ]
        )
        return
    for recipe in recipes:
        console.out.print(f"[bold]{recipe.family}[/]  {recipe.task}: {recipe.summary}")
        for preset in recipe.presets:
            console.out.print(f"  {preset.name}\n    {preset.accuracy}\n    {preset.source}")
