"""The network of unilm/beit in torch, against which parity is measured.

Written anew after `beit/modeling_finetune.py` (806b7d07): the original needs timm 0.3 to 0.4 and is no package. Names,
order of operations and buffers are the original's; it computes relative positions and layer scale at every call.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inferry.core.errors import MissingDependencyError
from inferry.core.machine import INSTALL_REFERENCE
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

if TYPE_CHECKING:
    from torch import Tensor


def reference(checkpoint: Checkpoint) -> "BeitReference":
    """The original network with the checkpoint's weights, on the processor.

    It computes in float64, so that its own rounding takes nothing of the tolerance: docs/decisions/0003.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch", "The original BEiT network", INSTALL_REFERENCE) from error
    tensors = {
        name: torch.from_numpy(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
        for name, array in checkpoint.tensors.items()
    }
    return BeitReference(tensors, checkpoint.config)


class BeitReference:
    """BEiT for one picture alone; conforms to `inferry.core.protocols.Reference`.

    Args:
        tensors: Under the original names; floating point numbers as float64, index buffers as int64.
        config: As in `Checkpoint.config`.
    """

    def __init__(self, tensors: Mapping[str, "Tensor"], config: Mapping[str, Any]) -> None:
        self._tensors = tensors
        self._config = config

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs for one picture alone.

        Args:
            inputs: `pixel_values`, float32 (3, size, size).

        Returns:
            `logits`, float64 (classes,).
        """
        import torch

        pixels = torch.from_numpy(np.asarray(inputs["pixel_values"], dtype=np.float64))
        with torch.inference_mode():
            *_, last = self._blocks(pixels[None])
            logits = self._linear("head", self._pooled(last))
        return {"logits": logits[0].numpy()}

    def hidden_states(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Output of every block, float64 (tokens, width); arguments as for `infer`."""
        import torch

        pixels = torch.from_numpy(np.asarray(inputs["pixel_values"], dtype=np.float64))
        with torch.inference_mode():
            return [x[0].numpy() for x in self._blocks(pixels[None])]

    def modules(self) -> list[str]:
        """Full names of modules whose outputs the graph has as they are: the blocks and the head."""
        return [*(f"blocks.{block}" for block in range(self._config["depth"])), "head"]

    def trace(self, inputs: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """What these modules give for one picture alone, float64, batch first, by name; `inputs` as for `infer`."""
        outputs = [*self.hidden_states(inputs), self.infer(inputs)["logits"]]
        found = dict(zip(self.modules(), outputs, strict=True))
        return {name: found[name][None] for name in names}

    def signature(self) -> dict[str, str]:
        """The package that computes it, with its version."""
        import torch

        return {"network": "unilm/beit 806b7d07, written anew", "torch": str(torch.__version__)}

    def _blocks(self, pixels: "Tensor") -> Iterator["Tensor"]:
        """(1, 3, size, size) to what every block gives, (1, tokens, width)."""
        import torch
        from torch.nn.functional import conv2d

        weight, bias = self._tensors["patch_embed.proj.weight"], self._tensors["patch_embed.proj.bias"]
        x = conv2d(pixels, weight, bias, stride=self._config["patch_size"]).flatten(2).transpose(1, 2)
        x = torch.cat((self._tensors["cls_token"], x), dim=1)
        if self._config["use_abs_pos_emb"]:
            x = x + self._tensors["pos_embed"]
        for block in range(self._config["depth"]):
            x = self._block(f"blocks.{block}", x)
            yield x

    def _block(self, name: str, x: "Tensor") -> "Tensor":
        from torch.nn.functional import gelu

        gamma_1, gamma_2 = (self._tensors.get(f"{name}.gamma_{part}", 1.0) for part in (1, 2))
        x = x + gamma_1 * self._attention(f"{name}.attn", self._norm(f"{name}.norm1", x))
        hidden = gelu(self._linear(f"{name}.mlp.fc1", self._norm(f"{name}.norm2", x)))
        return x + gamma_2 * self._linear(f"{name}.mlp.fc2", hidden)

    def _attention(self, name: str, x: "Tensor") -> "Tensor":
        import torch
        from torch.nn.functional import linear

        heads, (_, tokens, width) = self._config["num_heads"], x.shape
        bias = None
        if self._config["qkv_bias"]:
            q_bias, v_bias = self._tensors[f"{name}.q_bias"], self._tensors[f"{name}.v_bias"]
            bias = torch.cat((q_bias, torch.zeros_like(v_bias), v_bias))
        qkv = linear(x, self._tensors[f"{name}.qkv.weight"], bias)
        query, key, value = qkv.reshape(1, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
        scores = (query * (width // heads) ** -0.5) @ key.transpose(-2, -1)
        for place in (name, "rel_pos_bias"):
            if f"{place}.relative_position_bias_table" in self._tensors:
                table = self._tensors[f"{place}.relative_position_bias_table"]
                index = self._tensors[f"{place}.relative_position_index"]
                scores = scores + table[index.view(-1)].view(tokens, tokens, -1).permute(2, 0, 1)
        context = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(1, tokens, width)
        return self._linear(f"{name}.proj", context)

    def _pooled(self, x: "Tensor") -> "Tensor":
        return (
            self._norm("fc_norm", x[:, 1:].mean(1)) if self._config["use_mean_pooling"] else self._norm("norm", x)[:, 0]
        )

    def _norm(self, name: str, x: "Tensor") -> "Tensor":
        from torch.nn.functional import layer_norm

        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return layer_norm(x, weight.shape, weight, bias, self._config["layer_norm_eps"])

    def _linear(self, name: str, x: "Tensor") -> "Tensor":
        from torch.nn.functional import linear

        return linear(x, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])
