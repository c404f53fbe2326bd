import json
import os
import pickle

import numpy as np
import pytest

from inferry.checkpoints.lightning_deepspeech import read_deepspeech2
from inferry.core.errors import CheckpointError


class Command:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def problems_of(path):
    with pytest.raises(CheckpointError) as caught:
        read_deepspeech2(path)
    return "\n".join(caught.value.problems)


def test_a_bidirectional_checkpoint(deepspeech):
    file = deepspeech()
    checkpoint = read_deepspeech2(file.write())
    assert checkpoint.config == {**file.config, "lookahead_context": None}
    assert checkpoint.processor == {
        "input": {
            "kind": "spectrogram",
            "sampling_rate": 16000,
            "window_size": 0.02,
            "window_stride": 0.01,
            "window": "hamming",
            "pad_mode": "reflect",
            "minimum_samples": 161,
        },
        "decode": {
            "kind": "ctc-greedy",
            "style": "deepspeech",
            "blank": 0,
            "word_delimiter": " ",
            "frame_seconds": 0.02,
        },
    }
    assert json.loads(checkpoint.files["vocab.json"]) == ["_", "A", " "]
    del file.tensors["conv.seq_module.1.num_batches_tracked"]
    assert checkpoint.tensors.keys() == file.tensors.keys()
    for name, tensor in file.tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], tensor)


@pytest.mark.parametrize("rnn_type", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("sample_rate", "inputs"), [(8000, 672), (16000, 1312)])
def test_all_kinds(rnn_type, bidirectional, sample_rate, inputs, deepspeech):
    file = deepspeech(rnn_type=rnn_type, bidirectional=bidirectional, sample_rate=sample_rate)
    checkpoint = read_deepspeech2(file.write())
    assert checkpoint.config["rnn_type"] == rnn_type
    assert checkpoint.config["bidirectional"] is bidirectional
    assert checkpoint.config["lookahead_context"] == (None if bidirectional else 4)
    assert checkpoint.tensors["rnns.0.rnn.weight_ih_l0"].shape[1] == inputs
    assert ("lookahead.0.conv.weight" in checkpoint.tensors) is not bidirectional


@pytest.mark.parametrize("window", ["hamming", "hann", "blackman", "bartlett"])
def test_windows(window, deepspeech):
    assert read_deepspeech2(deepspeech(window=window).write()).processor["input"]["window"] == window


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"window": "kaiser"}, "window 'kaiser', expected one of hamming, hann, blackman, bartlett"),
        ({"rnn_type": "transformer"}, "rnn_type 'transformer', expected one of lstm, gru, rnn"),
        ({"sample_rate": 44100}, "sample_rate 44100, expected one of 8000, 16000"),
        ({"sample_rate": "???"}, "sample_rate '???'"),
        ({"window_size": 0.0}, "window_size 0.0, expected seconds"),
        ({"window_stride": 160}, "window_stride 160, expected seconds"),
        ({"hidden_size": "${size}"}, "hidden_size '${size}'"),
        ({"hidden_layers": -1}, "hidden_layers -1"),
        ({"hidden_layers": 10**9}, "hidden_layers 1000000000"),
        ({"labels": []}, "labels []"),
        ({"labels": "abc"}, "labels 'abc'"),
        ({"labels": ["a", 1]}, "labels ['a', 1]"),
        ({"labels": ["_", "A", "A"]}, "twice"),
        ({"labels": ["_", "AB", " "]}, "single characters"),
    ],
)
def test_settings_that_cannot_be_run(change, text, deepspeech):
    file = deepspeech()
    file.config |= change
    assert text in problems_of(file.write())


def test_all_settings_are_told_together(deepspeech):
    file = deepspeech()
    file.config |= {"window": "kaiser", "sample_rate": 1, "hidden_size": None, "labels": []}
    assert problems_of(file.write()).count("\n") == 3


@pytest.mark.parametrize("key", ["labels", "model_cfg", "spect_cfg"])
def test_missing_hyper_parameters(key, deepspeech):
    file = deepspeech()
    file.remove = (key,)
    assert problems_of(file.write()) == f"hyper_parameters has no {key}"


