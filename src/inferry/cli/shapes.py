"""Options that name shapes: sizes of symbolic dimensions and batch sizes."""

from typing import Annotated

import typer

from inferry.core.errors import UsageError

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
