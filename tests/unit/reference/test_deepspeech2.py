import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inferry.core.errors import CheckpointError, MissingDependencyError
from inferry.core.protocols import Checkpoint
from inferry.reference.deepspeech2 import _modules, reference

CONFIG = {
    "rnn_type": "gru",
    "bidirectional": False,
    "hidden_size": 6,
    "hidden_layers": 2,
    "lookahead_context": 4,
    "sample_rate": 8000,
    "window_size": 0.02,
    "labels": ["_", "A", "B"],
}


@pytest.fixture
def checkpoint():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    state = _modules(CONFIG).state_dict()
    tensors = {name: value.numpy() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    return Checkpoint("deepspeech2", Path("tiny.ckpt"), "0" * 64, tensors=tensors, config=CONFIG, processor={})


def spectrogram(time):
    return np.random.default_rng(0).normal(size=(1, 81, time)).astype(np.float32)


def inputs(time, length=None):
    return {"spectrogram": spectrogram(time), "input_lengths": np.array(time if length is None else length)}


def test_outputs_have_the_graph_s_names_shapes_and_types(checkpoint):
    outputs = reference(checkpoint).infer(inputs(13))
    assert {name: (array.shape, array.dtype.name) for name, array in outputs.items()} == {
        "logits": ((7, 3), "float64"),
        "probs": ((7, 3), "float64"),
        "output_lengths": ((), "int64"),
    }
    assert outputs["output_lengths"] == 7
    np.testing.assert_allclose(outputs["probs"].sum(-1), 1, rtol=1e-6)


def test_frames_past_the_length_are_cut_off(checkpoint):
    original = reference(checkpoint)
    whole = inputs(13, length=10)
    cut = {"spectrogram": whole["spectrogram"][..., :10], "input_lengths": np.array(10)}
    np.testing.assert_array_equal(original.infer(whole)["logits"], original.infer(cut)["logits"])


def test_the_lookahead_sees_the_future_and_no_more_than_its_context(checkpoint):
    tensors = dict(checkpoint.tensors)
    tensors["lookahead.0.conv.weight"] = np.abs(tensors["lookahead.0.conv.weight"])
    original = reference(replace(checkpoint, tensors=tensors))
    first, second = inputs(60), inputs(60)
    second["spectrogram"][..., 50:] += 3
    change = np.abs(original.infer(first)["logits"] - original.infer(second)["logits"]).max(-1)
    # Frame 50 reaches output 25 through the strides, 5 frames further back through the convolutions (5 input frames
    # of the first are 2 or 3 outputs, 5 of the second), then 3 more through the lookahead.
    assert change[: 50 // 2 - 3 - 5 - 3].max() == 0
    assert change[50 // 2 - 5 - 3 :].max() > 0


def test_the_signature_names_torch(checkpoint):
    assert set(reference(checkpoint).signature()) == {"network", "torch"}


def test_loading_is_strict_and_lists_everything(checkpoint):
    tensors = {**checkpoint.tensors, "extra.weight": np.zeros(1), "fc.0.module.1.weight": np.zeros((4, 6))}
    del tensors["rnns.0.rnn.bias_hh_l0"]
    with pytest.raises(CheckpointError) as caught:
        reference(replace(checkpoint, tensors=tensors))
    assert caught.value.problems == (
        "extra.weight has no place in the network",
        "fc.0.module.1.weight has shape (4, 6); expected (3, 6)",
        "rnns.0.rnn.bias_hh_l0 is missing",
    )


def test_without_torch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    empty = Checkpoint("deepspeech2", Path("tiny.ckpt"), "0" * 64, tensors={}, config=CONFIG, processor={})
    with pytest.raises(MissingDependencyError, match=r"pip install 'inferry\[reference\]'"):
        reference(empty)
