"""Made-up inputs of an ONNX model, of the right types and ranges, at several sizes of its dynamic dimensions."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.core.errors import UsageError
from inferry.core.specs import Array

LADDER: Final = ((4, 1), (7, 1), (16, 1), (33, 1), (64, 32), (128, 64), (192, 64), (400, 1), (1000, 1), (3300, 1))
"""Sizes that dynamic dimensions are tried at, and how much larger each further one is: from a few tokens over pictures
that can be halved five times to the least sound that a speech network takes."""

_LARGEST: Final = 1 << 24
"""Elements of one input; larger sizes are left out."""

_SAME_VALUES: Final = frozenset({"Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Expand"})
_DATA_AXIS: Final[Mapping[str, int]] = {"Gather": 0, "GatherElements": 0}


@dataclass(frozen=True)
class Case:
    """One set of inputs.

    Attributes:
        sizes: Of the dynamic dimensions, as a phrase.
        inputs: By name, in the graph's dtypes and shapes.
    """

    sizes: str
    inputs: Mapping[str, Array]


def made_up_cases(model: ir.Model, seed: int, fixed: Mapping[str, int] | None = None) -> Iterator[Case]:
    """Cases in the order in which they should be tried; a size that the network refuses is the caller's to skip.

    The first axis of an input takes batches of 1, 2 and 3 in turn, all other dynamic dimensions go up a ladder, each
    of its own size. Indices into a table lie within it, lengths within the dynamic sizes, masks are 0 or 1, and
    floats are normal or, every other time, uniform in [0, 1). Every other time masks hide the ends of the rows, as
    padding does, otherwise any places.

    Args:
        model: The graph.
        seed: Of the numbers.
        fixed: Dynamic dimensions that have one size only.

    Raises:
        UsageError: An input is no tensor of plain numbers or its rank is unknown.
    """
    given = fixed or {}
    inputs = _inputs(model)
    for value in inputs:
        _require_numbers(value)
    first = {_key(value, 0) for value in inputs if _dims(value) and not isinstance(_dims(value)[0], int)}
    batches = first - set(given)
    others = [key for key in dict.fromkeys(_dynamic(inputs)) if key not in first and key not in given]
    for number, (rung, step) in enumerate(LADDER if others else LADDER[:3]):
        sizes = dict.fromkeys(batches, 1 + number % 3) | dict(given)
        sizes |= {key: rung + step * place for place, key in enumerate(others)}
        if all(math.prod(_shape(value, sizes)) <= _LARGEST for value in inputs):
            yield _case(inputs, sizes, np.random.default_rng([seed, number]), uniform=bool(number % 2))


def precision_of(model: ir.Model) -> str:
    """``float16`` where a node computes in it, else ``float32``; weights that are only stored in it do not count."""
    made = (value.dtype for node in model.graph.all_nodes() if node.op_type != "Constant" for value in node.outputs)
    return "float16" if ir.DataType.FLOAT16 in made else "float32"


def _inputs(model: ir.Model) -> list[ir.Value]:
    return [value for value in model.graph.inputs if not value.is_initializer()]


def _case(inputs: list[ir.Value], sizes: Mapping[str, int], random: np.random.Generator, *, uniform: bool) -> Case:
    arrays = {}
    for value in inputs:
        shape = _shape(value, sizes)
        arrays[value.name or ""] = _array(value, shape, _longest_length(inputs, sizes), random, uniform=uniform)
    return Case(", ".join(f"{key}={size}" for key, size in sizes.items()) or "fixed sizes", arrays)


def _array(
    value: ir.Value, shape: tuple[int, ...], longest: int, random: np.random.Generator, *, uniform: bool
) -> Array:
    dtype = _dtype(value)
    if dtype.kind == "f" and "mask" not in (value.name or ""):
        return np.asarray(random.random(shape) if uniform else random.standard_normal(shape)).astype(dtype)
    if dtype.kind in "iu":
        bound = _index_bound(value)
        if bound is not None:
            return random.integers(0, max(bound, 1), shape).astype(dtype)
        if dtype.itemsize == 1:
            return random.integers(0, 256, shape).astype(np.uint8).view(dtype)
        if len(shape) < 2:
            return _lengths(shape, longest, random).astype(dtype)
    return _mask(shape, random, padded=uniform).astype(dtype)


def _mask(shape: tuple[int, ...], random: np.random.Generator, *, padded: bool) -> Array:
    """Ones and zeros; the first of a row is always a one, for nothing at all to look at makes NaN."""
    if not shape:
        return np.asarray(random.integers(0, 2))
    if padded and len(shape) > 1:
        seen = random.integers((shape[-1] + 1) // 2, max(shape[-1], 2), shape[:-1])
        seen.flat[0] = shape[-1] if seen.size > 1 else seen.flat[0]
        return np.asarray(np.arange(shape[-1]) < seen[..., None], dtype=np.int64)
    mask = random.integers(0, 2, shape)
    mask[..., 0] = 1
    return mask


def _lengths(shape: tuple[int, ...], longest: int, random: np.random.Generator) -> Array:
    """From the upper half, where a network with strides still finds something, and once all."""
    lengths = np.asarray(random.integers((longest + 1) // 2, longest, shape, endpoint=True))
    if lengths.size:
        lengths.flat[0] = longest
    return lengths


def _longest_length(inputs: list[ir.Value], sizes: Mapping[str, int]) -> int:
    """The size that no length may exceed: the least dynamic one after the first axis, or the first fixed one."""
    later = [(value, axis) for value in inputs for axis in range(1, len(_dims(value)))]
    dynamic = [sizes[_key(*one)] for one in later if _key(*one) in sizes]
    return min(dynamic or [_shape(value, sizes)[axis] for value, axis in later[:1]] or [1])


def _shape(value: ir.Value, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else sizes[_key(value, axis)] for axis, dim in enumerate(_dims(value)))


def _index_bound(value: ir.Value) -> int | None:
    """The least size of the tables that a value, perhaps cast or reshaped, is looked up in; None if it is in none."""
    bounds = []
    for node, place in value.uses():
        if node.op_type in _SAME_VALUES and place == 0:
            bounds += [bound for output in node.outputs if (bound := _index_bound(output)) is not None]
        elif node.op_type in _DATA_AXIS and place == 1 and node.inputs[0] is not None:
            shape = node.inputs[0].shape
            size = None if shape is None else shape[node.attributes.get_int("axis", _DATA_AXIS[node.op_type])]
            bounds.append(size if isinstance(size, int) else 1)
    return min(bounds, default=None)


def _dynamic(inputs: list[ir.Value]) -> Iterator[str]:
    for value in inputs:
        yield from (_key(value, axis) for axis, dim in enumerate(_dims(value)) if not isinstance(dim, int))


def _dims(value: ir.Value) -> tuple[int | ir.SymbolicDim, ...]:
    assert value.shape is not None, "checked by _require_numbers"
    return tuple(value.shape.dims)


def _key(value: ir.Value, axis: int) -> str:
    """The dimension's own name, which other inputs may share, or one that no other has."""
    dim = _dims(value)[axis]
    named = dim.value if isinstance(dim, ir.SymbolicDim) else None
    return str(named) if named else f"{value.name}[{axis}]"


def _dtype(value: ir.Value) -> np.dtype[np.generic]:
    assert value.dtype is not None, "checked by _require_numbers"
    return np.dtype(value.dtype.numpy())


def _require_numbers(value: ir.Value) -> None:
    if not isinstance(value.type, ir.TensorType) or value.shape is None or _dtype(value).kind not in "fiub":
        shape = "unknown rank" if value.shape is None else f"shape {value.shape}"
        raise UsageError(f"input {value.name} is {value.type} of {shape}: no inputs can be made up for it")
