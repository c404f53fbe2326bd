"""Checkpoints of the published sizes with seeded random weights: what speed and memory depend on, without a download.

The configurations are those of facebook/wav2vec2-base-960h, facebook/data2vec-audio-base-960h and deepspeech.pytorch
V3.0's defaults. The tensors get the names that the hub's files use.
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from inferry.checkpoints.deepspeech_table import deepspeech_table
from inferry.checkpoints.speech_tables import data2vec_audio_table, wav2vec2_table
from inferry.checkpoints.tensor_checks import Shapes
from inferry.core.files import atomic_folder

_SEED = 0
_TOKENS: Final = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
_LABELS: Final = ("_", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", " ")

_ENCODER: Final[dict[str, Any]] = {
    "conv_bias": False,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_conv_pos_embedding_groups": 16,
    "num_feat_extract_layers": 7,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "vocab_size": 32,
}
WAV2VEC2: Final[dict[str, Any]] = {
    **_ENCODER,
    "architectures": ["Wav2Vec2ForCTC"],
    "do_stable_layer_norm": False,
    "feat_extract_norm": "group",
    "model_type": "wav2vec2",
    "num_conv_pos_embeddings": 128,
}
DATA2VEC_AUDIO: Final[dict[str, Any]] = {
    **_ENCODER,
    "architectures": ["Data2VecAudioForCTC"],
    "conv_pos_kernel_size": 19,
    "model_type": "data2vec-audio",
    "num_conv_pos_embeddings": 5,
}
DEEPSPEECH2: Final[dict[str, Any]] = {
    "rnn_type": "lstm",
    "bidirectional": True,
    "hidden_size": 1024,
    "hidden_layers": 5,
    "sample_rate": 16000,
    "window_size": 0.02,
    "window_stride": 0.01,
    "window": "hamming",
    "labels": list(_LABELS),
}
TINY: Final[dict[str, Any]] = {
    **WAV2VEC2,
    "conv_dim": [16] * 7,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
"""wav2vec2 of no published size: the network costs next to nothing, so that what is around it shows."""


def wav2vec2_shapes(config: Mapping[str, Any]) -> Shapes:
    """All tensors of a Wav2Vec2ForCTC file of the hub."""
    shapes = {"wav2vec2.masked_spec_embed": (config["hidden_size"],), **wav2vec2_table(config)}
    name = "wav2vec2.encoder.pos_conv_embed.conv.weight"
    direction = shapes.pop(name)
    return {**shapes, f"{name}_g": (1, 1, direction[2]), f"{name}_v": direction}


def data2vec_audio_shapes(config: Mapping[str, Any]) -> Shapes:
    """All tensors of a Data2VecAudioForCTC file of the hub."""
    return {"data2vec_audio.masked_spec_embed": (config["hidden_size"],), **data2vec_audio_table(config)}


def random_tensors(shapes: Shapes) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """float32 tensors that keep the signal's size about the same from layer to layer; the same ones every time."""
    random = np.random.default_rng(_SEED)
    return {name: _tensor(name, shape, random) for name, shape in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
    noise = random.standard_normal(shape, dtype=np.float32)
    if name.endswith(("running_var", "weight_g")):
        return np.float32(1) + np.float32(0.1) * np.abs(noise)
    if len(shape) == 1:
        # One-dimensional weights belong to norms.
        return np.float32(0.05) * noise + np.float32(name.endswith("weight"))
    gain = 2 if len(shape) > 2 else 1
    return noise * np.float32(math.sqrt(gain / math.prod(shape[1:])))


def write_huggingface(folder: Path, config: Mapping[str, Any], shapes: Shapes) -> None:
    """A Hugging Face folder of a speech model."""
    save_file(random_tensors(shapes), folder / "model.safetensors")
    files = {
        "config.json": dict(config),
        "vocab.json": {token: index for index, token in enumerate(_TOKENS)},
        "preprocessor_config.json": {
            "do_normalize": True,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "sampling_rate": 16000,
        },
        "tokenizer_config.json": {"do_lower_case": False, "pad_token": "<pad>", "word_delimiter_token": "|"},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_deepspeech2(folder: Path) -> None:
    """A Lightning checkpoint in the layout of deepspeech.pytorch V3.0; needs torch, whose format it is."""
    import torch

    tensors = random_tensors(deepspeech_table(DEEPSPEECH2))
    section = {key: DEEPSPEECH2[key] for key in ("rnn_type", "hidden_size", "hidden_layers")}
    spectrogram = {key: DEEPSPEECH2[key] for key in ("sample_rate", "window_size", "window_stride", "window")}
    content = {
        "state_dict": {name: torch.from_numpy(tensor) for name, tensor in tensors.items()},
        "hyper_parameters": {"labels": DEEPSPEECH2["labels"], "model_cfg": section, "spect_cfg": spectrogram},
    }
    torch.save(content, folder / "deepspeech2.ckpt")


WRITERS: Final[Mapping[str, tuple[str, Callable[[Path], None]]]] = {
    "wav2vec2": ("wav2vec2", lambda folder: write_huggingface(folder, WAV2VEC2, wav2vec2_shapes(WAV2VEC2))),
    "data2vec-audio": (
        "data2vec-audio",
        lambda folder: write_huggingface(folder, DATA2VEC_AUDIO, data2vec_audio_shapes(DATA2VEC_AUDIO)),
    ),
    "deepspeech2": ("deepspeech2", write_deepspeech2),
    "tiny": ("wav2vec2", lambda folder: write_huggingface(folder, TINY, wav2vec2_shapes(TINY))),
}
"""By name: the family, and what writes the checkpoint into a folder."""


def checkpoint_folder(work: Path, name: str) -> Path:
    """Where the checkpoint of that name lies; it is written on the first call and used again afterwards."""
    folder = work / "checkpoints" / name
    if not folder.is_dir():
        with atomic_folder(folder) as temporary:
            WRITERS[name][1](temporary)
    return folder


def main() -> None:
    """Write the checkpoints that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder to write into; what is there is used again")
    parser.add_argument("names", nargs="*", default=["wav2vec2"], metavar="NAME", help=", ".join(WRITERS))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in WRITERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; available: {', '.join(WRITERS)}")
    for name in arguments.names:
        print(checkpoint_folder(arguments.work, name))


if __name__ == "__main__":
    main()
