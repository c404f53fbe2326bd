"""Gears on the way out: the fixed shapes that a graph is compiled for, as atc and ais_bench want them written.

The rules are those of atc's documentation and of ais_bench's sources; `inferry.ascend.atc_gears` checks them in command
lines that others wrote.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import prod
from typing import Final

from inferry.ascend.atc_gears import MOST, MOST_950
from inferry.ascend.atc_soc import soc_family
from inferry.core.errors import UsageError
from inferry.core.specs import BATCH, TensorSpec

LARGEST_CLI_DIM: Final = 99_999
"""ais_bench reads sizes of at most five digits from its command line; raw sound has more."""

LARGEST_CLI_BATCH: Final = 4096
"""The largest batch that ais_bench can be told to set."""

MOST_CLI_DIMS: Final = 7
"""Dimensions of one input that ais_bench reads from its command line."""

_CLI_NAME = re.compile(r"[_A-Za-z0-9/.-]{1,256}")
_HEIGHT_AND_WIDTH: Final = (2, 3)


class GearKind(StrEnum):
    """Which of atc's options holds the gears."""

    STATIC = "static"
    BATCH = "dynamic_batch_size"
    IMAGE = "dynamic_image_size"
    DIMS = "dynamic_dims"


@dataclass(frozen=True, slots=True)
class Gear:
    """One set of sizes.

    Attributes:
        batch: Rows that run together.
        sizes: Of every other symbolic dimension, by its name.
    """

    batch: int
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def shape_name(self) -> str:
        """What one sample of this gear looks like, as a folder's name: ``samples16000``; ``items`` if all are alike."""
        return "_".join(f"{re.sub(r'[^A-Za-z0-9]', '', name)}{size}" for name, size in self.sizes.items()) or "items"

    @property
    def name(self) -> str:
        """Unique among gears: ``samples16000_b4``."""
        return f"{self.shape_name}_b{self.batch}"

    def shape(self, spec: TensorSpec) -> tuple[int, ...]:
        """The sizes of an input or output of the graph.

        Raises:
            UsageError: It has a symbolic dimension that the gear does not fix.
        """
        sizes = {BATCH: self.batch, **self.sizes}
        if unknown := [dim for dim in spec.dims if isinstance(dim, str) and dim not in sizes]:
            raise UsageError(
                f"{spec.name} has the dimension {unknown[0]!r}, and the gear fixes {', '.join(sizes)} only"
            )
        return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in spec.dims)

    def fixed(self, spec: TensorSpec) -> TensorSpec:
        """The input or output with numbers for all dimensions but the batch."""
        return replace(spec, dims=(BATCH, *self.shape(spec)[1:]) if spec.dims[:1] == (BATCH,) else self.shape(spec))


