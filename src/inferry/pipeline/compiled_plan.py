"""Compiled shapes as a shape plan: which samples run together where no other shape can run."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from inferry.core.compiled import Compiled
from inferry.core.errors import UsageError
from inferry.planning.batches import pack_batches
from inferry.planning.histogram import LengthHistogram
from inferry.planning.plan import Bucket, ShapePlan


def compiled_plan(compiled: Compiled, axis: str, lengths: Sequence[int], batch_size: int | None = None) -> ShapePlan:
    """The plan whose buckets are an artifact's shapes, each with the largest batch that it was compiled for.

    Args:
        compiled: The artifact.
        axis: That is planned, ``items`` where every sample has one shape.
        lengths: Of all samples, in elements along `axis`. Those beyond the largest bucket are outside of the plan: no
            shape takes them.
        batch_size: Most samples in a batch; None for as many as a shape takes.

    Raises:
        UsageError: There are no lengths.
    """
    rows = {length: min(rows, batch_size or rows) for length, rows in _rows(compiled, axis).items()}
    starts = [0, *(length for length in sorted(rows) if length)]
    plan = ShapePlan(
        axis=axis,
        buckets=tuple(
            Bucket(length, sum(before < one <= length for one in lengths), rows[length])
            for before, length in pairwise(starts)
        ),
        batch_size=max(rows.values()),
        max_padded=None,
        histogram=LengthHistogram.of(lengths).summary(),
        padded_to_real=1.0,
    )
    return replace(plan, padded_to_real=pack_batches(lengths, plan).padded_to_real)


def require_compiled(plan: ShapePlan, compiled: Compiled) -> None:
    """Refuse a plan of which some shape was not compiled: its batches would fail one by one.

    Raises:
        UsageError: A shape with its batch size fits into none of the artifact's.
    """
    rows = _rows(compiled, plan.axis)
    wanted = [(bucket.length, bucket.batch_size) for bucket in plan.buckets]
    for length, batch in wanted or [(0, plan.batch_size)]:
        if not any(length <= have and batch <= most for have, most in rows.items()):
            available = ", ".join(f"{most} x {have}" if have else str(most) for have, most in sorted(rows.items()))
            raise UsageError(
                f"the plan has batches of {batch} x {length} {plan.axis}, and the largest that {compiled.key} was "
                f"compiled for are {available}: leave out --plan, or compile with it"
            )


def _rows(compiled: Compiled, axis: str) -> dict[int, int]:
    """The largest batch at each length of the axis, whatever the other sizes of a sample; 0 where it is no axis."""
    largest: dict[int, dict[tuple[tuple[str, int], ...], int]] = {}
    for gear in (gear for unit in compiled.units for gear in unit.gears):
        sizes = dict(gear["sizes"])
        of_length = largest.setdefault(sizes.pop(axis, 0), {})
        others = tuple(sorted(sizes.items()))
        of_length[others] = max(gear["batch"], of_length.get(others, 0))
    return {length: min(others.values()) for length, others in largest.items()}
