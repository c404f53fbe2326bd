"""``inferry predict``."""

from pathlib import Path
from typing import Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import Backend, BundleArgument, Json, Threads
from inferry.core.errors import SampleError

EXAMPLE: Final = "inferry predict bundle/ a.flac b.wav"


@console.verb
def command(
    bundle: BundleArgument,
    files: Annotated[list[Path], typer.Argument(help="Audio files.", metavar="FILE…")],
    backend: Backend = "onnxruntime",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Text on the screen; a bad file is named and the others go on (exit code 1)."""
    from inferry.pipeline.model import load

    rows: list[dict[str, object]] = []
    with load(bundle, backend, threads=threads) as model:
        for file in files:
            try:
                (prediction,) = model.predict([file])
            except SampleError as error:
                rows.append({"file": str(file), "error": str(error)})
                console.err.print(f"[bold red]{console.escape(str(file))}:[/] {console.escape(str(error))}")
                continue
            rows.append({"file": str(file), **prediction.to_json()})
            if not as_json:
                prefix = f"{file}: " if len(files) > 1 else ""
                console.out.print(console.escape(f"{prefix}{prediction.text}"))
    if as_json:
        console.print_json(rows)
    if any("error" in row for row in rows):
        raise typer.Exit(console.EXIT_FAILED)
