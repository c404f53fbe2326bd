"""Tiny wav2vec2 and data2vec-audio networks and the folders that Hugging Face publishes them in."""

import json
from pathlib import Path

import numpy as np
import torch
from demo_training import Learner
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioForCTC,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
)

TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
"""The vocabulary of facebook/wav2vec2-base-960h, in index order."""

SIZES = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "conv_dim": (64,) * 7,
    "vocab_size": len(TOKENS),
    "hidden_dropout": 0.0,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "ctc_loss_reduction": "mean",
}


def normalized(samples: np.ndarray) -> torch.Tensor:
    """Zero mean and unit variance, as `Wav2Vec2FeatureExtractor` computes them."""
    return torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))


def network(family: str) -> PreTrainedModel:
    """A randomly initialised network of `wav2vec2` (group norm) or `data2vec-audio`."""
    if family == "wav2vec2":
        return Wav2Vec2ForCTC(Wav2Vec2Config(feat_extract_norm="group", **SIZES))
    return Data2VecAudioForCTC(Data2VecAudioConfig(**SIZES))


def learner(family: str) -> Learner:
    """The network with its features and labels."""
    model = network(family)
    return Learner(model, normalized, lambda values: model(values).logits, TOKENS, "|")


def save(learner: Learner, family: str, output: Path) -> None:
    """Writes the folder: wav2vec2 as safetensors, data2vec-audio as `pytorch_model.bin`, the two forms on the hub."""
    output.mkdir(parents=True, exist_ok=True)
    model = learner.network
    if family == "wav2vec2":
        model.save_pretrained(output)
    else:
        model.config.save_pretrained(output)
        torch.save({name: tensor.detach() for name, tensor in model.state_dict().items()}, output / "pytorch_model.bin")
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    masked = family == "data2vec-audio"
    files = {
        "vocab.json": {token: index for index, token in enumerate(TOKENS)},
        "special_tokens_map.json": special,
        "tokenizer_config.json": {
            **special,
            "do_lower_case": False,
            "return_attention_mask": masked,
            "do_normalize": True,
            "word_delimiter_token": "|",
            "tokenizer_class": "Wav2Vec2CTCTokenizer",
        },
        "preprocessor_config.json": {
            "do_normalize": True,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": masked,
            "sampling_rate": 16000,
        },
    }
    for name, content in files.items():
        (output / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
