import math

import pytest

from inferry.checkpoints.vilbert_table import sizes_of, vilbert_table, without_effect


def published(hidden, layers, inner):
    """The network of the published archive, on BERT base or large."""
    text = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers}
    image = {"hidden_size": 1024, "intermediate_size": 1024, "num_hidden_layers": 6}
    return {
        "text": {**text, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2},
        "image": {**image, "feature_size": 1024, "location_bias": False},
        "combined": {"hidden_size": 1024},
        "num_exchanges": 6,
        "pooled_output_dim": 1024,
        "num_answers": 10026,
    }


@pytest.mark.parametrize(
    ("sizes", "tensors", "parameters"),
    [(published(768, 12, 3072), 496, 244_931_882), (published(1024, 24, 4096), 688, 498_721_578)],
    ids=["base", "large"],
)
def test_the_published_sizes(sizes, tensors, parameters):
    table = vilbert_table(sizes)
    assert (len(table), sum(math.prod(shape) for shape in table.values())) == (tensors, parameters)
    assert sizes_of(table) == (sizes, [])


def test_sizes_without_their_tensors_are_told():
    table = vilbert_table(published(768, 12, 3072))
    del table["classifier.weight"]
    sizes, problems = sizes_of(table)
    assert sizes == {}
    assert problems == ["tensor classifier.weight is missing or no matrix, so the sizes of the network are not known"]


def test_layers_after_the_last_exchange_have_no_effect():
    config = {"text_biattention_id": [6, 11], "image_biattention_id": [0, 5]}
    names = ("layers1.10", "layers1.11", "layers2.4", "layers2.5", "c_layer.5")
    found = [without_effect(f"backbone.encoder.{name}.output.dense.weight", config) for name in names]
    assert found == [False, True, False, True, False]
