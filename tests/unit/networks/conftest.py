"""Tiny speech transformers with random weights, and a way to run what the graph writers make of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from inferry.checkpoints.speech_tables import data2vec_audio_table, wav2vec2_table
from inferry.checkpoints.torchvision_detector import detector_table
from inferry.core.protocols import Checkpoint, Network
from inferry.networks.graph import Graph

TINY = {
    "vocab_size": 7,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "conv_dim": [8, 8, 12],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_feat_extract_layers": 3,
    "conv_bias": False,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": False,
}
DATA2VEC = {**TINY, "feat_extract_norm": "layer", "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}

Run = Callable[[Sequence[np.ndarray], int], list[np.ndarray]]


def _random(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    values = generator.standard_normal(shape, dtype=np.float32)
    if name.endswith("norm.weight"):
        return 1 + values / 5
    return values / 5 if len(shape) == 1 else values * np.float32(1.5 / np.sqrt(np.prod(shape[1:])))


def _checkpoint(family: str = "wav2vec2", **changes: Any) -> Checkpoint:
    config = {**(TINY if family == "wav2vec2" else DATA2VEC), **changes}
    table = wav2vec2_table(config) if family == "wav2vec2" else data2vec_audio_table(config)
    generator = np.random.default_rng(11)
    tensors = {name: _random(name, shape, generator) for name, shape in table.items()}
    return Checkpoint(family, Path("tiny"), "", tensors, config, {})


@pytest.fixture(scope="session")
def speech_checkpoint() -> Callable[..., Checkpoint]:
    """`speech_checkpoint(family, **changes to its configuration)`: a tiny random one."""
    return _checkpoint


def _session(network: Network, optimised: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised)
    return onnxruntime.InferenceSession(ir.serde.serialize_model(network.model).SerializeToString(), options)


@pytest.fixture(scope="session")
def open_network() -> Callable[..., onnxruntime.InferenceSession]:
    """`open_network(network, optimised=path)`: a session with one thread; writes the optimised graph if asked to."""
    return _session


def _run(session: onnxruntime.InferenceSession, rows: Sequence[np.ndarray], length: int) -> list[np.ndarray]:
    values = np.stack([np.pad(row, (0, length - row.size)) for row in rows])
    inputs: Mapping[str, np.ndarray] = {"input_values": values, "input_lengths": np.array([row.size for row in rows])}
    logits, counts = session.run(["logits", "output_lengths"], inputs)
    assert np.isfinite(logits).all()
    return [row[:count] for row, count in zip(logits, counts, strict=True)]


@pytest.fixture(scope="session")
def run_batch() -> Callable[..., list[np.ndarray]]:
    """`run_batch(session, utterances, padded length)`: the logits of each, cut to its own frames."""
    return _run


def _run_part(write: Callable[..., Any], outputs: str, **inputs: np.ndarray) -> list[np.ndarray]:
    graph = Graph("part")
    values = {
        name: graph.input(name, str(array.dtype), [f"{name}_{axis}" for axis in range(array.ndim)])
        for name, array in inputs.items()
    }
    written = write(graph, **values)
    for index, (value, output) in enumerate(zip(written, outputs.split(), strict=True)):
        dtype, rank = output.split("/")
        graph.output(value, f"output_{index}", dtype, [f"output_{index}_{axis}" for axis in range(int(rank))])
    return _session(graph.network()).run(None, inputs)


@pytest.fixture(scope="session")
def run_part() -> Callable[..., list[np.ndarray]]:
    """`run_part(write, "float32/2 int64/1", name=array)`: the values that `write(graph, name=value)` returns."""
    return _run_part


DETECTOR = {"width": 8, "blocks": [1, 2, 1, 1], "fpn_channels": 16, "representation_size": 32, "num_classes": 7}
GAINS = {
    # Strong enough to tell regions apart, and weak enough to leave scores between 0 and 1.
    "rpn.head.bbox_pred.weight": 0.3,
    "roi_heads.box_predictor.cls_score.weight": 0.15,
    "roi_heads.box_predictor.bbox_pred.weight": 0.1,
}


def _detector_tensor(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if name.endswith("running_var"):
        return generator.uniform(0.5, 2, shape).astype(np.float32)
    spread = GAINS.get(name, 1.4) / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.2
    mean = float(len(shape) == 1 and name.endswith("weight"))
    return generator.normal(mean, spread, shape).astype(np.float32)


def _detector(seed: int) -> Checkpoint:
    generator = np.random.default_rng(seed)
    tensors = {name: _detector_tensor(name, shape, generator) for name, shape in detector_table(DETECTOR).items()}
    return Checkpoint("faster-rcnn", Path("tiny"), "", tensors, DETECTOR, {})


@pytest.fixture(scope="session")
def detector_checkpoint() -> Callable[[int], Checkpoint]:
    """`detector_checkpoint(seed)`: a tiny random detector."""
    return _detector