def test_missing_extra_wrong_and_bad_values_are_told_together(deepspeech):
    file = deepspeech()
    del file.tensors["fc.0.module.0.running_var"]
    file.tensors["surplus"] = np.zeros(2, np.float32)
    file.tensors["rnns.1.rnn.weight_ih_l0"] = np.zeros((24, 7), np.float32)
    file.tensors["fc.0.module.1.weight"][0, 0] = np.nan
    found = problems_of(file.write())
    for text in (
        "tensor fc.0.module.0.running_var [6] is missing",
        "tensor surplus [2] is not expected",
        "tensor rnns.1.rnn.weight_ih_l0 has shape [24, 7], expected [24, 6]",
        "tensor fc.0.module.1.weight has 1 of 18 values that are not finite",
    ):
        assert text in found


def test_shapes_of_another_rnn_are_named(deepspeech):
    found = problems_of(deepspeech(rnn_type="lstm", tensors_of={"rnn_type": "gru"}).write())
    assert "model_cfg has rnn_type lstm, but the weights are those of gru" in found


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_other_direction_is_named(bidirectional, deepspeech):
    other = {"bidirectional": not bidirectional}
    found = problems_of(deepspeech(bidirectional=bidirectional, tensors_of=other).write())
    assert "but the tensors are those of a" in found
    assert "is missing" not in found


def test_another_sample_rate_shows_in_the_first_rnn(deepspeech):
    found = problems_of(deepspeech(sample_rate=8000, tensors_of={"sample_rate": 16000}).write())
    assert "rnns.0.rnn.weight_ih_l0 has shape [24, 1312], expected [24, 672]" in found


def test_a_state_dict_with_something_else(deepspeech):
    file = deepspeech()
    file.extra = {"oops": "text"}
    assert "not tensors: oops" in problems_of(file.write())


def test_a_tensor_outside_of_its_storage(deepspeech):
    file = deepspeech()
    del file.tensors["rnns.0.rnn.bias_ih_l0"]
    bad = file.forge.tensor(np.zeros(2, np.float32), shape=(24,))
    file.extra = {"rnns.0.rnn.bias_ih_l0": bad}
    assert "needs 24 elements" in problems_of(file.write())


def test_a_file_cut_off(deepspeech, tmp_path):
    data = deepspeech().write().read_bytes()
    for length in (0, 3, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.ckpt").write_bytes(data[:length])
        assert problems_of(tmp_path / "cut.ckpt")


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, [1], {"hyper_parameters": {}}])
def test_files_that_are_no_lightning_checkpoint(content, forge, tmp_path):
    assert "no Lightning checkpoint" in problems_of(forge.write_zip(tmp_path / "x.ckpt", content))


@pytest.mark.parametrize("parameters", [None, [1], "x", {"model_cfg": "x", "spect_cfg": 5, "labels": ["_"]}])
def test_hyper_parameters_of_other_kinds(parameters, forge, tmp_path):
    content = {"state_dict": {}, "hyper_parameters": parameters}
    assert problems_of(forge.write_zip(tmp_path / "x.ckpt", content))


def test_a_malicious_checkpoint_is_refused_and_not_run(forge, tmp_path):
    target = tmp_path / "made"
    content = {"state_dict": {}, "hyper_parameters": {"labels": Command(target)}}
    path = forge.write_zip(tmp_path / "x.ckpt", pickle.dumps(content, 4))
    assert "system" in problems_of(path)
    assert not target.exists()


def test_a_folder_with_one_checkpoint(deepspeech, tmp_path):
    path = deepspeech().write()
    assert read_deepspeech2(tmp_path).path == path
    (tmp_path / "other.ckpt").write_bytes(b"")
    assert "model.ckpt, other.ckpt" in problems_of(tmp_path)


def test_folders_without_a_checkpoint(tmp_path):
    assert problems_of(tmp_path) == "it has no .ckpt file"
    (tmp_path / "config.json").write_text("{}")
    assert "Hugging Face folder" in problems_of(tmp_path)
    assert "does not exist" in problems_of(tmp_path / "none")


@pytest.mark.parametrize(
    ("path", "hidden", "layers"),
    [
        ("golden/deepspeech/deepspeech_v3.ckpt", 12, 3),
        ("checkpoints/deepspeech2-an4-small", 52, 4),
        ("checkpoints/deepspeech2-an4-medium", 96, 4),
    ],
)
def test_original_checkpoints(path, hidden, layers, shared):
    checkpoint = read_deepspeech2(shared / path)
    assert checkpoint.config["hidden_size"] == hidden
    assert checkpoint.config["hidden_layers"] == layers
    assert (checkpoint.config["rnn_type"], checkpoint.config["bidirectional"]) == ("lstm", True)
    assert len(checkpoint.config["labels"]) == 29
    assert len(checkpoint.tensors) == 13 + 12 * layers
