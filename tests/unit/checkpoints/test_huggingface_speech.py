import json
import os
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inferry.checkpoints.huggingface_speech import read_data2vec_audio, read_wav2vec2
from inferry.core.errors import CheckpointError
from inferry.core.files import sha256_of

CONVOLUTION = "wav2vec2.encoder.pos_conv_embed.conv"
QUERY = "wav2vec2.encoder.layers.1.attention.q_proj.weight"


class Command:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def problems_of(folder, read=read_wav2vec2):
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    return "\n".join(caught.value.problems)


def test_a_wav2vec2_folder(wav2vec2):
    checkpoint = read_wav2vec2(wav2vec2.write())
    assert checkpoint.family == "wav2vec2"
    assert checkpoint.sha256 == sha256_of(wav2vec2.folder / "model.safetensors")
    assert checkpoint.config == wav2vec2.config
    assert checkpoint.notes == ()
    assert json.loads(checkpoint.files["vocab.json"]) == ["<pad>", "<s>", "</s>", "<unk>", "|", "E"]
    assert checkpoint.processor == {
        "input": {
            "kind": "waveform",
            "sampling_rate": 16000,
            "normalize": True,
            "epsilon": 1e-7,
            "minimum_samples": 20,
        },
        "decode": {
            "kind": "ctc-greedy",
            "style": "huggingface",
            "blank": 0,
            "word_delimiter": "|",
            "frame_seconds": np.prod(wav2vec2.config["conv_stride"]) / 16000,
        },
    }
    assert "wav2vec2.masked_spec_embed" not in checkpoint.tensors
    assert not [name for name in checkpoint.tensors if "weight_" in name]
    assert checkpoint.tensors[f"{CONVOLUTION}.weight"].shape == (8, 4, 6)
    assert {str(tensor.dtype) for tensor in checkpoint.tensors.values()} == {"float32"}


def test_a_data2vec_folder_and_a_file_in_it(data2vec):
    checkpoint = read_data2vec_audio(data2vec.write() / "config.json")
    assert checkpoint.path == data2vec.folder
    assert checkpoint.tensors.keys() == data2vec.tensors.keys()


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_widths_become_float32(dtype, data2vec):
    data2vec.tensors = {name: tensor.astype(dtype) for name, tensor in data2vec.tensors.items()}
    read = read_data2vec_audio(data2vec.write()).tensors
    for name, tensor in data2vec.tensors.items():
        np.testing.assert_array_equal(read[name], tensor.astype(np.float32))


def test_the_three_spellings_of_weight_norm_are_one(wav2vec2):
    first = read_wav2vec2(wav2vec2.write()).tensors
    g, v = (wav2vec2.tensors.pop(f"{CONVOLUTION}.weight_{part}") for part in "gv")
    wav2vec2.tensors[f"{CONVOLUTION}.parametrizations.weight.original0"] = g
    wav2vec2.tensors[f"{CONVOLUTION}.parametrizations.weight.original1"] = v
    second = read_wav2vec2(wav2vec2.write()).tensors
    for part in "01":
        del wav2vec2.tensors[f"{CONVOLUTION}.parametrizations.weight.original{part}"]
    wav2vec2.tensors[f"{CONVOLUTION}.weight"] = v * g / np.sqrt((v * v).sum((0, 1), keepdims=True))
    third = read_wav2vec2(wav2vec2.write()).tensors
    np.testing.assert_array_equal(first[f"{CONVOLUTION}.weight"], second[f"{CONVOLUTION}.weight"])
    np.testing.assert_allclose(first[f"{CONVOLUTION}.weight"], third[f"{CONVOLUTION}.weight"], rtol=2e-6)