@dataclass(frozen=True)
class GearSet:
    """The shapes of one om.

    Attributes:
        inputs: Of the graph, in its order.
        gears: Distinct; the order is kept.
    """

    inputs: tuple[TensorSpec, ...]
    gears: tuple[Gear, ...]

    @property
    def shapes(self) -> tuple[Gear, ...]:
        """The first gear of each shape that a single sample may have."""
        first: dict[str, Gear] = {}
        for gear in self.gears:
            first.setdefault(gear.shape_name, gear)
        return tuple(first.values())

    @property
    def kind(self) -> GearKind:
        """How atc is told, by what differs between the gears: the least general option that can say it."""
        if len(self.gears) == 1:
            return GearKind.STATIC
        varying = self._varying
        dynamic = {spec.name: [axis for axis, dim in enumerate(spec.dims) if dim in varying] for spec in self.inputs}
        if all(axes in ([], [0]) for axes in dynamic.values()) and all(spec.dims for spec in self.inputs):
            return GearKind.BATCH
        wanted = list(_HEIGHT_AND_WIDTH)
        if all(not axes or (axes == wanted and len(self._spec(name).dims) == 4) for name, axes in dynamic.items()):
            pairs = {tuple(self._spec(name).dims[axis] for axis in axes) for name, axes in dynamic.items() if axes}
            if len(pairs) == 1:
                return GearKind.IMAGE
        return GearKind.DIMS

    @property
    def _varying(self) -> set[str]:
        """Symbolic dimensions that have more than one size."""
        seen: dict[str, set[int]] = {}
        for gear in self.gears:
            for name, size in ({BATCH: gear.batch} | dict(gear.sizes)).items():
                seen.setdefault(name, set()).add(size)
        return {name for name, sizes in seen.items() if len(sizes) > 1}

    def _spec(self, name: str) -> TensorSpec:
        return next(spec for spec in self.inputs if spec.name == name)

    def _open(self) -> list[tuple[str, list[int]]]:
        """Each input's sizes, -1 where gears differ."""
        varying, first = self._varying, self.gears[0]
        return [
            (
                spec.name,
                [-1 if dim in varying else size for dim, size in zip(spec.dims, first.shape(spec), strict=True)],
            )
            for spec in self.inputs
        ]

    def atc_options(self) -> dict[str, str]:
        """``input_format``, ``input_shape`` and the option of the gears, without dashes, in that order."""
        kind = self.kind
        options = {
            "input_format": "NCHW" if self._is_picture and kind is not GearKind.DIMS else "ND",
            "input_shape": ";".join(f"{name}:{','.join(map(str, dims))}" for name, dims in self._open()),
        }
        if kind is not GearKind.STATIC:
            separator = "," if kind is GearKind.BATCH else ";"
            options[kind.value] = separator.join(",".join(map(str, self._setting(gear))) for gear in self.gears)
        return options

    @property
    def _is_picture(self) -> bool:
        return any(len(spec.dims) == 4 for spec in self.inputs)

    def _setting(self, gear: Gear) -> tuple[int, ...]:
        """What one gear is in the option's value: of dims every -1 of every input, in order, combinations spelt out."""
        match self.kind:
            case GearKind.BATCH:
                return (gear.batch,)
            case GearKind.IMAGE:
                dims = next(spec for spec in self.inputs if self._varying & {str(dim) for dim in spec.dims})
                return gear.shape(dims)[2:4]
            case _:
                varying = self._varying
                pairs = (
                    (dim, size) for spec in self.inputs for dim, size in zip(spec.dims, gear.shape(spec), strict=True)
                )
                return tuple(size for dim, size in pairs if dim in varying)

    def ais_bench_options(self, gear: Gear) -> tuple[str, ...]:
        """What ais_bench is told to run one gear; nothing for a static om.

        Raises:
            UsageError: Its command line cannot say it; see `addressable`.
        """
        match self.kind:
            case GearKind.STATIC:
                return ()
            case GearKind.BATCH:
                if not self.addressable:
                    raise UsageError(
                        f"ais_bench sets batches up to {LARGEST_CLI_BATCH:,}: compile one om for each gear"
                    )
                return ("--dymBatch", str(gear.batch))
            case GearKind.IMAGE:
                return ("--dymHW", ",".join(map(str, self._setting(gear))))
            case GearKind.DIMS:
                if not self.addressable:
                    raise UsageError(f"ais_bench cannot be told the sizes of {gear.name}: compile one om for each gear")
                shapes = (f"{spec.name}:{','.join(map(str, gear.shape(spec)))}" for spec in self.inputs)
                return ("--dymDims", ";".join(shapes))

    @property
    def addressable(self) -> bool:
        """Whether ais_bench's command line can name every gear: sizes of five digits, no scalars, plain names."""
        if self.kind is GearKind.BATCH:
            return all(gear.batch <= LARGEST_CLI_BATCH for gear in self.gears)
        if self.kind is not GearKind.DIMS:
            return True
        shapes = [gear.shape(spec) for gear in self.gears for spec in self.inputs]
        sizes_fit = all(0 < len(shape) <= MOST_CLI_DIMS and max(shape) <= LARGEST_CLI_DIM for shape in shapes)
        return sizes_fit and all(_CLI_NAME.fullmatch(spec.name) for spec in self.inputs)

    def split(self) -> tuple["GearSet", ...]:
        """One static set for each gear."""
        return tuple(GearSet(self.inputs, (gear,)) for gear in self.gears)

    def smallest(self, sizes: Mapping[str, int]) -> Gear | None:
        """The gear of the smallest shape that takes a sample of these sizes; None if none does.

        Args:
            sizes: Of the symbolic dimensions but the batch, as far as the sample has them.
        """
        fitting = [one for one in self.shapes if all(size <= one.sizes[name] for name, size in sizes.items())]
        return min(fitting, key=lambda one: sum(prod(one.shape(spec)[1:]) for spec in self.inputs), default=None)


def require_few(gears: Sequence[Gear], soc: str) -> None:
    """Refuse more gears than atc's documentation allows.

    Raises:
        UsageError: There are too many, or one stands there twice.
    """
    most = MOST_950 if soc_family(soc) == "950" else MOST
    if len(gears) > most:
        raise UsageError(f"{len(gears)} gears; {soc} takes at most {most}: give fewer shapes or batch sizes")
    names = [gear.name for gear in gears]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"the gear {twice[0]} stands twice")
