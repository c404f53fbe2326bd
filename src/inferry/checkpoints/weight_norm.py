"""Weight norm of wav2vec2's positional convolution, in its three spellings.

Hub files hold ``weight_g`` and ``weight_v`` (torch.nn.utils.weight_norm), current transformers saves
``parametrizations.weight.original0`` and ``original1`` (torch.nn.utils.parametrizations), converted files ``weight``.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from inferry.core.specs import Array

_SPELLINGS: Final = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)


def resolve(tensors: Mapping[str, Array], convolution: str) -> tuple[dict[str, Array], list[str]]:
    """The tensors with the convolution's plain weight in place of its parts, and the problems.

    Args:
        tensors: All tensors of the checkpoint, float32.
        convolution: Name of the convolution, without a dot at its end.
    """
    names = [tuple(f"{convolution}.{part}" for part in pair) for pair in _SPELLINGS]
    used = [pair for pair in names if any(name in tensors for name in pair)]
    plain = f"{convolution}.weight"
    rest = {name: tensor for name, tensor in tensors.items() if not any(name in pair for pair in used)}
    if not used:
        return rest, []
    if len(used) > 1 or plain in tensors:
        given = [name for pair in names for name in pair if name in tensors] + [plain] * (plain in tensors)
        return rest, [f"the positional convolution's weight is given twice: {', '.join(given)}"]
    missing = [name for name in used[0] if name not in tensors]
    if missing:
        return rest, [f"tensor {missing[0]} is missing, half of the positional convolution's weight norm"]
    scale, direction = (tensors[name] for name in used[0])
    if direction.ndim != 3 or scale.shape != (1, 1, direction.shape[2]):
        found = f"tensor {used[0][0]} has shape {list(scale.shape)} and {used[0][1]} {list(direction.shape)}"
        return rest, [f"{found}, expected [1, 1, kernel] and [hidden, hidden / groups, kernel]"]
    return rest | {plain: weight_of(scale, direction)}, []


def weight_of(scale: Array, direction: Array) -> Array:
    """The convolution's weight: direction * scale / ||direction||, one norm for every kernel position.

    Args:
        scale: float32 (1, 1, kernel).
        direction: float32 (out, in, kernel).

    Returns:
        float32 (out, in, kernel), as ``torch._weight_norm(v, g, dim=2)`` computes it.
    """
    # torch sums in an order of its own; summing in double precision is nearest to whatever it is.
    norm = np.sqrt(np.sum(np.square(direction, dtype=np.float64), axis=(0, 1), keepdims=True)).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):  # a zero norm gives NaN, which the checks report
        weight: Array = direction * (scale / norm)
    return weight