def test_the_layer_norm_variant_with_biases(wav2vec2):
    from inferry.checkpoints.speech_tables import wav2vec2_table

    wav2vec2.config |= {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    wav2vec2.tensors = {name: np.ones(shape, np.float32) for name, shape in wav2vec2_table(wav2vec2.config).items()}
    tensors = read_wav2vec2(wav2vec2.write()).tensors
    assert tensors["wav2vec2.feature_extractor.conv_layers.1.layer_norm.bias"].shape == (6,)
    assert tensors["wav2vec2.feature_extractor.conv_layers.1.conv.bias"].shape == (6,)


def test_safetensors_are_preferred_and_bin_is_read(wav2vec2, forge):
    wav2vec2.write(weights=False)
    forge.write_zip(wav2vec2.folder / "pytorch_model.bin", forge.state(wav2vec2.tensors))
    from_bin = read_wav2vec2(wav2vec2.folder).tensors
    save_file(wav2vec2.tensors, wav2vec2.folder / "model.safetensors")
    (wav2vec2.folder / "pytorch_model.bin").write_bytes(b"broken")
    for name, tensor in read_wav2vec2(wav2vec2.folder).tensors.items():
        np.testing.assert_array_equal(from_bin[name], tensor)


def test_a_sharded_folder(wav2vec2):
    wav2vec2.write(weights=False)
    names = sorted(wav2vec2.tensors)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, members in parts.items():
        save_file({name: wav2vec2.tensors[name] for name in members}, wav2vec2.folder / file)
    index = {"weight_map": {name: file for file, members in parts.items() for name in members}}
    (wav2vec2.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoint = read_wav2vec2(wav2vec2.folder)
    assert f"{CONVOLUTION}.weight" in checkpoint.tensors
    assert len(checkpoint.sha256) == 64


def test_missing_extra_wrong_and_bad_values_are_told_together(wav2vec2):
    tensors = wav2vec2.tensors
    del tensors["lm_head.bias"], tensors["wav2vec2.encoder.layers.0.layer_norm.bias"]
    tensors["surplus.weight"] = np.zeros(2, np.float32)
    tensors[QUERY] = np.zeros((8, 9), np.float32)
    tensors["lm_head.weight"][1, 2] = np.nan
    tensors["wav2vec2.encoder.layer_norm.bias"][:2] = np.inf
    tensors["wav2vec2.encoder.layer_norm.weight"] = np.ones(8, np.int64)
    wav2vec2.config["num_attention_heads"] = 2
    wav2vec2.vocabulary = {"<pad>": 0}
    found = problems_of(wav2vec2.write())
    for text in (
        "tensor lm_head.bias [6] is missing",
        "tensor wav2vec2.encoder.layers.0.layer_norm.bias [8] is missing",
        "tensor surplus.weight [2] is not expected",
        f"tensor {QUERY} has shape [8, 9], expected [8, 8]",
        "tensor lm_head.weight has 1 of 48 values that are not finite",
        "tensor wav2vec2.encoder.layer_norm.bias has 2 of 8 values that are not finite",
        "tensor wav2vec2.encoder.layer_norm.weight has dtype int64",
        "vocab.json has 1 tokens, but config.json has vocab_size 6",
    ):
        assert text in found


def test_float64_values_beyond_float32_are_not_finite(wav2vec2):
    wav2vec2.tensors["lm_head.bias"] = np.full(6, 1e300)
    assert "lm_head.bias has 6 of 6 values that are not finite" in problems_of(wav2vec2.write())


@pytest.mark.parametrize("head", [True, False])
def test_a_model_without_ctc_head(head, wav2vec2):
    del wav2vec2.tensors["lm_head.weight"], wav2vec2.tensors["lm_head.bias"]
    wav2vec2.config["architectures"] = ["Wav2Vec2ForCTC" if head else "Wav2Vec2ForPreTraining"]
    found = problems_of(wav2vec2.write())
    assert "no CTC head" in found
    assert ("Wav2Vec2ForPreTraining" in found) is not head
    assert "is missing" not in found


def test_the_other_family_is_named(wav2vec2, data2vec):
    assert "use the family data2vec-audio" in problems_of(data2vec.write())
    (data2vec.folder / "config.json").unlink()
    assert "use the family wav2vec2" in problems_of(wav2vec2.write(), read_data2vec_audio)


@pytest.mark.parametrize("kind", ["hubert", None, 5, ["wav2vec2"]])
def test_an_unknown_family(kind, wav2vec2):
    wav2vec2.config["model_type"] = kind
    assert f"model_type {kind!r}, expected 'wav2vec2'" in problems_of(wav2vec2.write())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hidden_act": "relu"}, "hidden_act 'relu', supported is 'gelu'"),
        ({"feat_extract_activation": "gelu_new"}, "feat_extract_activation"),
        ({"add_adapter": True}, "adapter layers are not supported"),
        ({"adapter_attn_dim": 16}, "language adapters"),
        ({"conv_pos_batch_norm": True}, "batch norm"),
        ({"feat_extract_norm": "batch"}, "expected 'group' or 'layer'"),
        ({"do_stable_layer_norm": "yes"}, "do_stable_layer_norm 'yes', expected true or false"),
        ({"conv_bias": 1}, "conv_bias 1"),
        ({"hidden_size": 0}, "hidden_size 0"),
        ({"hidden_size": 8.0}, "hidden_size 8.0"),
        ({"hidden_size": True}, "hidden_size True"),
        ({"num_hidden_layers": 10**7}, "from 1 to 1024"),
        ({"layer_norm_eps": 0}, "layer_norm_eps"),
        ({"layer_norm_eps": "1e-5"}, "layer_norm_eps"),
        ({"conv_dim": []}, "conv_dim"),
        ({"conv_kernel": [10, 0]}, "conv_kernel"),
        ({"conv_stride": "5,2"}, "conv_stride"),
        ({"conv_stride": [5]}, "contradicts itself"),
        ({"num_feat_extract_layers": 7}, "contradicts itself"),
        ({"num_attention_heads": 3}, "num_attention_heads 3 does not divide"),
        ({"num_conv_pos_embedding_groups": 5}, "num_conv_pos_embedding_groups 5 does not divide"),
        ({"vocab_size": 7}, "vocab_size 7"),
    ],
)
def test_settings_that_cannot_be_run(change, text, wav2vec2):
    wav2vec2.config |= change
    assert text in problems_of(wav2vec2.write())


