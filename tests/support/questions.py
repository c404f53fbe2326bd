"""A tiny ViLBERT and its tiny region detector with random weights, their bundles, pictures and questions."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inferry.checkpoints.torchvision_detector import CONFIG, detector_table
from inferry.checkpoints.vilbert_table import vilbert_table
from inferry.core.bundle import Bundle
from inferry.pipeline.export import export

FEATURES = 24
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "what", "colour", "is", "the", "?", "how", "many", "shapes", "red", "cat", "where"]
ANSWERS = ["@@UNKNOWN@@", "yes", "no", "red", "blue", "2", "3", "cat"]
STREAM = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
SIZES: dict[str, Any] = {
    "text": {**STREAM, "vocab_size": len(WORDS), "max_position_embeddings": 24, "type_vocab_size": 2},
    "image": {**STREAM, "feature_size": FEATURES, "location_bias": False},
    "combined": {"hidden_size": 16},
    "num_exchanges": 2,
    "pooled_output_dim": 12,
    "num_answers": len(ANSWERS) + 1,
}
ENCODER = {
    **{f"{name}{number}": size for number in (1, 2) for name, size in {**STREAM, "num_attention_heads": 4}.items()},
    "biattention_id1": [1, 2],
    "biattention_id2": [1, 2],
    "combined_hidden_size": 16,
    "combined_num_attention_heads": 4,
    "fixed_layer1": 0,
    "fixed_layer2": 0,
    "activation": "gelu",
}
DETECTOR = {"width": 8, "blocks": [1, 2, 1, 1], "fpn_channels": 16, "representation_size": FEATURES, "num_classes": 7}
GAINS = {
    # Strong enough to tell regions apart, and weak enough to leave scores between 0 and 1.
    "rpn.head.bbox_pred.weight": 0.3,
    "roi_heads.box_predictor.cls_score.weight": 0.15,
    "roi_heads.box_predictor.bbox_pred.weight": 0.1,
}


def vilbert_tensors(seed: int = 5) -> dict[str, np.ndarray]:
    """Weights that neither vanish nor explode; those of the pixels are as small as pixels are large."""
    generator = np.random.default_rng(seed)

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        values = generator.standard_normal(shape, np.float32)
        if len(shape) == 1:
            return values / 5 + np.float32(name.endswith("layer_norm.weight"))
        gain = 0.005 if "location_embeddings" in name else 1.5
        return values * np.float32(gain if "text_embeddings" in name else gain / np.sqrt(shape[1]))

    return {name: tensor(name, shape) for name, shape in vilbert_table(SIZES).items()}


def detector_tensors(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a detector that finds a hundred things in any picture."""
    generator = np.random.default_rng(seed)

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("running_var"):
            return generator.uniform(0.5, 2, shape).astype(np.float32)
        # Many blocks add up: each of them adds less than it would alone.
        mean = 0.3 if name.endswith("bn3.weight") else float(len(shape) == 1 and name.endswith("weight"))
        spread = GAINS.get(name, 1.4) / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.2
        return generator.standard_normal(shape, np.float32) * np.float32(spread) + np.float32(mean)

    return {name: tensor(name, shape) for name, shape in detector_table(config).items()}


def torch_file(tensors: dict[str, np.ndarray]) -> bytes:
    """A state dict as `torch.save` writes it; a test that needs one skips without torch."""
    torch = pytest.importorskip("torch")
    stream = io.BytesIO()
    torch.save({name: torch.from_numpy(np.ascontiguousarray(tensor)) for name, tensor in tensors.items()}, stream)
    return stream.getvalue()


def write_archive(path: Path, *, tokenizer: bool = True, name: str = "tiny-uncased") -> Path:
    """An AllenNLP archive of a tiny ViLBERT, with or without a tokenizer in it."""
    model = {"type": "vqa_vilbert", "model_name": name, "encoder": ENCODER, "fusion_method": "mul"}
    members = {
        "config.json": json.dumps({"model": model}).encode(),
        "weights.th": torch_file(vilbert_tensors()),
        "vocabulary/answers.txt": "".join(f"{answer}\n" for answer in ANSWERS).encode(),
        "vocabulary/non_padded_namespaces.txt": b"*labels\n*tags\n",
    }
    if tokenizer:
        members["vocabulary/tags.txt"] = "\n".join(WORDS).encode()
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def write_tokenizer(folder: Path) -> Path:
    """The folder of the text model's tokenizer."""
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"hidden_size": 16}), encoding="utf-8")
    return folder


def write_detector(path: Path, *, seed: int = 0, **sizes: int) -> Path:
    """The .pth file of a tiny detector."""
    path.write_bytes(torch_file(detector_tensors({**DETECTOR, **sizes}, seed)))
    return path


def write_full_detector(path: Path, seed: int = 0) -> Path:
    """The same in the size of the released one, 167 MB."""
    path.write_bytes(torch_file(detector_tensors(dict(CONFIG), seed)))
    return path


def write_bundle(folder: Path, *, detector: bool = True) -> Bundle:
    """Export the tiny ViLBERT, with its detector if need be, into ``folder/bundle``."""
    archive = write_archive(folder / "archive.tar.gz")
    weights = write_detector(folder / "detector.pth") if detector else None
    return export("vilbert-vqa", archive, folder / "bundle", reference=False, detector=weights)


def pixels(height: int, width: int, seed: int) -> np.ndarray:
    """Colours that change over the picture, with noise: uint8 (height, width, 3)."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows * down + columns * across) for down, across in generator.uniform(0.01, 0.2, (3, 2))]
    noise = generator.normal(0, 12, (height, width, 3))
    return np.clip(127 + 80 * np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def write_data(folder: Path, pictures: int = 3, questions: int = 8) -> Path:
    """Questions and answers as VQA v2 has them, with pictures of several sizes; returns the questions file."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(pictures):
        name = f"COCO_val2014_{index:012}.png"
        Image.fromarray(pixels(60 + 20 * index, 120 - 10 * index, index)).save(folder / name)
    asked = [
        {"question_id": 10 + index, "image_id": index % pictures, "question": f"what colour is the {WORDS[index + 5]}?"}
        for index in range(questions)
    ]
    answers = [
        {
            "question_id": row["question_id"],
            "image_id": row["image_id"],
            "answers": [{"answer": ANSWERS[1 + (row["question_id"] + i // 4) % 6], "answer_id": i} for i in range(10)],
        }
        for row in asked
    ]
    path = folder / "v2_OpenEnded_mscoco_val2014_questions.json"
    path.write_text(json.dumps({"questions": asked}), encoding="utf-8")
    annotations = folder / "v2_mscoco_val2014_annotations.json"
    annotations.write_text(json.dumps({"annotations": answers}), encoding="utf-8")
    return path
