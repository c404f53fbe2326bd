import numpy as np
import pytest

from inferry.core.errors import UsageError
from inferry.pipeline.optimising.probes import ask, compare_answers


def shapes(batch):
    return {name: array.shape for name, array in batch.case.inputs.items()}


def test_probes_alone_together_and_padded_far(tiny_bundle):
    probes = ask(tiny_bundle, {})
    assert [(batch.name, batch.rows) for batch in probes.batches] == [
        *(("alone", (index,)) for index in range(4)),
        ("mixed batch of 4", (0, 1, 2, 3)),
        ("mixed batch of 4, padded far", (0, 1, 2, 3)),
    ]
    assert [shapes(batch)["input_values"] for batch in probes.batches[3:]] == [(1, 32003), (4, 32003), (4, 64006)]
    assert not probes.batches[-1].case.inputs["input_values"][:, 32003:].any()
    assert [case.sizes for case in probes.cases] == [
        "probes (batch=1, samples=106)",
        "probes (batch=4, samples=32003)",
        "probes (batch=4, samples=64006)",
    ]


def test_only_the_planned_dimension_is_padded_far(question_bundle):
    """Tokens have a greatest number that the network was trained with."""
    probes = ask(question_bundle, {})
    assert shapes(probes.batches[-1])["token_ids"] == (5, 14)
    assert shapes(probes.batches[-1])["box_mask"] == (5, 200)


def test_pictures_have_no_lengths(picture_bundle):
    assert [batch.name for batch in ask(picture_bundle, {}).batches] == [*["alone"] * 4, "mixed batch of 4"]


def test_sizes_are_filled_with_padding_and_rows_with_probes_again(tiny_bundle):
    probes = ask(tiny_bundle, {"batch": 3, "samples": 12000})
    assert probes.left_out == 2
    assert {shapes(batch)["input_values"] for batch in probes.batches} == {(3, 12000)}
    alone, mixed = probes.batches[0].case.inputs, probes.batches[-1].case.inputs
    assert alone["input_lengths"].tolist() == [106, 106, 106]
    assert mixed["input_lengths"].tolist() == [106, 11200, 106]
    assert probes.batches[-1].rows == (0, 1)


def test_a_batch_of_one_is_proven_on_every_probe(tiny_bundle):
    probes = ask(tiny_bundle, {"batch": 1, "samples": 20000})
    assert len(probes.cases) == 3


def test_sizes_that_no_probe_fits(question_bundle):
    with pytest.raises(UsageError, match="no probe of vilbert-vqa fits --sizes: tokens=3, the shortest needs 4"):
        ask(question_bundle, {"tokens": 3})


def test_a_bundle_answers_as_itself(picture_bundle):
    probes = ask(picture_bundle, {})
    hops = compare_answers(probes, picture_bundle)
    assert [(hop.name, hop.samples, hop.passed) for hop in hops] == [("alone", 4, True), ("mixed batch of 4", 4, True)]


def test_other_answers_are_seen(picture_bundle):
    probes = ask(picture_bundle, {})
    for truth in probes.truth:
        truth["logits"][:] = np.roll(truth["logits"], 1)
    assert not any(hop.passed for hop in compare_answers(probes, picture_bundle))