@pytest.mark.parametrize("key", ["hidden_size", "conv_kernel", "conv_bias", "feat_extract_norm", "layer_norm_eps"])
def test_a_missing_key(key, wav2vec2):
    del wav2vec2.config[key]
    found = problems_of(wav2vec2.write())
    assert f"config.json has no {key}" in found
    assert "not checked" in found


def test_data2vec_needs_its_own_keys(data2vec):
    del data2vec.config["conv_pos_kernel_size"]
    assert "no conv_pos_kernel_size" in problems_of(data2vec.write(), read_data2vec_audio)


@pytest.mark.parametrize(
    ("vocabulary", "text"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "expected a JSON object"),
        ({"eng": {"a": 0}}, "several vocabularies"),
        ({"a": "0"}, "expected integers"),
        ({"<pad>": 0, "a": 2}, "indices"),
        ({"<pad>": 0, "a": 0}, "indices"),
        ({token: index for index, token in enumerate("abcdef")}, "CTC blank"),
        (None, "vocab.json is missing"),
    ],
)
def test_broken_vocabularies(vocabulary, text, wav2vec2):
    wav2vec2.vocabulary = vocabulary
    assert text in problems_of(wav2vec2.write())


def test_added_tokens_and_other_special_tokens(wav2vec2):
    wav2vec2.vocabulary = {"[PAD]": 4, "a": 1, " ": 2, "b": 3}
    wav2vec2.tokenizer = {"pad_token": {"content": "[PAD]"}, "word_delimiter_token": " "}
    wav2vec2.write()
    (wav2vec2.folder / "added_tokens.json").write_text('{"<s>": 0, "</s>": 5}')
    checkpoint = read_wav2vec2(wav2vec2.folder)
    assert json.loads(checkpoint.files["vocab.json"]) == ["<s>", "a", " ", "b", "[PAD]", "</s>"]
    assert checkpoint.processor["decode"]["blank"] == 4
    assert checkpoint.processor["decode"]["word_delimiter"] == " "


def test_a_vocabulary_without_delimiter_is_noted(wav2vec2):
    wav2vec2.tokenizer = {"word_delimiter_token": "#"}
    assert "without spaces" in read_wav2vec2(wav2vec2.write()).notes[0]


def test_lower_casing_tokenizers_are_not_supported(wav2vec2):
    wav2vec2.tokenizer = {"do_lower_case": True}
    assert "do_lower_case True" in problems_of(wav2vec2.write())


def test_the_preprocessor_decides_rate_and_normalisation(wav2vec2):
    wav2vec2.preprocessor = {"do_normalize": False, "sampling_rate": 8000}
    prepared = read_wav2vec2(wav2vec2.write()).processor["input"]
    assert (prepared["normalize"], prepared["sampling_rate"]) == (False, 8000)


def test_without_a_preprocessor_the_usual_settings_are_noted(wav2vec2):
    wav2vec2.preprocessor = None
    checkpoint = read_wav2vec2(wav2vec2.write())
    assert checkpoint.processor["input"]["sampling_rate"] == 16000
    assert "preprocessor_config.json is missing" in checkpoint.notes[0]


@pytest.mark.parametrize(
    "preprocessor",
    [
        {"do_normalize": "yes"},
        {"sampling_rate": "16k"},
        {"sampling_rate": 0},
        {"feature_size": 80},
        {"feature_extractor_type": "SeamlessM4TFeatureExtractor"},
        "[1]",
        "{",
    ],
)
def test_broken_preprocessors(preprocessor, wav2vec2):
    wav2vec2.preprocessor = preprocessor
    assert "preprocessor_config.json" in problems_of(wav2vec2.write())


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "[" * 100000])
def test_a_broken_configuration_does_not_hide_other_problems(text, wav2vec2):
    wav2vec2.vocabulary = None
    (wav2vec2.write() / "config.json").write_text(text)
    found = problems_of(wav2vec2.folder)
    assert "config.json" in found
    assert "vocab.json is missing" in found


