"""Architecture, names and shapes of all tensors of a BEiT classifier, from its tensors alone.

After unilm/beit, ``modeling_finetune.py``, VisionTransformer.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from inferry.checkpoints.beit_positions import (
    EXTRA,
    GREATEST_GRID,
    grid_of_table,
    grid_of_tokens,
    relative_position_index,
)
from inferry.checkpoints.tensor_checks import Shapes
from inferry.core.specs import Array

TABLE: Final = "relative_position_bias_table"
INDEX: Final = "relative_position_index"
_SHARED: Final = f"rel_pos_bias.{TABLE}"
_OWN: Final = f"blocks.0.attn.{TABLE}"
_EPSILON: Final = 1e-6
"""Of every layer norm; the original's builders pass it, no file holds it."""

_HEAD_WIDTH: Final = 64
"""Channels of a head in all released sizes."""

_SIZES: Final = {
    "embed_dim": ("cls_token", 3, 2),
    "patch_size": ("patch_embed.proj.weight", 4, 3),
    "mlp_dim": ("blocks.0.mlp.fc1.weight", 2, 0),
    "num_classes": ("head.weight", 2, 0),
}
"""Where each size is read: tensor, its dimensions, the axis."""

_NO_HEAD: Final = "it has no classifier (head.weight): it was pre-trained, but not fine-tuned for classification"


def config_of(tensors: Mapping[str, Array]) -> tuple[dict[str, Any], list[str], list[str]]:
    """The architecture under the original's argument names, what stands against it, and what was assumed.

    Args:
        tensors: Under the names of unilm, index buffers included or not.

    Returns:
        The configuration, the problems (each a sentence; where there are any, the configuration is of no use), and
        notes for the user. ``layer_scale`` says whether there are gamma_1 and gamma_2, ``mlp_dim`` is the width between
        the two layers of the perceptron; both are arguments of another form in the original.
    """
    config: dict[str, Any] = {}
    problems: list[str] = []
    for key, (name, rank, axis) in _SIZES.items():
        shape = tensors[name].shape if name in tensors else ()
        if len(shape) == rank and shape[axis] > 0:
            config[key] = shape[axis]
        elif name == "head.weight" and name not in tensors:
            problems.append(_NO_HEAD)
        else:
            found = f"has shape {list(shape)}, expected {rank} dimensions" if name in tensors else "is missing"
            problems.append(f"tensor {name} {found}; it tells {key}")
    grid, found_problems = _grid(tensors)
    problems += found_problems
    if problems:
        return config, problems, []
    config |= {
        "img_size": grid * config["patch_size"],
        "depth": len({match[1] for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}),
        "qkv_bias": "blocks.0.attn.q_bias" in tensors,
        "layer_scale": "blocks.0.gamma_1" in tensors,
        "use_mean_pooling": "fc_norm.weight" in tensors,
        "use_rel_pos_bias": _OWN in tensors,
        "use_shared_rel_pos_bias": _SHARED in tensors,
        "use_abs_pos_emb": "pos_embed" in tensors,
        "layer_norm_eps": _EPSILON,
    }
    heads, found_problems, notes = _heads(tensors, config["embed_dim"])
    return config | {"num_heads": heads}, found_problems, notes


def beit_table(config: Mapping[str, Any]) -> Shapes:
    """Expected tensors, without index buffers.

    Args:
        config: As `config_of` returns it.
    """
    width, patch, grid = config["embed_dim"], config["patch_size"], config["img_size"] // config["patch_size"]
    rows = ((2 * grid - 1) ** 2 + EXTRA, config["num_heads"])
    table: Shapes = {"cls_token": (1, 1, width)}
    if config["use_abs_pos_emb"]:
        table["pos_embed"] = (1, grid * grid + 1, width)
    table |= {"patch_embed.proj.weight": (width, 3, patch, patch), "patch_embed.proj.bias": (width,)}
    if config["use_shared_rel_pos_bias"]:
        table[_SHARED] = rows
    for block in range(config["depth"]):
        table |= {f"blocks.{block}.{name}": shape for name, shape in _block(config, rows).items()}
    return (
        table
        | _norm("fc_norm" if config["use_mean_pooling"] else "norm", width)
        | _linear("head", config["num_classes"], width)
    )


