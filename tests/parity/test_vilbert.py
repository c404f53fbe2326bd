"""ViLBERT against what the original code computed: all golden cases of both archives, alone, batched and padded."""

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from inferry.checkpoints.allennlp_vilbert import read_vilbert
from inferry.core.samples import Question
from inferry.core.tolerances import LOGITS
from inferry.networks.vilbert import build
from inferry.processing.questions import QuestionSettings, QuestionTokenizer

ARCHIVES = {"": "vilbert-vqa.tar.gz", "explicit__": "vilbert-vqa-explicit.tar.gz"}
"""File by the prefix of its arrays."""

CASES = ("full", "padded", "seed_padding", "no_boxes")
NAMES = ("box_features", "box_coordinates", "box_mask", "token_ids", "mask", "type_ids")
GOLDEN = LOGITS["fp32"]


@pytest.fixture(scope="module")
def folder(shared) -> Path:
    return shared / "golden" / "vilbert"


@pytest.fixture(scope="module")
def inputs(folder):
    with np.load(folder / "inputs.npz") as arrays:
        return {case: {name: arrays[f"{case}__{name}"] for name in NAMES} for case in CASES}


@pytest.fixture(scope="module")
def expected(folder):
    with np.load(folder / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=ARCHIVES, ids=ARCHIVES.values())
def prefix(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def checkpoint(folder, prefix):
    return read_vilbert(folder / ARCHIVES[prefix])


@pytest.fixture(scope="module")
def session(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("vilbert") / "model.onnx"
    ir.save(build(checkpoint).model, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def run(session, batch):
    return dict(zip(("logits", "probs"), session.run(["logits", "probs"], batch), strict=True))


def cut(batch, row):
    """One row alone, without its padding; a row without any valid box keeps one."""
    boxes = max(1, int(batch["box_mask"][row].sum()))
    tokens = int(batch["mask"][row].sum())
    return {name: batch[name][row : row + 1, : boxes if name.startswith("box") else tokens] for name in NAMES}


def padded(batch, boxes, tokens):
    """More zeros at the end."""
    result = {}
    for name, array in batch.items():
        more = (boxes if name.startswith("box") else tokens) - array.shape[1]
        result[name] = np.pad(array, [(0, 0), (0, more)] + [(0, 0)] * (array.ndim - 2))
    return result


def assert_golden(outputs, expected, key, rows=slice(None)):
    np.testing.assert_allclose(outputs["logits"], expected[f"{key}__logits"][rows], rtol=0, atol=GOLDEN)
    np.testing.assert_allclose(outputs["probs"], expected[f"{key}__probs"][rows], rtol=0, atol=GOLDEN)


@pytest.mark.parametrize("case", CASES)
def test_the_golden_batch(session, inputs, expected, prefix, case):
    assert_golden(run(session, inputs[case]), expected, f"{prefix}{case}")


@pytest.mark.parametrize("case", CASES)
def test_each_row_alone_without_padding(session, inputs, expected, prefix, case):
    for row in range(len(inputs[case]["mask"])):
        outputs = run(session, cut(inputs[case], row))
        assert_golden(outputs, expected, f"{prefix}{case}", slice(row, row + 1))


@pytest.mark.parametrize("case", CASES)
def test_more_padding_changes_nothing(session, inputs, expected, prefix, case):
    assert_golden(run(session, padded(inputs[case], 131, 41)), expected, f"{prefix}{case}")


def test_all_cases_in_one_batch(session, inputs, expected, prefix):
    wide = [padded(inputs[case], 100, 32) for case in CASES]
    outputs = run(session, {name: np.concatenate([batch[name] for batch in wide]) for name in NAMES})
    golden = np.concatenate([expected[f"{prefix}{case}__logits"] for case in CASES])
    np.testing.assert_allclose(outputs["logits"], golden, rtol=0, atol=GOLDEN)


@pytest.mark.parametrize("case", CASES)
def test_the_reference_is_the_original(checkpoint, inputs, expected, prefix, case):
    pytest.importorskip("torch")
    from inferry.reference.vilbert import reference

    original = reference(checkpoint)
    for row in range(len(inputs[case]["mask"])):
        outputs = original.infer({name: array[row] for name, array in inputs[case].items()})
        assert_golden({name: array[None] for name, array in outputs.items()}, expected, f"{prefix}{case}", [row])


def test_the_answers_are_the_original_s(checkpoint, folder, expected, prefix):
    answers = checkpoint.files["answers.txt"].splitlines()
    assert answers == json.loads((folder / "answers.json").read_text())
    if not prefix:
        for case, texts in json.loads((folder / "expected_answer.json").read_text()).items():
            assert [answers[row.argmax()] for row in expected[f"{case}__logits"]] == texts


def test_layers_without_effect_are_left_out(checkpoint, session, folder):
    unused = json.loads((folder / "meta.json").read_text())["encoder_layers_without_effect"]
    assert unused == ["layers1.3", "layers2.2"]
    assert any("layers1.3, layers2.2" in note for note in checkpoint.notes)
    names = [value.name for value in build(checkpoint).model.graph.initializers.values()]
    assert not any(layer in name for name in names for layer in unused)


def test_a_tokenizer_folder_says_the_heads(folder):
    """The small text model has one head, as hidden / 64 would give; its config.json agrees."""
    given = read_vilbert(folder / ARCHIVES[""], folder / "bert-base-uncased")
    assert given.config == read_vilbert(folder / ARCHIVES[""]).config
    assert given.config["text"]["num_attention_heads"] == 1


@pytest.mark.parametrize("given", [False, True], ids=["from the archive", "from a folder"])
def test_questions_become_the_original_s_tokens(folder, given):
    checkpoint = read_vilbert(folder / ARCHIVES[""], folder / "bert-base-uncased" if given else None)
    settings = QuestionSettings.from_json(checkpoint.processor["input"])
    tokenizer = QuestionTokenizer(checkpoint.files["tokenizer.json"], settings.max_tokens)
    instances = json.loads((folder / "reader.json").read_text())["instances"]
    assert len(instances) == 6
    for instance in instances:
        tokens = tokenizer.encode(Question(text=instance["question"]))
        assert tokens.ids.tolist() == instance["token_ids"]
        assert tokens.types.tolist() == instance["type_ids"]
