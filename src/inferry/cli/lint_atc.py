"""``inferry lint-atc``."""

from typing import Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Json

EXAMPLE: Final = 'inferry lint-atc -- --model=model.onnx --framework=5 --input_shape="x:-1,3,224,224" --output=model'


@console.verb
def command(
    arguments: Annotated[list[str], typer.Argument(help="atc's own options, behind --.", metavar="-- OPTION…")],
    soc: Annotated[str | None, typer.Option(help="The chip; default: --soc_version of the command.")] = None,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Check the command line alone: the model's file is not here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what atc would refuse, with its own error codes and the fix; needs no CANN."""
    from inferry.pipeline.lint import lint_atc

    found = lint_atc(arguments, soc, look=not no_model)
    if as_json:
        console.print_json(found.to_json())
    else:
        for problem in found.problems:
            typer.echo(str(problem))
        if found.unread:
            console.err.print(
                f"[yellow]not checked:[/] names, ranks and operators of the model: {console.escape(found.unread)}"
            )
        count = len(found.problems)
        typer.echo(
            f"{count} problem{'' if count == 1 else 's'}" if count else "nothing that atc would refuse was found"
        )
    if found.problems:
        raise typer.Exit(console.EXIT_FAILED)