def split_indices(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], list[str]]:
    """The tensors without index buffers, and what is wrong with those buffers."""
    indices = {name: tensor for name, tensor in tensors.items() if name.endswith(f".{INDEX}")}
    rest = {name: tensor for name, tensor in tensors.items() if name not in indices}
    problems = []
    for name, index in indices.items():
        grid = grid_of_tokens(len(index)) if index.shape == (len(index), len(index)) else None
        if grid is None or not np.array_equal(index, relative_position_index(grid)):
            problems.append(f"tensor {name} {list(index.shape)} is not the original's table of relative positions")
    return rest, problems


def indices_of(tensors: Mapping[str, Array], grid: int) -> dict[str, Array]:
    """The index buffer beside every relative position table; they all share one array."""
    index = relative_position_index(grid)
    return {f"{name.removesuffix(TABLE)}{INDEX}": index for name in tensors if name.endswith(f".{TABLE}")}


def _grid(tensors: Mapping[str, Array]) -> tuple[int, list[str]]:
    """Patches along a side, as all tensors that know it agree."""
    known: dict[str, int | None] = {}
    for name, tensor in tensors.items():
        if name.endswith(f".{TABLE}"):
            known[name] = grid_of_table(len(tensor)) if tensor.ndim == 2 else None
        elif name.endswith(f".{INDEX}"):
            known[name] = grid_of_tokens(len(tensor)) if tensor.ndim == 2 else None
        elif name == "pos_embed":
            known[name] = grid_of_tokens(tensor.shape[1]) if tensor.ndim == 3 else None
    problems = [
        f"tensor {name} {list(tensors[name].shape)} fits no square of patches" for name in known if not known[name]
    ]
    if not known:
        problems.append(
            f"no tensor tells the input size; expected pos_embed, or {TABLE} in every block or in rel_pos_bias"
        )
    problems += [
        f"tensor {name} is for {grid} x {grid} patches, supported are {GREATEST_GRID} x {GREATEST_GRID}"
        for name, grid in known.items()
        if grid and grid > GREATEST_GRID
    ]
    sizes: dict[int, str] = {grid: name for name, grid in known.items() if grid}
    if len(sizes) > 1:
        told = ", ".join(f"{name} {size} x {size}" for size, name in sizes.items())
        problems.append(f"the tensors contradict each other about the number of patches: {told}")
    return next(iter(sizes), 0), problems


def _heads(tensors: Mapping[str, Array], width: int) -> tuple[int, list[str], list[str]]:
    table = next((tensors[name] for name in (_OWN, _SHARED) if name in tensors), None)
    heads = table.shape[1] if table is not None else width // _HEAD_WIDTH
    if not heads or width % heads:
        return heads, [f"{heads} heads do not divide the width {width} (of cls_token)"], []
    if table is not None:
        return heads, [], []
    note = f"{heads} heads were assumed, {_HEAD_WIDTH} channels each as in the released sizes: no tensor tells"
    return heads, [], [note]


def _block(config: Mapping[str, Any], rows: tuple[int, int]) -> Shapes:
    width = config["embed_dim"]
    gammas: Shapes = {"gamma_1": (width,), "gamma_2": (width,)} if config["layer_scale"] else {}
    biases: Shapes = {"attn.q_bias": (width,), "attn.v_bias": (width,)} if config["qkv_bias"] else {}
    own: Shapes = {f"attn.{TABLE}": rows} if config["use_rel_pos_bias"] else {}
    return {
        **gammas,
        **_norm("norm1", width),
        **biases,
        **own,
        "attn.qkv.weight": (3 * width, width),
        **_linear("attn.proj", width, width),
        **_norm("norm2", width),
        **_linear("mlp.fc1", config["mlp_dim"], width),
        **_linear("mlp.fc2", width, config["mlp_dim"]),
    }


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _linear(name: str, size_out: int, size: int) -> Shapes:
    return {f"{name}.weight": (size_out, size), f"{name}.bias": (size_out,)}
