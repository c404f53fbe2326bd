"""The configurations that one call of `inferry bench` compares."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        threads: Of what runs on the processor.
        on_device: Whether the network runs on a device, and not in these threads.
        recipe: The published recipe whose way is measured; None for Inferry's own.
    """

    name: str
    backend: str
    precision: str
    threads: int
    on_device: bool = False
    recipe: OldRecipe | None = None

    @property
    def network_threads(self) -> int:
        """As a session's signature counts them."""
        return 1 if self.on_device else self.threads

    @property
    def options(self) -> SessionOptions:
        """For opening it."""
        return SessionOptions(self.precision, self.threads)


def configurations(
    backends: Sequence[str], precisions: Sequence[str], threads: Sequence[int], devices: Sequence[str] = ()
) -> tuple[Configuration, ...]:
    """All combinations, in the order given; the same one twice is an A/A test.

    Args:
        backends: Names.
        precisions: Likewise.
        threads: None given stands for all that this process may use.
        devices: Those of the backends that run the network on a device.

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
    seen: Counter[str] = Counter()
    made = []
    for backend, precision, count in product(backends, precisions, threads or (limit,)):
        name = f"{backend} {precision}"
        if backend not in devices:
            name += f", {count} thread{'' if count == 1 else 's'}"
        elif len(set(threads)) > 1:
            name += f", {count} thread{'' if count == 1 else 's'} beside it"
        seen[name] += 1
        again = "" if seen[name] == 1 else f" (again, {seen[name]})"
        made.append(Configuration(f"{name}{again}", backend, precision, count, backend in devices))
    return tuple(made)


def with_recipe(own: Sequence[Configuration], recipe: OldRecipe) -> tuple[Configuration, ...]:
    """The same and the published recipe, opened as the first one is."""
    return (*own, replace(own[0], name=f"recipe, {own[0].name}", recipe=recipe))
