"""The command line: one file a verb; this one joins them."""

from typing import Annotated

import typer

from inferry.cli import (
    bench,
    compare,
    compile,  # noqa: A004 -- the file has the verb's name
    doctor,
    evaluate,
    export,
    infer,
    lint_atc,
    models,
    optimize,
    pack,
    plan,
    postprocess,
    predict,
    preprocess,
    report,
    run,
    verify,
)
from inferry.core.machine import package_version

app = typer.Typer(
    name="inferry",
    help="From a trained checkpoint to a verified, fast offline model. Exit code 0: ok, 1: a check failed, 2: usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_VERBS = (
    *(models, doctor, export, plan, infer, evaluate, compare, bench, report, run, predict, verify),
    *(optimize, compile, lint_atc, preprocess, postprocess, pack),
)

for module in _VERBS:
    # The verb is the file's name.
    verb = module.__name__.rpartition(".")[2].replace("_", "-")
    app.command(verb, epilog=f"Example: {module.EXAMPLE}")(module.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"inferry {package_version('inferry')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a trained checkpoint to a verified, fast offline model. Exit codes: 0 ok, 1 a check failed, 2 usage."""


def main() -> None:
    """Entry point of the ``inferry`` command."""
    app(prog_name="inferry")
