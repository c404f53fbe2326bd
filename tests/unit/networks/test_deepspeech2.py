from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from inferry.core.errors import CheckpointError
from inferry.core.protocols import Checkpoint
from inferry.networks.deepspeech2 import _Architecture, build

CELLS = ("lstm", "gru", "rnn")
LABELS = ["_", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", " "]


def tensors_of(shapes, seed):
    generator = np.random.default_rng(seed)

    def tensor(name, shape):
        if name.endswith("running_var"):
            return generator.uniform(0.5, 2.0, shape)
        # Strong weights make the answer depend on the input; a strong recurrence would make it chaotic.
        gain = 0.5 if "weight_hh" in name else 2.0
        spread = gain / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.3
        return generator.normal(1.0 if name.endswith(("norm.module.weight", ".1.weight")) else 0.0, spread, shape)

    return {name: tensor(name, shape).astype(np.float32) for name, shape in shapes.items()}


def checkpoint_of(cell="lstm", *, bidirectional=True, rate=16000, context=5, layers=3, seed=0):
    config = {
        "rnn_type": cell,
        "bidirectional": bidirectional,
        "hidden_size": 10,
        "hidden_layers": layers,
        "lookahead_context": None if bidirectional else context,
        "sample_rate": rate,
        "window_size": 0.02,
        "window_stride": 0.01,
        "window": "hamming",
        "labels": LABELS,
    }
    empty = Checkpoint("deepspeech2", Path("tiny.ckpt"), "0" * 64, tensors={}, config=config, processor={})
    return replace(empty, tensors=tensors_of(_Architecture.of(empty).shapes(), seed))


def session_of(checkpoint, folder):
    path = folder / "model.onnx"
    ir.save(build(checkpoint).model, path)
    onnx.checker.check_model(str(path), full_check=True)
    return onnxruntime.InferenceSession(path)


def run(session, spectrograms, lengths, filler=0.0):
    """Outputs of a batch padded with `filler` to the longest row, or further."""
    batch = np.full((len(lengths), 1, spectrograms[0].shape[1], max(lengths)), filler, np.float32)
    for row, spectrogram in zip(batch, spectrograms, strict=True):
        row[..., : spectrogram.shape[-1]] = spectrogram
    true = np.array([spectrogram.shape[-1] for spectrogram in spectrograms], np.int64)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"spectrogram": batch, "input_lengths": true}), strict=True))


def sounds(lengths, frequencies=161, seed=1):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=(1, frequencies, length)).astype(np.float32) for length in lengths]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [True, False], ids=["bidirectional", "lookahead"])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_equals_the_original_network(cell, bidirectional, rate, tmp_path):
    pytest.importorskip("torch")
    from inferry.reference.deepspeech2 import reference

    checkpoint = checkpoint_of(cell, bidirectional=bidirectional, rate=rate)
    spectrograms = sounds([37, 12, 1, 24], frequencies=rate // 100 + 1)
    outputs = run(session_of(checkpoint, tmp_path), spectrograms, [37] * 4)
    original = reference(checkpoint)
    for row, spectrogram in enumerate(spectrograms):
        length = spectrogram.shape[-1]
        expected = original.infer({"spectrogram": spectrogram, "input_lengths": np.array(length)})
        frames = int(outputs["output_lengths"][row])
        assert frames == expected["output_lengths"] == (length + 1) // 2
        for name in ("logits", "probs"):
            np.testing.assert_allclose(outputs[name][row, :frames], expected[name], rtol=0, atol=2e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [True, False], ids=["bidirectional", "lookahead"])
@pytest.mark.parametrize("filler", [0.0, 9.0])
def test_padding_and_neighbours_change_nothing(cell, bidirectional, filler, tmp_path):
    session = session_of(checkpoint_of(cell, bidirectional=bidirectional), tmp_path)
    spectrograms = sounds([40, 7, 23])
    batch = run(session, spectrograms, [40, 40, 95], filler)
    for row, spectrogram in enumerate(spectrograms):
        alone = run(session, [spectrogram], [spectrogram.shape[-1]])
        frames = int(alone["output_lengths"][0])
        assert batch["output_lengths"][row] == frames
        np.testing.assert_allclose(batch["logits"][row, :frames], alone["logits"][0], rtol=0, atol=2e-5)


def test_the_logits_depend_on_the_input(tmp_path):
    session = session_of(checkpoint_of(), tmp_path)
    first, second = sounds([20, 20])
    assert np.abs(run(session, [first], [20])["logits"] - run(session, [second], [20])["logits"]).max() > 0.1


def test_probs_are_the_softmax_of_logits(tmp_path):
    outputs = run(session_of(checkpoint_of(), tmp_path), sounds([9]), [9])
    powers = np.exp(outputs["logits"])
    np.testing.assert_allclose(outputs["probs"], powers / powers.sum(-1, keepdims=True), rtol=1e-5)


def test_one_layer_needs_no_batch_norm_between(tmp_path):
    checkpoint = checkpoint_of(layers=1)
    assert not any("batch_norm" in name for name in checkpoint.tensors)
    assert run(session_of(checkpoint, tmp_path), sounds([9]), [9])["logits"].shape == (1, 5, 29)


def test_inputs_and_outputs_are_declared():
    network = build(checkpoint_of(rate=8000))
    assert [(spec.name, spec.dtype, spec.dims) for spec in network.inputs] == [
        ("spectrogram", "float32", ("batch", 1, 81, "time")),
        ("input_lengths", "int64", ("batch",)),
    ]
    assert [(spec.name, spec.dtype, spec.dims, spec.length) for spec in network.outputs] == [
        ("logits", "float32", ("batch", "frames", 29), "output_lengths"),
        ("probs", "float32", ("batch", "frames", 29), "output_lengths"),
        ("output_lengths", "int64", ("batch",), None),
    ]


def test_names_follow_the_original_modules():
    names = {node.name for node in build(checkpoint_of(bidirectional=False)).model.graph}
    assert {"conv.seq_module.0/Conv", "rnns.0.rnn/LSTM", "lookahead.0.conv/Conv", "fc.0.module.1/MatMul"} <= names


def test_all_broken_tensors_are_listed():
    checkpoint = checkpoint_of()
    tensors = dict(checkpoint.tensors)
    del tensors["conv.seq_module.0.bias"]
    tensors["fc.0.module.1.weight"] = np.zeros((28, 10), np.float32)
    tensors["lookahead.0.conv.weight"] = np.zeros((10, 1, 5), np.float32)
    with pytest.raises(CheckpointError) as caught:
        build(replace(checkpoint, tensors=tensors))
    assert caught.value.problems == (
        "conv.seq_module.0.bias is missing; expected shape (32,)",
        "fc.0.module.1.weight has shape (28, 10); expected (29, 10)",
        "lookahead.0.conv.weight is no tensor of this network",
    )


def test_a_configuration_that_fits_no_network_is_refused():
    checkpoint = checkpoint_of(bidirectional=False)
    config = {**checkpoint.config, "rnn_type": "qrnn", "lookahead_context": None}
    with pytest.raises(CheckpointError) as caught:
        build(replace(checkpoint, config=config))
    assert caught.value.problems == (
        "the recurrent cell 'qrnn' is unknown; available: lstm, gru, rnn",
        "the network is unidirectional, but its configuration has no lookahead_context",
    )
