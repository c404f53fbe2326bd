import math

import numpy as np
import pytest

from inferry.checkpoints.deepspeech_table import deepspeech_table
from inferry.checkpoints.huggingface_speech import read_wav2vec2


@pytest.fixture
def full_size(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import full_size

    return full_size


def parameters(shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def test_wav2vec2_has_the_size_of_the_published_checkpoint(full_size):
    shapes = full_size.wav2vec2_shapes(full_size.WAV2VEC2)
    assert len(shapes) == 213
    assert parameters(shapes) == 94_396_320


def test_data2vec_audio_has_the_size_of_the_published_checkpoint(full_size):
    shapes = full_size.data2vec_audio_shapes(full_size.DATA2VEC_AUDIO)
    assert len(shapes) == 232
    assert parameters(shapes) == 93_188_896


def test_deepspeech2_has_the_size_of_the_defaults(full_size):
    trained = {name: shape for name, shape in deepspeech_table(full_size.DEEPSPEECH2).items() if "running" not in name}
    assert parameters(trained) == pytest.approx(86.6e6, rel=0.001)


def test_random_tensors_are_the_same_every_time(full_size):
    shapes = full_size.wav2vec2_shapes(full_size.TINY)
    first, second = full_size.random_tensors(shapes), full_size.random_tensors(shapes)
    assert {name: tensor.shape for name, tensor in first.items()} == shapes
    assert all(np.array_equal(first[name], second[name]) for name in shapes)
    assert {tensor.dtype for tensor in first.values()} == {np.dtype(np.float32)}


def test_norms_start_near_one_and_biases_near_zero(full_size):
    tensors = full_size.random_tensors({"norm.weight": (4096,), "norm.bias": (4096,), "norm.running_var": (4096,)})
    assert tensors["norm.weight"].mean() == pytest.approx(1, abs=0.01)
    assert tensors["norm.bias"].mean() == pytest.approx(0, abs=0.01)
    assert tensors["norm.running_var"].min() >= 1


def test_a_checkpoint_is_written_once_and_can_be_read(full_size, tmp_path):
    folder = full_size.checkpoint_folder(tmp_path, "tiny")
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert full_size.checkpoint_folder(tmp_path, "tiny") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    checkpoint = read_wav2vec2(folder)
    assert checkpoint.config == full_size.TINY
    assert checkpoint.processor["input"]["minimum_samples"] == 400
