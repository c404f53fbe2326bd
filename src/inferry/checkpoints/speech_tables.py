"""Names and shapes of all tensors of the speech transformers, derived from their configuration.

After transformers 5.23: ``models/wav2vec2/modeling_wav2vec2.py`` and ``models/data2vec/modeling_data2vec_audio.py``.
"""

from collections.abc import Mapping
from typing import Any

from inferry.checkpoints.tensor_checks import Shapes


def wav2vec2_table(config: Mapping[str, Any]) -> Shapes:
    """Expected tensors of Wav2Vec2ForCTC, its positional convolution's weight norm resolved."""
    hidden, groups = config["hidden_size"], config["num_conv_pos_embedding_groups"]
    normalised = range(1) if config["feat_extract_norm"] == "group" else range(len(config["conv_dim"]))
    return {
        **_features("wav2vec2", config, normalised),
        "wav2vec2.encoder.pos_conv_embed.conv.weight": (hidden, hidden // groups, config["num_conv_pos_embeddings"]),
        "wav2vec2.encoder.pos_conv_embed.conv.bias": (hidden,),
        **_encoder("wav2vec2", config),
    }


def data2vec_audio_table(config: Mapping[str, Any]) -> Shapes:
    """Expected tensors of Data2VecAudioForCTC."""
    hidden, groups = config["hidden_size"], config["num_conv_pos_embedding_groups"]
    positional: Shapes = {}
    for layer in range(config["num_conv_pos_embeddings"]):
        name = f"data2vec_audio.encoder.pos_conv_embed.layers.{layer}.conv"
        positional[f"{name}.weight"] = (hidden, hidden // groups, config["conv_pos_kernel_size"])
        positional[f"{name}.bias"] = (hidden,)
    features = _features("data2vec_audio", config, range(len(config["conv_dim"])))
    return {**features, **positional, **_encoder("data2vec_audio", config)}


def _affine(name: str, *shape: int) -> Shapes:
    """A weight with a bias as long as its first dimension."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _features(prefix: str, config: Mapping[str, Any], normalised: range) -> Shapes:
    table: Shapes = {}
    channels = 1
    for layer, (size, kernel) in enumerate(zip(config["conv_dim"], config["conv_kernel"], strict=True)):
        name = f"{prefix}.feature_extractor.conv_layers.{layer}"
        table[f"{name}.conv.weight"] = (size, channels, kernel)
        if config["conv_bias"]:
            table[f"{name}.conv.bias"] = (size,)
        if layer in normalised:
            table |= _affine(f"{name}.layer_norm", size)
        channels = size
    return {
        **table,
        **_affine(f"{prefix}.feature_projection.layer_norm", channels),
        **_affine(f"{prefix}.feature_projection.projection", config["hidden_size"], channels),
    }


def _encoder(prefix: str, config: Mapping[str, Any]) -> Shapes:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    table = _affine(f"{prefix}.encoder.layer_norm", hidden)
    for layer in range(config["num_hidden_layers"]):
        name = f"{prefix}.encoder.layers.{layer}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            table |= _affine(f"{name}.attention.{projection}", hidden, hidden)
        table |= _affine(f"{name}.layer_norm", hidden)
        table |= _affine(f"{name}.feed_forward.intermediate_dense", inner, hidden)
        table |= _affine(f"{name}.feed_forward.output_dense", hidden, inner)
        table |= _affine(f"{name}.final_layer_norm", hidden)
    return {**table, **_affine("lm_head", config["vocab_size"], hidden)}
