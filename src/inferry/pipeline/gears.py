"""Shape plan to gears: the fixed shapes that a bundle is compiled for."""

from collections.abc import Mapping, Sequence

from inferry.ascend.gear_set import Gear, GearSet
from inferry.core.bundle import Manifest
from inferry.core.errors import UsageError
from inferry.core.specs import BATCH
from inferry.pipeline.execution import axis_name, planned_axis
from inferry.planning.plan import ShapePlan


def symbolic_dims(manifest: Manifest) -> tuple[str, ...]:
    """Names of the graph's symbolic dimensions but the batch, in the order of the inputs."""
    dims = (dim for spec in manifest.inputs for dim in spec.dims if isinstance(dim, str) and dim != BATCH)
    return tuple(dict.fromkeys(dims))


def plan_gears(
    manifest: Manifest,
    *,
    plan: ShapePlan | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    batch_sizes: Sequence[int] | None = None,
) -> GearSet:
    """All shapes that a bundle is to be compiled for.

    Args:
        manifest: Of the bundle.
        plan: Its buckets are the sizes of the planned axis, and its batch sizes those of each bucket.
        sizes: Of the symbolic dimensions, by name; every combination of several dimensions becomes a shape.
        batch_sizes: Instead of the plan's; 1 without a plan.

    Returns:
        Gears in ascending order of their sizes, then of the batch size.

    Raises:
        UsageError: A dimension has no size or one given twice, or a name is unknown.
    """
    given = {name: sorted(set(values)) for name, values in (sizes or {}).items()}
    axis, dims = planned_axis(manifest.inputs), symbolic_dims(manifest)
    if unknown := [name for name in given if name not in dims]:
        raise UsageError(f"unknown dimension {unknown[0]!r}; this bundle has {', '.join(dims) or 'only the batch'}")
    if plan is not None:
        _require_own(plan, axis_name(manifest.inputs), given)
    if plan is not None and axis is not None:
        given[axis] = [bucket.length for bucket in plan.buckets]
    if missing := [name for name in dims if name not in given]:
        raise UsageError(
            f"no size is given for {', '.join(missing)}: a compiled model has fixed shapes. Give --plan (of `inferry "
            f"plan BUNDLE --data PATH --shapes 4 --output plan.json`) or --sizes {missing[0]}=NUMBER[,NUMBER...]"
        )
    if bad := [value for values in (*given.values(), batch_sizes or ()) for value in values if value < 1]:
        raise UsageError(f"sizes are at least 1, not {bad[0]}")
    combinations: list[dict[str, int]] = [{}]
    for name in dims:
        combinations = [{**one, name: size} for one in combinations for size in given[name]]
    return GearSet(
        manifest.inputs,
        tuple(Gear(rows, one) for one in combinations for rows in _batches(batch_sizes, plan, one.get(axis or ""))),
    )


def _require_own(plan: ShapePlan, axis: str, given: Mapping[str, Sequence[int]]) -> None:
    if plan.axis != axis:
        raise UsageError(f"the plan is for the axis {plan.axis!r}, this bundle has {axis!r}: make it again")
    if not plan.buckets:
        raise UsageError("the plan has no shapes: make it with `inferry plan --shapes NUMBER`")
    if axis in given:
        raise UsageError(f"the sizes of {axis} are given twice: by --plan and by --sizes")


def _batches(batch_sizes: Sequence[int] | None, plan: ShapePlan | None, length: int | None) -> list[int]:
    """Batch sizes of one shape. A plan's bucket runs full batches and, at its end, what is left: one by one."""
    if batch_sizes:
        return sorted(set(batch_sizes))
    if plan is None:
        return [1]
    bucket = None if length is None else plan.bucket_for(length)
    return sorted({1, plan.batch_size if bucket is None else bucket.batch_size})
