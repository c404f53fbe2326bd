"""The original network behind the Reference protocol: what it shares, says and refuses."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from inferry.checkpoints.speech_tables import wav2vec2_table
from inferry.core.errors import BackendError, CheckpointError, MissingDependencyError, UsageError
from inferry.core.protocols import Checkpoint
from inferry.reference.huggingface_speech import reference

CONFIG = {
    "vocab_size": 5,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "feat_extract_norm": "group",
    "conv_dim": [4, 4],
    "conv_kernel": [10, 3],
    "conv_stride": [5, 2],
    "num_feat_extract_layers": 2,
    "conv_bias": False,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.05,
}


@pytest.fixture
def checkpoint():
    generator = np.random.default_rng(0)
    shapes = wav2vec2_table(CONFIG)
    tensors = {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    for array in tensors.values():
        array.flags.writeable = False
    return Checkpoint("wav2vec2", Path("tiny"), "", tensors, CONFIG, {})


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers")


def test_outputs_are_those_of_one_utterance_without_its_padding(checkpoint, transformers):
    original = reference(checkpoint)
    sound = np.random.default_rng(1).standard_normal(300, dtype=np.float32)
    alone = original.infer({"input_values": sound})
    assert alone["logits"].shape == (29, 5)
    assert alone["output_lengths"].dtype == np.int64
    assert alone["output_lengths"] == 29
    padded = original.infer({"input_values": np.pad(sound, (0, 99)), "input_lengths": np.array(300)})
    np.testing.assert_array_equal(padded["logits"], alone["logits"])


def test_the_weights_are_those_of_the_checkpoint_to_the_last_bit(checkpoint, transformers):
    model = reference(checkpoint)._model
    state = model.state_dict()
    assert set(state) == set(checkpoint.tensors)
    for name, array in checkpoint.tensors.items():
        assert np.array_equal(state[name].numpy(), array), name
    assert not model.training


def test_it_says_nothing_and_leaves_the_log_level_alone(checkpoint, transformers, capfd):
    before = transformers.utils.logging.get_verbosity()
    reference(checkpoint).infer({"input_values": np.ones(100, np.float32)})
    assert transformers.utils.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_the_signature_names_versions_and_class(checkpoint, transformers):
    signature = reference(checkpoint).signature()
    assert signature["transformers"] == transformers.__version__
    assert signature["network"] == "Wav2Vec2ForCTC"
    assert signature["torch"]


def test_missing_and_wrong_tensors_are_listed(checkpoint, transformers):
    tensors = dict(checkpoint.tensors)
    del tensors["lm_head.bias"]
    tensors["lm_head.weight"] = np.zeros((2, 2), np.float32)
    with pytest.raises(CheckpointError) as caught:
        reference(replace(checkpoint, tensors=tensors))
    assert len(caught.value.problems) == 2
    assert "lm_head.bias" in str(caught.value)
    assert "lm_head.weight" in str(caught.value)


def test_a_sound_too_short_for_a_frame_is_refused_with_its_size(checkpoint, transformers):
    with pytest.raises(BackendError, match="5 samples"):
        reference(checkpoint).infer({"input_values": np.ones(5, np.float32)})


def test_an_unknown_family_names_the_known_ones(checkpoint):
    with pytest.raises(UsageError, match="available: wav2vec2, data2vec-audio"):
        reference(replace(checkpoint, family="whisper"))


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_says_the_line_that_installs_it(checkpoint, transformers, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'inferry\[reference\]'") as caught:
        reference(checkpoint)
    assert caught.value.package == package


def test_a_broken_neighbour_of_torch_is_named(checkpoint, transformers, monkeypatch):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise RuntimeError("libtorchaudio.so: undefined symbol")

    monkeypatch.setitem(sys.modules, "transformers", Broken("transformers"))
    with pytest.raises(BackendError, match="pip uninstall torchaudio"):
        reference(checkpoint)
