"""The graphs and the reference against golden data of the original: family x how the utterances are batched."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from inferry.checkpoints.huggingface_speech import read_data2vec_audio, read_wav2vec2
from inferry.core.protocols import Checkpoint, Network
from inferry.core.tolerances import LOGITS
from inferry.networks import data2vec_audio, wav2vec2

LONGEST = 559_280
"""Samples to which older recipes pad everything: 35 seconds."""


@dataclass(frozen=True)
class Case:
    read: Callable[[Path], Checkpoint]
    build: Callable[[Checkpoint], Network]
    prefix: str
    layers_before_the_final_norm: bool = False


CASES = {
    "wav2vec2": Case(read_wav2vec2, wav2vec2.build, "wav2vec2"),
    "wav2vec2-layer": Case(read_wav2vec2, wav2vec2.build, "wav2vec2", layers_before_the_final_norm=True),
    "data2vec": Case(read_data2vec_audio, data2vec_audio.build, "data2vec_audio"),
}


@dataclass(frozen=True)
class Golden:
    case: Case
    checkpoint: Checkpoint
    network: Network
    expected: dict[str, np.ndarray]

    @property
    def sounds(self):
        return [self.expected[f"alone_{index}_input_values"] for index in range(4)]

    @property
    def logits(self):
        return [self.expected[f"alone_{index}_logits"] for index in range(4)]


@pytest.fixture(scope="module", params=CASES)
def golden(request, shared):
    folder, case = shared / "golden" / request.param, CASES[request.param]
    checkpoint = case.read(folder)
    with np.load(folder / "expected.npz") as expected:
        return Golden(case, checkpoint, case.build(checkpoint), dict(expected))


def _open(network):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(ir.serde.serialize_model(network.model).SerializeToString(), options)


def _run(session, sounds, length):
    values = np.stack([np.pad(sound, (0, length - sound.size)) for sound in sounds])
    lengths = np.array([sound.size for sound in sounds])
    logits, counts = session.run(["logits", "output_lengths"], {"input_values": values, "input_lengths": lengths})
    assert np.isfinite(logits).all()
    return [row[:count] for row, count in zip(logits, counts, strict=True)]


BATCHES = {
    "alone": lambda session, sounds: [_run(session, [sound], sound.size)[0] for sound in sounds],
    "mixed batch": lambda session, sounds: _run(session, sounds, max(sound.size for sound in sounds)),
    "mixed batch backwards": lambda session, sounds: _run(session, sounds[::-1], 30_000)[::-1],
    "mixed batch padded to 35 s": lambda session, sounds: _run(session, sounds, LONGEST),
}


@pytest.mark.parametrize("batch", BATCHES)
def test_the_graph_is_the_original_alone(golden, batch):
    results = BATCHES[batch](_open(golden.network), golden.sounds)
    for result, truth in zip(results, golden.logits, strict=True):
        np.testing.assert_allclose(result, truth, rtol=0, atol=LOGITS["fp32"])


def test_the_reference_is_the_original(golden):
    pytest.importorskip("transformers")
    from inferry.reference.huggingface_speech import reference

    original = reference(golden.checkpoint)
    for sound, truth in zip(golden.sounds, golden.logits, strict=True):
        outputs = original.infer({"input_values": sound, "input_lengths": np.array(sound.size)})
        np.testing.assert_allclose(outputs["logits"], truth, rtol=0, atol=5e-5)
        assert outputs["output_lengths"] == len(truth)


def test_what_happens_inside_is_the_original_too(golden):
    encoder = f"{golden.case.prefix}.encoder"
    normed = "" if golden.case.layers_before_the_final_norm else ".final_layer_norm/LayerNormalization"
    probes = {f"alone_0_hidden_{index + 1}": f"{encoder}.layers.{index}{normed or '/Add_1'}" for index in range(3)}
    probes["alone_0_hidden_0"] = f"{encoder}/Add" if not normed else f"{encoder}.layer_norm/LayerNormalization"
    if not normed:
        probes["alone_0_last_hidden_state"] = f"{encoder}.layer_norm/LayerNormalization"
    network = golden.case.build(golden.checkpoint)
    by_name = {value.name: value for node in network.model.graph for value in node.outputs}
    for name in probes.values():
        by_name[name].type = ir.TensorType(ir.DataType.FLOAT)
        network.model.graph.outputs.append(by_name[name])
    sound = golden.sounds[0]
    inputs = {"input_values": np.pad(sound, (0, 5000))[None], "input_lengths": np.array([sound.size])}
    values = _open(network).run(list(probes.values()), inputs)
    for key, value in zip(probes, values, strict=True):
        truth = golden.expected[key]
        np.testing.assert_allclose(value[0, : len(truth)], truth, rtol=0, atol=LOGITS["fp32"], err_msg=key)
