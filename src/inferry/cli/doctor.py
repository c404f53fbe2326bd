"""``inferry doctor``."""

from dataclasses import asdict
from typing import Final

import typer

from inferry.cli import console
from inferry.cli.options import Json

EXAMPLE: Final = "inferry doctor"


@console.verb
def command(as_json: Json = False) -> None:
    """What this machine can run, and the line that installs what it cannot."""
    from inferry.pipeline.doctor import doctor

    findings = doctor()
    if as_json:
        console.print_json([asdict(finding) for finding in findings])
    else:
        rows = [("ok" if finding.ok else "--", finding.name, finding.detail) for finding in findings]
        console.out.print(console.table("", "part", "detail", rows=rows))
    if not any(finding.ok for finding in findings if finding.name.startswith("backend ")):
        raise typer.Exit(console.EXIT_FAILED)
