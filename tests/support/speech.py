"""Tiny speech checkpoints with random weights, their bundles, and data sets with good and bad sounds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

from inferry.checkpoints.deepspeech_table import deepspeech_table
from inferry.checkpoints.speech_tables import data2vec_audio_table, wav2vec2_table
from inferry.core.bundle import Bundle
from inferry.core.protocols import Checkpoint, Recipe
from inferry.models.registry import get_recipe
from inferry.pipeline import export

RATE = 16_000
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A", "O", "N"]
LABELS = ["_", "A", "B", "C", " "]
FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2")
TRANSFORMER = {
    "architectures": ["Wav2Vec2ForCTC"],
    "model_type": "wav2vec2",
    "vocab_size": len(TOKENS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "conv_dim": [8, 8, 12],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [5, 4, 4],
    "num_feat_extract_layers": 3,
    "conv_bias": False,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": False,
    "add_adapter": False,
}
DATA2VEC = TRANSFORMER | {
    "architectures": ["Data2VecAudioForCTC"],
    "model_type": "data2vec-audio",
    "feat_extract_norm": "layer",
    "num_conv_pos_embeddings": 3,
    "conv_pos_kernel_size": 5,
}
DEEPSPEECH = {
    "rnn_type": "lstm",
    "bidirectional": True,
    "hidden_size": 6,
    "hidden_layers": 2,
    "lookahead_context": None,
    "sample_rate": RATE,
    "window_size": 0.02,
    "window_stride": 0.01,
    "window": "hamming",
    "labels": LABELS,
}


def tensors_of(table: dict[str, tuple[int, ...]], seed: int = 5) -> dict[str, np.ndarray]:
    """Weights that neither vanish nor explode."""
    generator = np.random.default_rng(seed)

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        values = generator.standard_normal(shape, np.float32)
        if name.endswith("running_var"):
            return np.exp(values / 2)
        if len(shape) == 1:
            return values / 5 + np.float32("norm" in name and name.endswith("weight"))
        gain = 0.5 if "weight_hh" in name else 1.5
        return values * np.float32(gain / np.sqrt(np.prod(shape[1:])))

    return {name: tensor(name, shape) for name, shape in table.items()}


def write_folder(folder: Path, family: str = "wav2vec2") -> Path:
    """A Hugging Face folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = TRANSFORMER if family == "wav2vec2" else DATA2VEC
    table = wav2vec2_table(config) if family == "wav2vec2" else data2vec_audio_table(config)
    save_file(tensors_of(table), folder / "model.safetensors")
    texts = {
        "config": config,
        "vocab": {token: index for index, token in enumerate(TOKENS)},
        "preprocessor_config": {"do_normalize": True, "sampling_rate": RATE, "return_attention_mask": False},
    }
    for name, content in texts.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def deepspeech_checkpoint(path: Path) -> Checkpoint:
    """A DeepSpeech2 as its reader returns it."""
    sound = {"kind": "spectrogram", "sampling_rate": RATE, "window_size": 0.02, "window_stride": 0.01}
    sound |= {"window": "hamming", "pad_mode": "reflect", "minimum_samples": 161}
    decode = {"kind": "ctc-greedy", "style": "deepspeech", "blank": 0, "word_delimiter": " ", "frame_seconds": 0.02}
    return Checkpoint(
        family="deepspeech2",
        path=path,
        sha256="0" * 64,
        tensors=tensors_of(deepspeech_table(DEEPSPEECH)),
        config=DEEPSPEECH,
        processor={"input": sound, "decode": decode},
        files={"vocab.json": json.dumps(LABELS)},
    )


def recipe_of(family: str, folder: Path) -> tuple[Recipe, Path]:
    """A recipe and a checkpoint path that it can read."""
    recipe = get_recipe(family)
    if family != "deepspeech2":
        return recipe, write_folder(folder / family, family)
    path = folder / "deepspeech2.ckpt"
    path.touch()
    return replace(recipe, read=lambda path, _: deepspeech_checkpoint(path)), path


def write_bundle(family: str, folder: Path) -> Bundle:
    """Export a tiny checkpoint of the family into ``folder/family-bundle``."""
    recipe, path = recipe_of(family, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "get_recipe", lambda _: recipe)
        return export.export(family, path, folder / f"{family}-bundle", reference=False)


def sound(samples: int, seed: int) -> np.ndarray:
    """Noise with a slow envelope, mono float32 in [-1, 1]."""
    generator = np.random.default_rng(seed)
    envelope = 0.6 + 0.4 * np.sin(np.arange(samples) / 900)
    return (generator.standard_normal(samples) * envelope * 0.1).astype(np.float32)


def write_manifest(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A manifest in JSON lines."""
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_data(folder: Path, count: int, *, reference: str | None = "ON TOE") -> Path:
    """A manifest of good sounds of many lengths (0.1 to 0.8 s)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        name = f"{index:03}.wav"
        soundfile.write(folder / name, sound(1600 + (index * 7919) % 11_200, index), RATE, subtype="PCM_16")
        rows.append({"id": f"utt{index:03}", "audio": name} | ({} if reference is None else {"text": reference}))
    return write_manifest(folder, rows)


def write_difficult_data(folder: Path) -> Path:
    """A manifest of good sounds with every kind of bad entry between them."""
    path = write_data(folder, 8)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    soundfile.write(folder / "nan.wav", np.where(np.arange(4000) == 7, np.nan, sound(4000, 90)), RATE, subtype="FLOAT")
    soundfile.write(folder / "silence.wav", np.zeros(5000, np.float32), RATE)
    soundfile.write(folder / "short.wav", sound(20, 91), RATE)
    soundfile.write(folder / "stereo.flac", np.stack([sound(9000, 92), sound(9000, 93)], axis=1), 22_050)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is no sound\n" * 50)
    names = ["nan.wav", "silence.wav", "short.wav", "stereo.flac", "empty.wav", "text.wav", "nowhere.wav"]
    extra = [{"id": Path(name).stem, "audio": name, "text": "ON"} for name in names]
    extra += [{"id": "utt001", "audio": "003.wav", "text": "A DUPLICATE"}, {"id": "untold", "audio": "004.wav"}]
    mixed = [row for pair in zip(rows, extra, strict=False) for row in pair] + extra[len(rows) :]
    return write_manifest(folder, mixed)
