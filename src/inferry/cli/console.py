"""What all verbs share: printing, the progress bar, and errors as exit codes."""

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inferry.core.errors import InferryError

if TYPE_CHECKING:
    from inferry.pipeline.engine import Tally

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130

P = ParamSpec("P")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Errors that are the world's fault become a sentence and an exit code; bugs keep their traceback."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except InferryError as error:
            err.print(f"[bold red]error:[/] {escape(str(error))}")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            err.print("interrupted; nothing that was written is lost: the same command goes on where it stopped")
            raise typer.Exit(EXIT_INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader of a pipe went away: nobody is left to tell.
            sys.stderr.close()
            raise typer.Exit(EXIT_FAILED) from error
        except OSError as error:
            # A full disk, a file system that went away: the world's fault, wherever it strikes.
            place = f"{error.filename}: " if error.filename else ""
            err.print(f"[bold red]error:[/] {escape(place)}{error.strerror or error}")
            raise typer.Exit(EXIT_FAILED) from error

    return guarded


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """For a verb that writes its folder whole or not at all: what an interruption says."""
    try:
        yield
    except KeyboardInterrupt as error:
        err.print("interrupted; nothing was written")
        raise typer.Exit(EXIT_INTERRUPTED) from error


def escape(text: str) -> str:
    """Text that Rich must not read as markup."""
    return text.replace("[", "\\[")


def print_json(value: Any) -> None:  # noqa: ANN401 -- any JSON value
    """One JSON document on standard output, for ``--json``."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def table(*columns: str, rows: Sequence[tuple[str, ...]], title: str | None = None) -> Table:
    """A table; columns whose name starts with ``>`` stand right."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[["Tally"], None] | None]:
    """A bar on standard error: items, speed, padding waste, time left."""
    if quiet or not err.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.fields[items]}"),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[waste]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task("infer", total=None, items="", speed="", waste="")

        def show(tally: "Tally") -> None:
            items = f"{tally.done:,}/{tally.total:,}"
            if tally.quarantined:
                items += f" ({tally.quarantined} quarantined)"
            bar.update(
                task,
                # Units of input, not items: the longest samples come first.
                completed=tally.done_units,
                total=max(tally.total_units, 1),
                items=items,
                speed=_speed(tally),
                waste=f"{tally.padding_waste:.1%} padding",
            )

        yield show


def _speed(tally: "Tally") -> str:
    """Seconds of sound a second where there is sound, else samples, those of an earlier session left out."""
    elapsed = max(tally.elapsed, 1e-9)
    if tally.audio_seconds:
        return f"{tally.audio_seconds / elapsed:.1f} audio s/s"
    return f"{(tally.done - tally.resumed) / elapsed:.1f} samples/s"
