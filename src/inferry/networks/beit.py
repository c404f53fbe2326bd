"""BEiT with a classifier on top (Bao et al., arXiv:2106.08254).

Source: microsoft/unilm, beit/modeling_finetune.py (806b7d07), VisionTransformer: relative positions of every block or
shared, absolute positions, mean or class token pooling, with and without layer scale.

What does not depend on the picture is computed here: the relative positions become one constant a block, layer scale
and the attention's scale become part of the weights beside them.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from inferry.core.protocols import Checkpoint, Network
from inferry.core.specs import Array
from inferry.networks.graph import Graph
from inferry.networks.modules import Modules

_TABLE = "relative_position_bias_table"
_INDEX = "relative_position_index"


@dataclass(frozen=True)
class _Config:
    """The checkpoint's architecture under the original's names."""

    img_size: int
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_dim: int
    num_classes: int
    qkv_bias: bool
    layer_scale: bool
    use_mean_pooling: bool
    use_rel_pos_bias: bool
    use_shared_rel_pos_bias: bool
    use_abs_pos_emb: bool
    layer_norm_eps: float

    @property
    def patches(self) -> int:
        """Of a picture."""
        return (self.img_size // self.patch_size) ** 2


def build(checkpoint: Checkpoint) -> Network:
    """Write the network of `checkpoint`.

    Input: ``pixel_values`` float32 (batch, 3, size, size), normalised.
    Output: ``logits`` float32 (batch, classes).

    Raises:
        CheckpointError: The tensors are not those that the configuration describes.
    """
    config = _Config(**checkpoint.config)
    modules = Modules(Graph("beit"), checkpoint)
    graph, size = modules.graph, config.img_size
    pixels = graph.input("pixel_values", "float32", ("batch", 3, size, size))
    x = _tokens(modules, pixels, config)
    shared = _shared_bias(modules, config)
    for index in range(config.depth):
        with modules.scope(f"blocks.{index}"):
            x = _block(modules, x, config, shared)
    pooled = _pooled(modules, x, config)
    logits = modules.linear("head", pooled, config.embed_dim, config.num_classes)
    graph.output(logits, "logits", "float32", ("batch", config.num_classes))
    modules.finish()
    return graph.network()


def _tokens(modules: Modules, pixels: ir.Value, config: _Config) -> ir.Value:
    """(batch, 3, size, size) to (batch, 1 + patches, width).

    Room for the class token is padded in and filled by the same addition that brings the absolute positions.
    """
    graph, width, patch = modules.graph, config.embed_dim, config.patch_size
    with modules.scope("patch_embed.proj"):
        weight, bias = modules.weight("weight", (width, 3, patch, patch)), modules.weight("bias", (width,))
        x = graph.op("Conv", pixels, weight, bias, kernel_shape=[patch, patch], strides=[patch, patch])
    x = modules.transpose(graph.op("Reshape", x, graph.constant([0, width, config.patches], "int64")))
    x = graph.op("Pad", x, graph.constant([0, 1, 0, 0, 0, 0], "int64"))
    start = np.zeros((1, config.patches + 1, width), np.float32)
    start[:, :1] = modules.tensor("cls_token", (1, 1, width))
    if config.use_abs_pos_emb:
        start = start + modules.tensor("pos_embed", start.shape)
    return graph.op("Add", x, graph.weight("cls_token_and_positions", start))


def _position_bias(modules: Modules, config: _Config) -> Array:
    """The current module's (1, heads, tokens, tokens): its table, read for every pair of tokens."""
    grid, tokens = config.img_size // config.patch_size, config.patches + 1
    table = modules.tensor(_TABLE, ((2 * grid - 1) ** 2 + 3, config.num_heads))
    index = modules.tensor(_INDEX, (tokens, tokens)).astype(np.int64, copy=False)
    return np.ascontiguousarray(table[index].transpose(2, 0, 1)[None])


def _shared_bias(modules: Modules, config: _Config) -> Array | None:
    """The bias of all blocks, None where each has only its own."""
    if not config.use_shared_rel_pos_bias:
        return None
    with modules.scope("rel_pos_bias"):
        return _position_bias(modules, config)


