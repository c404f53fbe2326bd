"""Tiny picture classifiers and pictures for tests."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
from safetensors.numpy import save_file

from inferry.checkpoints.beit_table import beit_table

LABELS = ["cat", "dog", "owl"]
SIZES = {
    "img_size": 48,
    "patch_size": 16,
    "embed_dim": 8,
    "depth": 2,
    "num_heads": 2,
    "mlp_dim": 12,
    "num_classes": len(LABELS),
    "qkv_bias": True,
    "layer_scale": True,
    "use_mean_pooling": True,
    "use_rel_pos_bias": True,
    "use_shared_rel_pos_bias": False,
    "use_abs_pos_emb": False,
    "layer_norm_eps": 1e-6,
}


def write_beit(folder: Path, seed: int = 6) -> Path:
    """A Hugging Face folder of a tiny BEiT (48 pixels, three classes: cat, dog, owl); random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    # The reader keeps names that it does not translate, and checks them afterwards: unilm's own do.
    tensors = {
        name: generator.standard_normal(shape, np.float32) * np.float32(0.4) + np.float32("norm" in name)
        for name, shape in beit_table(SIZES).items()
    }
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "beit", "layer_norm_eps": 1e-6, "id2label": dict(enumerate(LABELS))}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    return folder


def write_pictures(folder: Path, count: int, *, labelled: bool = True) -> Path:
    """So many PNG pictures of different sizes, seeded; in one folder a class (`LABELS`), or all in one."""
    generator = np.random.default_rng(1)
    for index in range(count):
        height, width = (int(side) for side in generator.integers(40, 120, 2))
        rough = generator.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        picture = PIL.Image.fromarray(rough).resize((width, height), PIL.Image.Resampling.BICUBIC)
        place = folder / LABELS[index % len(LABELS)] if labelled else folder
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"picture{index:03}.png")
    return folder
