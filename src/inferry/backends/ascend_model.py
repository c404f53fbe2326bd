"""What a loaded om says of itself, narrowed once, and what is written beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.backends.ascend_gears import Gear, Shape
from inferry.backends.ascend_runtime import Acl
from inferry.core.errors import BackendError
from inferry.core.specs import BATCH, TensorSpec

GEAR_INPUT: Final = "ascend_mbatch_shape_data"
"""The input that atc adds to an om with gears; the setters write it."""

DTYPES: Final = {
    0: "float32",
    1: "float16",
    2: "int8",
    3: "int32",
    4: "uint8",
    6: "int16",
    7: "uint16",
    8: "uint32",
    9: "int64",
    10: "uint64",
    11: "float64",
    12: "bool",
}
"""``aclDataType`` to numpy. bfloat16 (27) has no numpy dtype and is refused."""

DTYPE_CODES: Final = {name: code for code, name in DTYPES.items()}
"""numpy to ``aclDataType``."""


class Kind(StrEnum):
    """How the shapes of an om are set."""

    STATIC = "static"
    BATCH = "dynamic batch"
    IMAGE = "dynamic image size"
    DIMS = "dynamic dims"
    SHAPE = "dynamic shape"


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of an om.

    Attributes:
        name: Of an output: that of the ONNX tensor, without the operator and index that atc puts before it.
        dtype: A numpy dtype name.
        dims: -1 where the size is set at run time.
        size: Bytes that its buffer needs; 0 where only execution tells.
    """

    name: str
    dtype: str
    dims: Shape
    size: int


@dataclass(frozen=True, slots=True)
class Om:
    """A loaded om.

    Attributes:
        kind: How its shapes are set.
        inputs: Without the gear input.
        outputs: In the om's order.
        gears: The shapes it was compiled for; none for a dynamic shape.
        gear_index: Position of the gear input among all inputs, None where there is none.
        gear_size: Its bytes.
    """

    kind: Kind
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    gears: tuple[Gear, ...]
    gear_index: int | None = None
    gear_size: int = 0


def describe(acl: Acl, desc: int) -> Om:
    """What the om's description says.

    Args:
        acl: The module.
        desc: A filled ``aclmdlDesc``.

    Raises:
        BackendError: A call failed, or the om has a dtype or gears that are not supported.
    """
    ports = [_port(acl, desc, "input", i) for i in range(acl.get("mdl.get_num_inputs", desc))]
    outputs = tuple(_port(acl, desc, "output", i) for i in range(acl.get("mdl.get_num_outputs", desc)))
    inputs = tuple(port for port in ports if port.name != GEAR_INPUT)
    index = next((i for i, port in enumerate(ports) if port.name == GEAR_INPUT), None)
    if index is None and any(-1 in port.dims for port in inputs):
        return Om(Kind.SHAPE, inputs, outputs, ())
    if unsized := [port.name for port in (*ports, *outputs) if port.size == 0]:
        raise BackendError(f"acl states no size for {', '.join(unsized)} of an om with fixed shapes")
    if index is None:
        return Om(Kind.STATIC, inputs, outputs, (Gear((), tuple(port.dims for port in inputs)),))
    kind, gears = _gears(acl, desc, inputs)
    return Om(kind, inputs, outputs, gears, index, ports[index].size)


def _port(acl: Acl, desc: int, side: str, index: int) -> Port:
    name = str(acl.get(f"mdl.get_{side}_name_by_index", desc, index))
    code = acl.plain(f"mdl.get_{side}_data_type", desc, index)
    if code not in DTYPES:
        raise BackendError(f"{side} {name} of this om has the acl dtype {code}; supported: {sorted(DTYPES)}")
    dims = sizes_of(acl.call(f"mdl.get_{side}_dims", desc, index))
    size = int(acl.plain(f"mdl.get_{side}_size_by_index", desc, index))
    return Port(_tensor_name(name) if side == "output" else name, DTYPES[code], dims, size)


def sizes_of(dims: Mapping[str, Any]) -> Shape:
    """An ``aclmdlIODims``: of its sizes, the first ``dimCount`` count."""
    return tuple(int(size) for size in dims["dims"][: dims["dimCount"]])


def _tensor_name(name: str) -> str:
    """``operator:index:tensor`` to the tensor, which is the output's name in the ONNX file."""
    parts = name.split(":", 2)
    return parts[2] if len(parts) == 3 and parts[1].isdigit() else name


def _gears(acl: Acl, desc: int, inputs: Sequence[Port]) -> tuple[Kind, tuple[Gear, ...]]:
    dims = [port.dims for port in inputs]
    batch = acl.call("mdl.get_dynamic_batch", desc)
    if batch["batchCount"]:
        return Kind.BATCH, tuple(_filled(dims, (size,)) for size in batch["batch"][: batch["batchCount"]])
    image = acl.call("mdl.get_dynamic_hw", desc, -1)
    if image["hwCount"]:
        return Kind.IMAGE, tuple(_filled(dims, tuple(size)) for size in image["hw"][: image["hwCount"]])
    count = acl.call("mdl.get_input_dynamic_gear_count", desc, -1)
    if not count:
        raise BackendError(f"this om has the input {GEAR_INPUT}, but acl states no gears for it")
    found = acl.call("mdl.get_input_dynamic_dims", desc, -1, count)
    return Kind.DIMS, _split(inputs, [sizes_of(gear) for gear in found])


