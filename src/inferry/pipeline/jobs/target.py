"""What a job's files are for: the shapes and types of a compiled model, or of one that is still to be compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from inferry.ascend.gear_set import Gear, GearSet
from inferry.core.bundle import Bundle
from inferry.core.compiled import Compiled, find_compiled
from inferry.core.errors import UsageError
from inferry.core.protocols import MAX_SECONDS
from inferry.core.samples import Dataset, Features
from inferry.core.specs import Array, TensorSpec
from inferry.pipeline.jobs.sizes import job_gears
from inferry.pipeline.model import Model
from inferry.pipeline.picture_input import PictureInput, picture_input
from inferry.planning.make import read_plan

_BACKEND = "ascend"


@dataclass(frozen=True)
class JobOptions:
    """How a data set becomes files.

    Attributes:
        plan: A plan file whose buckets are the shapes.
        sizes: Of symbolic dimensions, by name; what is neither planned nor named comes from the data.
        batch_sizes: That will be run; none for the plan's, or 1. They do not change the files.
        limit: The first samples only.
        kind: The data set's layout, None to recognise it.
        max_seconds: Longer sounds are cut into overlapping windows of this length; 0 to cut none.
        workers: Threads that read and process, None for one a processor.
        fp16_inputs: Whether the model was compiled to take half-precision floats.
        aipp: Whether it was compiled to normalise pictures itself.
        compiled: Key of a compiled model of the bundle, which says all this but the data and the threads.
    """

    plan: Path | None = None
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    batch_sizes: tuple[int, ...] = ()
    limit: int | None = None
    kind: str | None = None
    max_seconds: float = MAX_SECONDS
    workers: int | None = None
    fp16_inputs: bool = False
    aipp: bool = False
    compiled: str | None = None


@dataclass(frozen=True)
class Target:
    """A compiled model as its files see it.

    Attributes:
        gears: Its shapes.
        inputs: As it takes them.
        outputs: As it gives them.
        picture: How it takes pictures, where it normalises them itself.
        compiled: ``key``, ``device`` and ``precision`` of a compiled model; empty where none was named.
    """

    gears: GearSet
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    picture: PictureInput | None = None
    compiled: Mapping[str, str] = field(default_factory=dict)

    def arrays(self, features: Features) -> Mapping[str, Array]:
        """A processed sample as the model takes it.

        Raises:
            SampleError: It cannot.
        """
        if self.picture is None:
            return features.inputs
        return {self.picture.spec.name: self.picture.to_uint8(features)}


def job_target(model: Model, dataset: Dataset, options: JobOptions) -> Target:
    """What the files are for.

    Raises:
        UsageError: The options contradict each other, or name something that there is not.
        DatasetError: Sizes come from the data, and no sample has a readable length.
    """
    bundle = model.bundle
    if options.compiled is not None:
        return _compiled_target(bundle, options)
    if options.aipp and options.fp16_inputs:
        raise UsageError("--aipp and --fp16-inputs are both given: a model with AIPP takes uint8 pictures")
    plan = None if options.plan is None else read_plan(options.plan)
    gears = job_gears(model, dataset, plan=plan, sizes=options.sizes, batch_sizes=options.batch_sizes or None)
    picture = picture_input(bundle) if options.aipp else None
    inputs = tuple(
        replace(spec, dtype="float16") if options.fp16_inputs and spec.dtype == "float32" else spec
        for spec in bundle.manifest.inputs
    )
    return Target(gears, inputs if picture is None else (picture.spec,), bundle.manifest.outputs, picture)


def _compiled_target(bundle: Bundle, options: JobOptions) -> Target:
    own = {
        "--plan": options.plan,
        "--sizes": options.sizes,
        "--batch-sizes": options.batch_sizes,
        "--fp16-inputs": options.fp16_inputs,
        "--aipp": options.aipp,
    }
    if given := [name for name, value in own.items() if value]:
        raise UsageError(f"{given[0]} and --compiled are both given, and a compiled model has its own: leave one out")
    made = _find(bundle, str(options.compiled))
    rows = {(int(gear["batch"]), *gear["sizes"].items()): gear for unit in made.units for gear in unit.gears}
    gears = tuple(Gear(int(gear["batch"]), dict(gear["sizes"])) for gear in rows.values())
    return Target(
        gears=GearSet(bundle.manifest.inputs, gears),
        inputs=made.inputs,
        outputs=made.outputs,
        picture=picture_input(bundle) if made.aipp else None,
        compiled={"key": made.key, "device": made.device, "precision": made.precision},
    )


def _find(bundle: Bundle, key: str) -> Compiled:
    found = {made.key: made for made in find_compiled(bundle.model, _BACKEND)}
    if key not in found:
        known = ", ".join(found) or f"none; make one with: inferry compile {bundle.path} --soc Ascend310P3"
        raise UsageError(f"{bundle.path} has no compiled model {key!r}; available: {known}")
    if found[key].bundle != bundle.digest:
        raise UsageError(f"{key} was compiled from another state of {bundle.path}: compile it again")
    return found[key]
