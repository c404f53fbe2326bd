"""``inferry verify``."""

from typing import Final

import typer

from inferry.cli import console
from inferry.cli.options import BundleArgument, Json
from inferry.core.bundle import verify

EXAMPLE: Final = "inferry verify bundle/"


@console.verb
def command(bundle: BundleArgument, as_json: Json = False) -> None:
    """Hash every file of a bundle again."""
    found = verify(bundle)
    if as_json:
        console.print_json(found.to_json())
    else:
        for problem in found.problems:
            console.out.print(f"[bold red]{console.escape(problem)}[/]")
        count = len(found.problems)
        verdict = f"{count} problem{'' if count == 1 else 's'}" if count else "all as written"
        name = console.escape(str(found.path))
        console.out.print(f"{name}: {found.files} files, {found.bytes / 1e6:.1f} MB: {verdict}")
    if found.problems:
        raise typer.Exit(console.EXIT_FAILED)