def _block(modules: Modules, x: ir.Value, config: _Config, shared: Array | None) -> ir.Value:
    """A transformer block with its norms before the sublayers: (batch, tokens, width) in and out."""
    graph, width = modules.graph, config.embed_dim
    scales = [modules.tensor(f"gamma_{part}", (width,)) if config.layer_scale else None for part in (1, 2)]
    normed = modules.layer_norm("norm1", x, width, config.layer_norm_eps)
    x = graph.op("Add", x, _attention(modules, normed, config, scales[0], shared))
    normed = modules.layer_norm("norm2", x, width, config.layer_norm_eps)
    with modules.scope("mlp"):
        hidden = modules.gelu(modules.linear("fc1", normed, width, config.mlp_dim))
        change = _scaled_linear(modules, "fc2", hidden, (config.mlp_dim, width), scales[1])
    return graph.op("Add", x, change)


def _attention(modules: Modules, x: ir.Value, config: _Config, scale: Array | None, shared: Array | None) -> ir.Value:
    """Multi-head self-attention with relative position bias: (batch, tokens, width) in and out."""
    graph, width, heads = modules.graph, config.embed_dim, config.num_heads
    split = graph.constant([0, 0, heads, width // heads], "int64")
    with modules.scope("attn"):
        parts = graph.op_outputs("Split", _qkv(modules, x, config), count=3, axis=2)
        query, key, value = (
            graph.op("Transpose", graph.op("Reshape", part, split), perm=perm)
            for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = graph.op("MatMul", query, key)
        bias = _bias_of(modules, config, shared)
        weights = graph.op("Softmax", scores if bias is None else graph.op("Add", scores, bias), axis=-1)
        context = graph.op("Transpose", graph.op("MatMul", weights, value), perm=[0, 2, 1, 3])
        merged = graph.op("Reshape", context, graph.constant([0, 0, width], "int64"))
        return _scaled_linear(modules, "proj", merged, (width, width), scale)


def _bias_of(modules: Modules, config: _Config, shared: Array | None) -> ir.Value | None:
    """What the current attention adds to its scores, if anything."""
    if not config.use_rel_pos_bias:
        return None if shared is None else modules.graph.weight("rel_pos_bias", shared)
    own = _position_bias(modules, config)
    name = f"{modules.graph.path}.relative_position_bias"
    return modules.graph.weight(name, own if shared is None else own + shared)


def _qkv(modules: Modules, x: ir.Value, config: _Config) -> ir.Value:
    """(batch, tokens, width) to the scaled queries, the keys and the values side by side; keys have no bias."""
    graph, width = modules.graph, config.embed_dim
    scale = np.ones(3 * width, np.float32)
    scale[:width] = (width // config.num_heads) ** -0.5
    weight = modules.tensor("qkv.weight", (3 * width, width)) * scale[:, None]
    x = graph.op("MatMul", x, graph.weight(f"{graph.path}.qkv.weight.T", weight.T))
    if not config.qkv_bias:
        return x
    zeros = np.zeros(width, np.float32)
    bias = np.concatenate([modules.tensor("q_bias", (width,)), zeros, modules.tensor("v_bias", (width,))]) * scale
    return graph.op("Add", x, graph.weight(f"{graph.path}.qkv.bias", bias))


def _scaled_linear(modules: Modules, name: str, x: ir.Value, sizes: tuple[int, int], scale: Array | None) -> ir.Value:
    """``torch.nn.Linear`` from sizes[0] to sizes[1], whose output is multiplied by `scale`."""
    if scale is None:
        return modules.linear(name, x, *sizes)
    graph = modules.graph
    with modules.scope(name):
        weight, bias = modules.tensor("weight", sizes[::-1]).T * scale, modules.tensor("bias", sizes[1:]) * scale
        product = graph.op("MatMul", x, graph.weight(f"{graph.path}.weight.T*gamma", weight))
        return graph.op("Add", product, graph.weight(f"{graph.path}.bias*gamma", bias))


def _pooled(modules: Modules, x: ir.Value, config: _Config) -> ir.Value:
    """(batch, tokens, width) to (batch, width): the mean of the patches, or the class token."""
    graph, width, epsilon = modules.graph, config.embed_dim, config.layer_norm_eps
    if not config.use_mean_pooling:
        first = graph.op("Gather", x, graph.constant(0, "int64"), axis=1)
        return modules.layer_norm("norm", first, width, epsilon)
    one, end = graph.constant([1], "int64"), graph.constant([config.patches + 1], "int64")
    patches = graph.op("Slice", x, one, end, one)
    return modules.layer_norm("fc_norm", graph.op("ReduceMean", patches, axes=[1], keepdims=0), width, epsilon)
