"""The part of a Hugging Face speech model's config.json that shapes the network."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from inferry.core.errors import CheckpointError
from inferry.core.protocols import Checkpoint


@dataclass(frozen=True)
class SpeechConfig:
    """Sizes and variants, under the original names. The defaults are those of transformers' configuration classes.

    Attributes:
        feat_extract_norm: ``group`` (a norm over time after the first convolution) or ``layer`` (over channels, all).
        do_stable_layer_norm: Norms before the sublayers (Xiong et al., arXiv:2002.04745) instead of after them.
        num_conv_pos_embeddings: wav2vec2: kernel of the positional convolution; data2vec: how many there are.
        conv_pos_kernel_size: data2vec only.
    """

    vocab_size: int = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    layer_norm_eps: float = 1e-5
    feat_extract_norm: str = "group"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    conv_pos_kernel_size: int = 19
    do_stable_layer_norm: bool = False

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, defaults: Mapping[str, Any] | None = None) -> Self:
        """Narrow `checkpoint.config`; a key that it lacks takes the value in `defaults`, then the default above.

        Raises:
            CheckpointError: A value has the wrong type or does not fit the others, or the configuration asks for a
                part that is not supported (adapters, another activation).
        """
        config = {**(defaults or {}), **checkpoint.config}
        values, problems = {}, _unsupported(config)
        for field in fields(cls):
            value = _narrowed(config.get(field.name, field.default), field.default)
            if value is None:
                problems.append(
                    f"config.json: {field.name} is {config[field.name]!r}, expected one like {field.default!r}"
                )
            else:
                values[field.name] = value
        if not problems:
            result = cls(**values)
            problems = result._contradictions()
        if problems:
            raise CheckpointError(checkpoint.path, problems, "choose a checkpoint of a supported variant.")
        return result

    def _contradictions(self) -> list[str]:
        layers = {len(self.conv_dim), len(self.conv_kernel), len(self.conv_stride)}
        checks = {
            "conv_dim, conv_kernel and conv_stride have different lengths": len(layers) == 1 and layers != {0},
            f"feat_extract_norm is {self.feat_extract_norm!r}, expected 'group' or 'layer'": self.feat_extract_norm
            in {"group", "layer"},
            f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}": (
                self.hidden_size % self.num_attention_heads == 0
            ),
            f"hidden_size {self.hidden_size} is no multiple of num_conv_pos_embedding_groups "
            f"{self.num_conv_pos_embedding_groups}": self.hidden_size % self.num_conv_pos_embedding_groups == 0,
        }
        return [f"config.json: {problem}" for problem, holds in checks.items() if not holds]


def _narrowed(value: Any, like: Any) -> Any:  # noqa: ANN401 -- any JSON value comes in
    if isinstance(like, tuple):
        sizes = isinstance(value, list | tuple) and all(type(size) is int and size > 0 for size in value)
        return tuple(value) if sizes else None
    if type(like) is float and type(value) in {int, float}:
        return float(value)
    if type(value) is not type(like) or (type(value) is int and value <= 0):
        return None
    return value


def _unsupported(config: Mapping[str, Any]) -> list[str]:
    problems = [
        f"config.json: {key} is {config[key]!r}, only 'gelu' is supported"
        for key in ("hidden_act", "feat_extract_activation")
        if config.get(key, "gelu") != "gelu"
    ]
    if config.get("add_adapter"):
        problems.append("config.json: add_adapter is set; adapter layers are not supported")
    if config.get("adapter_attn_dim") is not None:
        problems.append("config.json: adapter_attn_dim is set; attention adapters are not supported")
    return problems
