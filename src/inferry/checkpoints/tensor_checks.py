"""Whether a checkpoint holds exactly the tensors that its configuration promises."""

from collections.abc import Mapping

import numpy as np

from inferry.core.specs import Array

Shapes = dict[str, tuple[int, ...]]
"""Expected shape by tensor name."""


def to_float32(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Floating point tensors as float32 (a value beyond its range becomes infinite); integers keep their dtype."""
    with np.errstate(over="ignore"):
        return {
            name: tensor.astype(np.float32, copy=False) if tensor.dtype.kind == "f" else tensor
            for name, tensor in tensors.items()
        }


def problems_of(tensors: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """All that is missing, not expected, of a wrong shape or kind, or not finite; each a sentence, in that order."""
    problems = [f"tensor {name} {list(shape)} is missing" for name, shape in expected.items() if name not in tensors]
    problems += [
        f"tensor {name} {list(tensor.shape)} is not expected in this architecture"
        for name, tensor in tensors.items()
        if name not in expected
    ]
    for name in (name for name in expected if name in tensors):
        problems += _wrong(name, tensors[name], expected[name])
    return problems


def _wrong(name: str, tensor: Array, shape: tuple[int, ...]) -> list[str]:
    if tensor.shape != shape:
        return [f"tensor {name} has shape {list(tensor.shape)}, expected {list(shape)}"]
    if tensor.dtype.kind != "f":
        return [f"tensor {name} has dtype {tensor.dtype}, expected floating point numbers"]
    bad = tensor.size - int(np.count_nonzero(np.isfinite(tensor)))
    return [f"tensor {name} has {bad} of {tensor.size} values that are not finite"] if bad else []
