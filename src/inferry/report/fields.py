"""Numbers out of JSON files that other verbs wrote."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from inferry.core.errors import RunError

T = TypeVar("T")


def parse(read: Callable[[Mapping[str, Any]], T], row: object, source: str, command: str) -> T:
    """Read a JSON object with `read`.

    Args:
        read: Takes the object; may raise KeyError, TypeError, ValueError or AttributeError.
        row: The JSON value.
        source: The file it stands in.
        command: Which writes the file again.

    Raises:
        RunError: The value is not what `read` expects.
    """
    try:
        return read(row)  # type: ignore[arg-type]  # a value of another type raises below, which is the check
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise RunError(f"{source} is not as expected ({problem}); write it again with: {command}") from error


def optional_float(row: Mapping[str, Any], name: str) -> float | None:
    """A number that may be null or absent."""
    value = row.get(name)
    return None if value is None else float(value)


def optional_int(row: Mapping[str, Any], name: str) -> int | None:
    """Likewise, whole."""
    value = row.get(name)
    return None if value is None else int(value)