def test_an_empty_folder_lists_all_files(tmp_path):
    found = problems_of(tmp_path)
    for name in ("config.json", "vocab.json", "model.safetensors", "pytorch_model.bin"):
        assert name in found


def test_a_path_that_does_not_exist(tmp_path):
    assert "does not exist" in problems_of(tmp_path / "none")


def test_a_lightning_checkpoint_is_sent_to_its_family(tmp_path):
    (tmp_path / "x.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="deepspeech2"):
        read_wav2vec2(tmp_path)


def test_broken_weights_are_told_with_the_rest(wav2vec2):
    wav2vec2.vocabulary = None
    (wav2vec2.write(weights=False) / "model.safetensors").write_bytes(b"\xff" * 50)
    found = problems_of(wav2vec2.folder)
    assert "model.safetensors: it cannot be read" in found
    assert "vocab.json" in found


@pytest.mark.parametrize(
    ("remove", "add", "text"),
    [
        (["weight_g"], {}, "half of the positional"),
        (["weight_v"], {}, "half of the positional"),
        ([], {"weight": (8, 4, 6)}, "given twice"),
        ([], {"parametrizations.weight.original0": (1, 1, 6)}, "given twice"),
        ([], {"weight_g": (8, 1, 1)}, "expected [1, 1, kernel]"),
        (["weight_g", "weight_v"], {}, "weight [8, 4, 6] is missing"),
    ],
)
def test_broken_weight_norms(remove, add, text, wav2vec2):
    for name in remove:
        del wav2vec2.tensors[f"{CONVOLUTION}.{name}"]
    for name, shape in add.items():
        wav2vec2.tensors[f"{CONVOLUTION}.{name}"] = np.ones(shape, np.float32)
    found = problems_of(wav2vec2.write())
    assert text in found
    assert found.count("\n") == 0


def test_a_zero_direction_is_not_finite(wav2vec2):
    wav2vec2.tensors[f"{CONVOLUTION}.weight_v"][:, :, 2] = 0
    assert "32 of 192 values that are not finite" in problems_of(wav2vec2.write())


def test_a_malicious_bin_is_refused_and_not_run(wav2vec2, forge, tmp_path):
    target = tmp_path / "made"
    wav2vec2.write(weights=False)
    forge.write_zip(wav2vec2.folder / "pytorch_model.bin", pickle.dumps(Command(target), 2))
    assert "system" in problems_of(wav2vec2.folder)
    assert not target.exists()


GOLDEN = [
    ("golden/wav2vec2", read_wav2vec2, 67),
    ("golden/wav2vec2-layer", read_wav2vec2, 86),
    ("golden/data2vec", read_data2vec_audio, 87),
    ("checkpoints/wav2vec2-an4-small", read_wav2vec2, 83),
    ("checkpoints/data2vec-audio-an4-small", read_data2vec_audio, 103),
]


@pytest.mark.parametrize(("folder", "read", "count"), GOLDEN)
def test_original_folders(folder, read, count, shared):
    checkpoint = read(shared / folder)
    assert len(checkpoint.tensors) == count
    assert checkpoint.processor["input"]["minimum_samples"] == 400
    stored = load_file(shared / folder / "model.safetensors")
    for name in checkpoint.tensors.keys() & stored.keys():
        np.testing.assert_array_equal(checkpoint.tensors[name], stored[name])


@pytest.mark.parametrize("folder", ["wav2vec2", "wav2vec2-layer", "data2vec"])
def test_bin_and_safetensors_hold_the_same(folder, shared, tmp_path):
    golden = shared / "golden" / folder
    for name in ("config.json", "vocab.json", "preprocessor_config.json", "pytorch_model.bin"):
        (tmp_path / name).symlink_to(golden / name)
    read = read_data2vec_audio if folder == "data2vec" else read_wav2vec2
    first, second = read(golden).tensors, read(tmp_path).tensors
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor, second[name])


def test_weight_norm_is_that_of_torch(shared):
    torch = pytest.importorskip("torch", reason="the reference extra is not installed")
    stored = load_file(shared / "checkpoints/wav2vec2-an4-small/model.safetensors")
    g, v = (torch.from_numpy(stored[f"{CONVOLUTION}.parametrizations.weight.original{i}"]) for i in (0, 1))
    read = read_wav2vec2(shared / "checkpoints/wav2vec2-an4-small").tensors[f"{CONVOLUTION}.weight"]
    np.testing.assert_allclose(read, torch._weight_norm(v, g, 2).numpy(), rtol=1e-6, atol=1e-8)
