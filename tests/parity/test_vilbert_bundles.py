"""Golden ViLBERT archives through the whole way (export, open, ask): alone, in batches and padded far."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import inferry
from inferry.core.protocols import ExportOptions
from inferry.core.tolerances import LOGITS
from inferry.pipeline.export import export_with_report

ARCHIVES = {"": "vilbert-vqa.tar.gz", "explicit__": "vilbert-vqa-explicit.tar.gz"}
"""File by the prefix of its arrays."""

CASES = ("full", "padded", "seed_padding", "no_boxes")
ROWS = 3 + 3 + 1 + 2
GOLDEN = LOGITS["fp32"]


@pytest.fixture(scope="module")
def folder(shared) -> Path:
    return shared / "golden" / "vilbert"


@pytest.fixture(scope="module")
def questions(folder):
    """All rows of all cases; a row's masks say which of its boxes and tokens are real."""
    with np.load(folder / "inputs.npz") as arrays:
        return [question(arrays, case, row) for case in CASES for row in range(len(arrays[f"{case}__mask"]))]


def question(arrays, case, row):
    boxes = slice(int(arrays[f"{case}__box_mask"][row].sum()))
    tokens = slice(int(arrays[f"{case}__mask"][row].sum()))
    regions = inferry.Regions(
        arrays[f"{case}__box_features"][row, boxes], arrays[f"{case}__box_coordinates"][row, boxes]
    )
    ids, types = arrays[f"{case}__token_ids"][row, tokens], arrays[f"{case}__type_ids"][row, tokens]
    return inferry.Question(regions=regions, token_ids=ids, type_ids=types)


@pytest.fixture(scope="module", params=ARCHIVES, ids=ARCHIVES.values())
def prefix(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def made(folder, prefix, tmp_path_factory):
    options = ExportOptions(tokenizer=None if prefix else str(folder / "bert-base-uncased"))
    path = tmp_path_factory.mktemp("golden") / "bundle"
    return export_with_report("vilbert-vqa", folder / ARCHIVES[prefix], path, options)


@pytest.fixture(scope="module")
def golden(folder, prefix):
    """Logits and probabilities of all rows, in the order of `questions`."""
    with np.load(folder / "expected.npz") as arrays:
        return {
            name: np.concatenate([arrays[f"{prefix}{case}__{name}"] for case in CASES]) for name in ("logits", "probs")
        }


@pytest.mark.parametrize("pad_to", [None, 131])
@pytest.mark.parametrize("batch_size", [1, 2, 4, ROWS])
def test_every_case(made, questions, golden, batch_size, pad_to):
    with inferry.load(made.bundle.path) as model:
        outputs = model.infer(questions, batch_size, pad_to)
    assert len(outputs) == ROWS
    for name, expected in golden.items():
        np.testing.assert_allclose(np.stack([one[name] for one in outputs]), expected, rtol=0, atol=GOLDEN)


def test_padded_regions_of_a_mask_are_the_same(made, folder, golden):
    """As the published recipe saves them: 100 boxes, most of them not valid."""
    with np.load(folder / "inputs.npz") as arrays:
        names = ("box_features", "box_coordinates", "box_mask")
        regions = inferry.Regions(*(arrays[f"seed_padding__{name}"][0] for name in names))
        tokens = int(arrays["seed_padding__mask"][0].sum())
        ids = arrays["seed_padding__token_ids"][0, :tokens]
    with inferry.load(made.bundle.path) as model:
        (output,) = model.infer([inferry.Question(regions=regions, token_ids=ids)])
    np.testing.assert_allclose(output["logits"], golden["logits"][6], rtol=0, atol=GOLDEN)


def test_the_answers_are_the_original_s(made, folder, prefix, questions, golden):
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    expected = [answers[row.argmax()] for row in golden["logits"]]
    if not prefix:
        told = json.loads((folder / "expected_answer.json").read_text(encoding="utf-8"))
        assert [answer for case in CASES for answer in told[case]] == expected
    with inferry.load(made.bundle.path) as model:
        for batch_size in (1, 4):
            found = model.predict(questions, batch_size)
            assert [answer.best[0].label for answer in found] == expected
            assert [answer.given for answer in found] == [
                tuple(np.flatnonzero(row >= 0.5).tolist()) for row in golden["logits"]
            ]


def test_every_hop_is_compared(made):
    pytest.importorskip("torch")
    assert made.parity.original_compared
    assert [hop.samples for hop in made.parity.hops] == [5, 5, 5]
    assert all(0 < hop.max_abs <= GOLDEN for hop in made.parity.hops)


def test_a_text_becomes_the_original_s_tokens(made, folder):
    instance = json.loads((folder / "reader.json").read_text(encoding="utf-8"))["instances"][0]
    regions = inferry.Regions(np.ones((3, 1024), np.float32), np.ones((3, 4), np.float32))
    asked = {"text": instance["question"]}, {"token_ids": np.array(instance["token_ids"])}
    with inferry.load(made.bundle.path) as model:
        by_text, by_tokens = model.infer([inferry.Question(regions=regions, **one) for one in asked])
    np.testing.assert_array_equal(by_text["logits"], by_tokens["logits"])


def test_no_number_of_the_graph_leaves_float16(made):
    """Initializers, constants and attributes."""
    graph = onnx.load(made.bundle.model).graph
    numbers = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    numbers += [onnx.numpy_helper.to_array(attribute.t) for attribute in attributes if attribute.HasField("t")]
    numbers += [np.array([attribute.f, *attribute.floats]) for attribute in attributes]
    assert len(numbers) > 100
    floats = [array for array in numbers if array.dtype.kind == "f"]
    assert max(float(np.abs(array).max()) for array in floats if array.size) <= float(np.finfo(np.float16).max)