def _filled(dims: Sequence[Shape], setting: Shape) -> Gear:
    """Each input's -1 replaced by the setting's sizes, in their order."""
    shapes = []
    for shape in dims:
        sizes = iter(setting)
        shapes.append(tuple(next(sizes) if dim == -1 else dim for dim in shape))
    return Gear(setting, tuple(shapes))


def _split(inputs: Sequence[Port], settings: Sequence[Shape]) -> tuple[Gear, ...]:
    """All sizes of the inputs, one after the other in the order of atc's ``--input_shape``, which acl does not tell.

    Raises:
        BackendError: No order of the inputs fits them.
    """
    order = _order(inputs, settings)
    if order is None:
        shapes = " ".join(f"{port.name}{list(port.dims)}" for port in inputs)
        found = ", ".join(map(str, settings))
        raise BackendError(f"the gears that acl states, {found}, fit the inputs {shapes} in no order")
    gears = []
    for setting in settings:
        sizes = iter(setting)
        listed = {index: tuple(next(sizes) for _ in inputs[index].dims) for index in order}
        gears.append(Gear(setting, tuple(listed.get(index, port.dims) for index, port in enumerate(inputs))))
    return tuple(gears)


def _order(inputs: Sequence[Port], settings: Sequence[Shape], placed: tuple[int, ...] = ()) -> tuple[int, ...] | None:
    """The places of the inputs as the settings name them, the om's own order first; fixed inputs may be left out."""
    start = sum(len(inputs[index].dims) for index in placed)
    left = [index for index in range(len(inputs)) if index not in placed]
    if all(len(setting) == start for setting in settings) and not any(-1 in inputs[index].dims for index in left):
        return placed
    for index in left:
        port = inputs[index]
        if all(_holds(port, setting[start : start + len(port.dims)]) for setting in settings):
            found = _order(inputs, settings, (*placed, index))
            if found is not None:
                return found
    return None


def _holds(port: Port, sizes: Shape) -> bool:
    """Whether an input can have these sizes: as many, the fixed ones alike, no larger than its buffer."""
    if len(sizes) != len(port.dims) or prod(sizes) * np.dtype(port.dtype).itemsize > port.size:
        return False
    return all(dim in {-1, size} for dim, size in zip(port.dims, sizes, strict=True))


@dataclass(frozen=True)
class Origin:
    """The graph that an om was compiled from: what may be padded, and what is to be cut, stands there alone.

    Attributes:
        inputs: Of the graph.
        outputs: Of the graph.
        precision: It was compiled for.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    precision: str


def write_origin(model: Path, origin: Origin) -> None:
    """Write what `read_origin` reads: ``<stem>.json`` beside the om."""
    rows = {key: [spec.to_json() for spec in getattr(origin, key)] for key in ("inputs", "outputs")}
    text = json.dumps(rows | {"precision": origin.precision}, indent=2)
    model.with_suffix(".json").write_text(f"{text}\n", encoding="utf-8")


def read_origin(model: Path) -> Origin | None:
    """What ``<stem>.json`` beside the om says, with ``inputs``, ``outputs`` and ``precision``; None if there is none.

    Raises:
        BackendError: It is broken.
    """
    path = model.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        inputs, outputs = (tuple(map(TensorSpec.from_json, row[key])) for key in ("inputs", "outputs"))
        return Origin(inputs, outputs, str(row["precision"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BackendError(
            f"{path} does not describe the graph of {model.name}: {error!r}; compile it again"
        ) from error


def growing_axes(om: Om, origin: Origin | None) -> tuple[frozenset[int], ...]:
    """Axes of each input that may be padded.

    Where nothing is known of the graph, these are the batch axes of an om with dynamic batch: whether padding changes
    an answer along another axis is the graph's affair.

    Raises:
        BackendError: The om's inputs are not those of its origin.
    """
    if origin is None:
        batch = om.kind is Kind.BATCH
        return tuple(frozenset({0} if batch and port.dims[:1] == (-1,) else ()) for port in om.inputs)
    specs = {spec.name: spec for spec in origin.inputs}
    if set(specs) != {port.name for port in om.inputs}:
        raise BackendError(f"the om's inputs are {[port.name for port in om.inputs]}, its graph's {sorted(specs)}")
    found = [specs[port.name] for port in om.inputs]
    return tuple(frozenset(spec.dynamic_axes) | ({0} if spec.dims[:1] == (BATCH,) else set()) for spec in found)


def output_specs(om: Om, origin: Origin | None) -> tuple[TensorSpec, ...]:
    """What each output becomes, in the om's order: float16 comes back as float32, the rest as the graph says.

    Raises:
        BackendError: The om's outputs are not those of its origin.
    """
    if origin is None:
        return tuple(
            TensorSpec(port.name, "float32" if port.dtype == "float16" else port.dtype, ()) for port in om.outputs
        )
    specs = {spec.name: spec for spec in origin.outputs}
    if set(specs) == {port.name for port in om.outputs}:
        return tuple(specs[port.name] for port in om.outputs)
    if len(specs) != len(om.outputs):
        raise BackendError(f"the om's outputs are {[port.name for port in om.outputs]}, its graph's {sorted(specs)}")
    # Other ways of compiling name outputs by their operators; atc keeps the graph's order.
    return origin.outputs
