"""The configurations that one call of `inferry bench` compares."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from inferry.core.errors import UsageError
from inferry.core.machine import available_threads
from inferry.core.protocols import OldRecipe, SessionOptions


@dataclass(frozen=True)
class Configuration:
    """How the bundle is opened and fed.

    Attributes:
        name: Distinct within the call.
        backend: Its name.
        precision: ``fp32`` …
        threads: Of the network.
        recipe: The published recipe whose way is measured; None for Inferry's own.
    """

    name: str
    backend: str
    precision: str
    threads: int
    recipe: OldRecipe | None = None

    @property
    def options(self) -> SessionOptions:
        """For opening it."""
        return SessionOptions(self.precision, self.threads)


def configurations(
    backends: Sequence[str], precisions: Sequence[str], threads: Sequence[int]
) -> tuple[Configuration, ...]:
    """All combinations, in the order given; the same one twice is an A/A test.

    Args:
        backends: Names.
        precisions: Likewise.
        threads: None given stands for all that this process may use.

    Raises:
        UsageError: More threads than this process may use, or less than one.
    """
    limit = available_threads()
    wrong = [count for count in threads if not 1 <= count <= limit]
    if wrong:
        raise UsageError(
            f"--threads {', '.join(map(str, wrong))}: this process may use 1 to {limit} threads"
            " (its processor affinity and its container's quota); more would only wait for each other"
        )
    combined = list(product(backends, precisions, threads or (limit,)))
    seen: Counter[tuple[str, str, int]] = Counter()
    made = []
    for key in combined:
        seen[key] += 1
        made.append(Configuration(_name(key, seen[key]), *key))
    return tuple(made)


def with_recipe(own: Sequence[Configuration], recipe: OldRecipe) -> tuple[Configuration, ...]:
    """The same and the published recipe, opened as the first one is."""
    one = own[0]
    return (*own, Configuration(f"recipe, {one.name}", one.backend, one.precision, one.threads, recipe))


def _name(key: tuple[str, str, int], count: int) -> str:
    backend, precision, threads = key
    again = "" if count == 1 else f" (again, {count})"
    return f"{backend} {precision}, {threads} thread{'' if threads == 1 else 's'}{again}"
