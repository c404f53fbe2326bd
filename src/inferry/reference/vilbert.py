"""ViLBERT for visual question answering in torch, against which parity is measured.

Written anew after allennlp 80fb6061 (modules/transformer, modules/backbones/vilbert_backbone.py) and allennlp-models
b1f37224 (vision/models/vision_text_model.py): the originals need packages that no longer install together.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inferry.core.errors import MissingDependencyError
from inferry.core.machine import INSTALL_REFERENCE
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON: Final = 1e-12


def reference(checkpoint: Checkpoint) -> "VilbertReference":
    """The original network with the checkpoint's weights, on the processor, in float64.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch", "The original ViLBERT network", INSTALL_REFERENCE) from error
    tensors = {name: torch.tensor(array, dtype=torch.float64) for name, array in checkpoint.tensors.items()}
    return VilbertReference(tensors, checkpoint.config)


class VilbertReference:
    """ViLBERT for one question alone; conforms to `inferry.core.protocols.Reference`.

    Args:
        tensors: Weights, float64, by their original names.
        config: Sizes, as `inferry.checkpoints.allennlp_vilbert` gives them.
    """

    def __init__(self, tensors: "Mapping[str, Tensor]", config: Mapping[str, Any]) -> None:
        self._tensors = tensors
        self._config = config

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of one question about one picture.

        Args:
            inputs: `box_features` (boxes, features), `box_coordinates` (boxes, 4), `box_mask` (boxes), `token_ids`,
                `mask` and `type_ids` (tokens).

        Returns:
            `logits` and `probs`, float64 (answers).
        """
        import torch

        batch = {name: torch.from_numpy(np.array(array))[None] for name, array in inputs.items()}
        with torch.inference_mode():
            logits = self._forward(batch)[0]
            return {"logits": logits.numpy(), "probs": torch.sigmoid(logits).numpy()}

    def signature(self) -> dict[str, str]:
        """The package that computes it, with its version."""
        import torch

        return {"network": "allennlp VqaVilbert 2.10, written anew", "torch": str(torch.__version__)}

    def _forward(self, batch: "Mapping[str, Tensor]") -> "Tensor":
        """Logits (batch, answers)."""
        import torch

        config = self._config
        masks = [
            (1.0 - batch[name].double())[:, None, None, :] * torch.finfo(torch.float32).min
            for name in ("mask", "box_mask")
        ]
        text, image = self._text_embeddings(batch), self._image_embeddings(batch)
        start1 = start2 = 0
        exchanges = zip(config["text_biattention_id"], config["image_biattention_id"], strict=True)
        for index, (end1, end2) in enumerate(exchanges):
            for layer in range(start1, end1):
                name = f"backbone.encoder.layers1.{layer}"
                text = self._layer(name, text, masks[0], config["text"]["num_attention_heads"])
            for layer in range(start2, end2):
                name = f"backbone.encoder.layers2.{layer}"
                image = self._layer(name, image, masks[1], config["image"]["num_attention_heads"])
            text, image = self._connection(f"backbone.encoder.c_layer.{index}", text, image, masks)
            start1, start2 = end1, end2
        pooled_text = self._linear("backbone.t_pooler.dense", text[:, 0]).relu()
        pooled_image = self._linear("backbone.v_pooler.dense", image[:, 0]).relu()
        multiply = config["fusion_method"] == "mul"
        return self._linear("classifier", pooled_text * pooled_image if multiply else pooled_text + pooled_image)

    def _text_embeddings(self, batch: "Mapping[str, Tensor]") -> "Tensor":
        prefix, tokens = "backbone.text_embeddings", batch["token_ids"].shape[1]
        tables = [self._tensors[f"{prefix}.embeddings.{name}_embeddings.weight"] for name in ("word", "token_type")]
        positions = self._tensors[f"{prefix}.embeddings.position_embeddings.weight"][:tokens]
        x = tables[0][batch["token_ids"].long()] + positions + tables[1][batch["type_ids"].long()]
        return self._norm(f"{prefix}.layer_norm", x)

    def _image_embeddings(self, batch: "Mapping[str, Tensor]") -> "Tensor":
        prefix = "backbone.image_embeddings"
        seen = self._linear(f"{prefix}.embeddings.image_embeddings", batch["box_features"].double())
        place = self._linear(f"{prefix}.embeddings.location_embeddings", batch["box_coordinates"].double())
        return self._norm(f"{prefix}.layer_norm", seen + place)

    def _layer(self, name: str, x: "Tensor", mask: "Tensor", heads: int) -> "Tensor":
        query, key, value = (self._linear(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        x = self._output(f"{name}.attention.output", _attention(query, key, value, mask, heads), x)
        return self._feed_forward(name, x, "")

    def _connection(self, name: str, text: "Tensor", image: "Tensor", masks: "list[Tensor]") -> "tuple[Tensor, Tensor]":
        heads = self._config["combined"]["num_attention_heads"]
        query1, key1, value1 = (
            self._linear(f"{name}.bimodal_attention.{part}1", text) for part in ("query", "key", "value")
        )
        query2, key2, value2 = (
            self._linear(f"{name}.bimodal_attention.{part}2", image) for part in ("query", "key", "value")
        )
        to_image = _attention(query2, key1, value1, masks[0], heads)
        to_text = _attention(query1, key2, value2, masks[1], heads)
        text = self._output(f"{name}.bimodal_output.bert_output1", to_text, text)
        image = self._output(f"{name}.bimodal_output.bert_output2", to_image, image)
        return self._feed_forward(name, text, "1"), self._feed_forward(name, image, "2")

    def _feed_forward(self, name: str, x: "Tensor", suffix: str) -> "Tensor":
        from torch.nn.functional import gelu

        inner = gelu(self._linear(f"{name}.intermediate{suffix}.dense", x))
        return self._output(f"{name}.output{suffix}", inner, x)

    def _output(self, name: str, x: "Tensor", residual: "Tensor") -> "Tensor":
        return self._norm(f"{name}.layer_norm", self._linear(f"{name}.dense", x) + residual)

    def _linear(self, name: str, x: "Tensor") -> "Tensor":
        from torch.nn.functional import linear

        result: Tensor = linear(x, self._tensors[f"{name}.weight"], self._tensors.get(f"{name}.bias"))
        return result

    def _norm(self, name: str, x: "Tensor") -> "Tensor":
        from torch.nn.functional import layer_norm

        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        result: Tensor = layer_norm(x, (x.shape[-1],), weight, bias, _EPSILON)
        return result


def _attention(query: "Tensor", key: "Tensor", value: "Tensor", mask: "Tensor", heads: int) -> "Tensor":
    """(batch, positions, size) with `mask` added to the scores: (batch, 1, 1, keys)."""
    query, key, value = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + mask
    context: Tensor = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    return context
