"""A small ViLBERT (Lu et al., arXiv:1908.02265) in differentiable torch, with AllenNLP's tensors and archive.

Sources: allennlp 80fb6061, modules/transformer and modules/backbones/vilbert_backbone.py; allennlp-models b1f37224,
vision/models/vision_text_model.py. Training only: inference is `inferry.networks.vilbert`.
"""

import gzip
import io
import json
import math
import tarfile
from collections.abc import Mapping
from pathlib import Path

import torch
from demo_questions import ANSWERS
from demo_scenes import COLOURS, SHAPES
from torch import Tensor
from torch.nn import functional

from inferry.checkpoints.vilbert_table import vilbert_table

_GRAMMAR = "what color colour shape is are there the a an how many left right of above below shapes ?"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = tuple(
    dict.fromkeys(
        [
            *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
            *_GRAMMAR.split(),
            *COLOURS,
            *SHAPES,
            *(f"{form}s" for form in SHAPES),
            *_LETTERS,
            *(f"##{letter}" for letter in _LETTERS),
        ]
    )
)
"""WordPieces; the letters spell every other word."""

ENTRIES = ("@@UNKNOWN@@", *ANSWERS)
"""Lines of answers.txt: the classes from 1 on. Class 0 is the padding."""

COORDINATE_SCALE = 1000.0
"""Training sees coordinates in thousands of pixels, so that one learning rate suits all weights; the archive holds the
weights for pixels."""

HEADS = 4
_EXCHANGES = [1, 2, 3]
_STREAM = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
_TEXT = _STREAM | {"vocab_size": len(VOCABULARY), "max_position_embeddings": 32, "type_vocab_size": 2}
_LOCATION = "backbone.image_embeddings.embeddings.location_embeddings.weight"
_EPSILON = 1e-12
_MASKED = -30000.0


def initial_weights(feature_size: int) -> dict[str, Tensor]:
    """Random weights under the original's names, for regions with so many features."""
    sizes = {
        "text": _TEXT,
        "image": _STREAM | {"feature_size": feature_size, "location_bias": False},
        "combined": {"hidden_size": _STREAM["hidden_size"]},
        "num_exchanges": len(_EXCHANGES),
        "pooled_output_dim": _STREAM["hidden_size"],
        "num_answers": len(ENTRIES) + 1,
    }
    weights = {}
    for name, shape in vilbert_table(sizes).items():
        if len(shape) == 1:
            weights[name] = torch.full(shape, float(name.endswith("layer_norm.weight")))
        else:
            gain = 0.5 if name.startswith("backbone.text_embeddings") else 1 / math.sqrt(shape[1])
            gain *= 0.1 if name == "classifier.weight" else 1.0
            weights[name] = torch.randn(shape) * gain
        weights[name].requires_grad_()
    return weights


