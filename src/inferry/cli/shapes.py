"""Options that name shapes: sizes of symbolic dimensions and batch sizes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inferry.core.errors import UsageError

if TYPE_CHECKING:
    from inferry.pipeline.jobs.target import JobOptions

Sizes = Annotated[
    list[str] | None,
    typer.Option(help="Sizes of a symbolic dimension, such as tokens=32,64; may be given several times."),
]
BatchSizes = Annotated[str | None, typer.Option(help="Batch sizes, such as 1,4; default: the plan's, 1 without one.")]


def sizes_of(words: list[str] | None) -> dict[str, tuple[int, ...]]:
    """The sizes by dimension.

    Raises:
        UsageError: A word is not NAME=NUMBER[,NUMBER...], or a name stands twice.
    """
    sizes: dict[str, tuple[int, ...]] = {}
    for word in words or []:
        name, separator, values = word.partition("=")
        if not (name and separator):
            raise UsageError(f"--sizes {word!r} is not NAME=NUMBER[,NUMBER...], such as tokens=32,64")
        if name in sizes:
            raise UsageError(f"--sizes gives {name} twice: write {name}=NUMBER,NUMBER")
        sizes[name] = numbers_of(f"--sizes {name}", values)
    return sizes


def numbers_of(option: str, text: str | None) -> tuple[int, ...]:
    """Whole numbers of 1 or more; none for None.

    Args:
        option: The option's name, for the message.
        text: Numbers with commas between them.

    Raises:
        UsageError: A word is no such number.
    """
    words = [] if text is None else [word.strip() for word in text.split(",")]
    if wrong := [word for word in words if not (word.isascii() and word.isdigit() and int(word))]:
        raise UsageError(f"{option} {text!r}: {wrong[0]!r} is no whole number of 1 or more")
    return tuple(map(int, words))


def job_options(plan: Path | None, sizes: list[str] | None, batch_sizes: str | None, **others: Any) -> "JobOptions":  # noqa: ANN401 -- what `JobOptions` takes, by its names
    """How a data set becomes files, as the verbs are told.

    Args:
        plan: A plan file.
        sizes: Words of ``--sizes``.
        batch_sizes: What stands behind ``--batch-sizes``.
        others: As `JobOptions` has them.

    Raises:
        UsageError: Sizes or batch sizes are none.
    """
    from inferry.pipeline.jobs.target import JobOptions

    numbers = numbers_of("--batch-sizes", batch_sizes)
    return JobOptions(plan=plan, sizes=sizes_of(sizes), batch_sizes=numbers, **others)