class Vilbert:
    """The network; it reads weights that an optimiser changes in place.

    Args:
        weights: By name.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Answers' logits (batch, answers).

        Args:
            inputs: ``token_ids`` (batch, tokens), ``box_features`` (batch, boxes, features), ``box_coordinates``
                (batch, boxes, 4) in thousands of pixels, and the bool ``mask`` and ``box_mask``.
        """
        masks = [torch.where(inputs[name], 0.0, _MASKED)[:, None, None] for name in ("mask", "box_mask")]
        text, image = self._text(inputs["token_ids"]), self._image(inputs["box_features"], inputs["box_coordinates"])
        start = 0
        for index, end in enumerate(_EXCHANGES):
            for layer in range(start, end):
                text = self._layer(f"backbone.encoder.layers1.{layer}", text, masks[0])
                image = self._layer(f"backbone.encoder.layers2.{layer}", image, masks[1])
            text, image = self._connection(f"backbone.encoder.c_layer.{index}", text, image, masks)
            start = end
        pooled = self._linear("backbone.t_pooler.dense", text[:, 0]).relu()
        pooled = pooled * self._linear("backbone.v_pooler.dense", image[:, 0]).relu()
        return self._linear("classifier", pooled)

    def _text(self, ids: Tensor) -> Tensor:
        prefix = "backbone.text_embeddings"
        words, places, kinds = (
            self._weights[f"{prefix}.embeddings.{name}_embeddings.weight"]
            for name in ("word", "position", "token_type")
        )
        return self._norm(f"{prefix}.layer_norm", words[ids] + places[: ids.shape[1]] + kinds[0])

    def _image(self, features: Tensor, coordinates: Tensor) -> Tensor:
        prefix = "backbone.image_embeddings"
        seen = self._linear(f"{prefix}.embeddings.image_embeddings", features)
        return self._norm(f"{prefix}.layer_norm", seen + functional.linear(coordinates, self._weights[_LOCATION]))

    def _layer(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (self._linear(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        x = self._output(f"{name}.attention.output", _attention(query, key, value, mask), x)
        return self._feed_forward(name, x, "")

    def _connection(self, name: str, text: Tensor, image: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        streams = (("1", text), ("2", image))
        parts = {
            f"{part}{number}": self._linear(f"{name}.bimodal_attention.{part}{number}", x)
            for number, x in streams
            for part in ("query", "key", "value")
        }
        to_text = _attention(parts["query1"], parts["key2"], parts["value2"], masks[1])
        to_image = _attention(parts["query2"], parts["key1"], parts["value1"], masks[0])
        text = self._output(f"{name}.bimodal_output.bert_output1", to_text, text)
        image = self._output(f"{name}.bimodal_output.bert_output2", to_image, image)
        return self._feed_forward(name, text, "1"), self._feed_forward(name, image, "2")

    def _feed_forward(self, name: str, x: Tensor, suffix: str) -> Tensor:
        inner = functional.gelu(self._linear(f"{name}.intermediate{suffix}.dense", x))
        return self._output(f"{name}.output{suffix}", inner, x)

    def _output(self, name: str, x: Tensor, residual: Tensor) -> Tensor:
        return self._norm(f"{name}.layer_norm", self._linear(f"{name}.dense", x) + residual)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(x, (x.shape[-1],), weight, bias, _EPSILON)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    query, key, value = (x.unflatten(2, (HEADS, -1)).transpose(1, 2) for x in (query, key, value))
    return functional.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2)


def save(weights: Mapping[str, Tensor], path: Path) -> None:
    """Writes the archive as AllenNLP's ``archive_model`` does; the same weights give the same bytes."""
    stream = io.BytesIO()
    scales = {_LOCATION: 1 / COORDINATE_SCALE}
    torch.save({name: weight.detach() * scales.get(name, 1.0) for name, weight in weights.items()}, stream)
    feature_size = weights["backbone.image_embeddings.embeddings.image_embeddings.weight"].shape[1]
    members = {
        "config.json": json.dumps(_settings(feature_size), indent=2).encode(),
        "weights.th": stream.getvalue(),
        "vocabulary/answers.txt": "\n".join(ENTRIES).encode(),
        "vocabulary/non_padded_namespaces.txt": b"*labels\n*tags\ntags",
        "vocabulary/tags.txt": "\n".join(VOCABULARY).encode(),
    }
    with gzip.GzipFile(path, "wb", mtime=0) as compressed, tarfile.open(fileobj=compressed, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _settings(feature_size: int) -> dict[str, object]:
    """The configuration of type ``vqa_vilbert``, which states every size."""
    encoder: dict[str, object] = {
        f"{name}{number}": size for number in (1, 2) for name, size in {**_STREAM, "num_attention_heads": HEADS}.items()
    }
    encoder |= {"biattention_id1": _EXCHANGES, "biattention_id2": _EXCHANGES, "fixed_layer1": 0, "fixed_layer2": 0}
    encoder |= {"combined_hidden_size": _STREAM["hidden_size"], "combined_num_attention_heads": HEADS}
    text = {name: _TEXT[name] for name in ("vocab_size", "max_position_embeddings", "type_vocab_size")}
    width = {"embedding_size": _STREAM["hidden_size"]}
    return {
        "dataset_reader": {
            "type": "vqav2",
            "tokenizer": {"type": "pretrained_transformer", "model_name": "demo-uncased"},
        },
        "model": {
            "type": "vqa_vilbert",
            "text_embeddings": text | width,
            "image_embeddings": width | {"feature_size": feature_size},
            "encoder": encoder | {"activation": "gelu"},
            "pooled_output_dim": _STREAM["hidden_size"],
            "fusion_method": "mul",
        },
    }
