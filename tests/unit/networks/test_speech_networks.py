"""wav2vec2 and data2vec-audio of every variant against transformers, and their exactness under padding."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.core.errors import CheckpointError
from inferry.core.tolerances import LOGITS
from inferry.networks import data2vec_audio, wav2vec2

BUILD = {"wav2vec2": wav2vec2.build, "data2vec-audio": data2vec_audio.build}
VARIANTS = {
    "group norm": ("wav2vec2", {}),
    "group norm, odd positional kernel": ("wav2vec2", {"num_conv_pos_embeddings": 7}),
    "group norm, convolutions with bias": ("wav2vec2", {"conv_bias": True}),
    "group norm, stable layer norm": ("wav2vec2", {"do_stable_layer_norm": True}),
    "layer norm": ("wav2vec2", {"feat_extract_norm": "layer", "layer_norm_eps": 1e-3}),
    "layer norm, stable, bias": (
        "wav2vec2",
        {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
    ),
    "one group": ("wav2vec2", {"num_conv_pos_embedding_groups": 1, "num_attention_heads": 1}),
    "data2vec": ("data2vec-audio", {}),
    "data2vec, even positional kernel, bias": ("data2vec-audio", {"conv_pos_kernel_size": 4, "conv_bias": True}),
}
MINIMUM = 30
"""Samples for one frame of the tiny networks: 10 + (3 - 1) * 5 + (2 - 1) * 10."""


def _sound(samples, seed=0):
    return np.random.default_rng(seed).standard_normal(samples, dtype=np.float32)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request, speech_checkpoint):
    family, changes = VARIANTS[request.param]
    return speech_checkpoint(family, **changes)


def test_every_variant_is_the_original_alone_and_padded(variant, open_network, run_batch):
    pytest.importorskip("transformers")
    from inferry.reference.huggingface_speech import reference

    network = BUILD[variant.family](variant)
    session, original = open_network(network), reference(variant)
    onnx.checker.check_model(ir.serde.serialize_model(network.model), full_check=True)
    sounds = [_sound(samples, samples) for samples in (MINIMUM, MINIMUM + 1, 50, 333, 2000)]
    expected = [original.infer({"input_values": sound})["logits"] for sound in sounds]
    alone = [run_batch(session, [sound], sound.size)[0] for sound in sounds]
    for results in (alone, run_batch(session, sounds, 2000), run_batch(session, sounds, 9001)):
        for result, truth in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, truth, rtol=0, atol=LOGITS["fp32"])


def test_the_reference_would_notice_a_wrong_weight(speech_checkpoint, open_network, run_batch):
    checkpoint = speech_checkpoint()
    name = "wav2vec2.encoder.pos_conv_embed.conv.weight"
    changed = replace(checkpoint, tensors={**checkpoint.tensors, name: checkpoint.tensors[name][:, :, ::-1].copy()})
    first, second = (
        run_batch(open_network(wav2vec2.build(item)), [_sound(500)], 500)[0] for item in (checkpoint, changed)
    )
    assert abs(first - second).max() > 100 * LOGITS["fp32"]


@pytest.fixture(scope="module")
def sessions(speech_checkpoint, open_network):
    return {family: open_network(build(speech_checkpoint(family))) for family, build in BUILD.items()}


@settings(max_examples=30, deadline=None)
@given(
    family=st.sampled_from(sorted(BUILD)),
    lengths=st.lists(st.integers(MINIMUM, 3000), min_size=1, max_size=5),
    spare=st.integers(0, 5000),
    random=st.randoms(use_true_random=False),
)
def test_neighbours_order_and_padding_never_change_an_answer(sessions, run_batch, *, family, lengths, spare, random):
    session = sessions[family]
    sounds = [_sound(length, seed) for seed, length in enumerate(lengths)]
    order = list(range(len(sounds)))
    random.shuffle(order)
    together = run_batch(session, [sounds[index] for index in order], max(lengths) + spare)
    for index, result in zip(order, together, strict=True):
        alone = run_batch(session, [sounds[index]], sounds[index].size)[0]
        np.testing.assert_allclose(result, alone, rtol=0, atol=LOGITS["fp32"])


def test_quiet_channels_keep_their_digits(speech_checkpoint, open_network, run_batch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from inferry.reference.huggingface_speech import reference

    checkpoint = speech_checkpoint()
    # A kernel that takes differences of a slow signal: its variance is a small rest of large numbers.
    kernels = checkpoint.tensors["wav2vec2.feature_extractor.conv_layers.0.conv.weight"].copy()
    kernels[0] = 0
    kernels[0, 0, :3] = [1, -2, 1]
    name = "wav2vec2.feature_extractor.conv_layers.0.conv.weight"
    checkpoint = replace(checkpoint, tensors={**checkpoint.tensors, name: kernels})
    sound = (np.sin(np.arange(4000) / 9) + 0.01 * _sound(4000)).astype(np.float32)
    sound -= sound.mean()
    original = reference(checkpoint)
    single = original.infer({"input_values": sound})["logits"]
    exact = original._model.double()(torch.from_numpy(sound).double()[None]).logits[0].detach().numpy()
    result = run_batch(open_network(wav2vec2.build(checkpoint)), [sound], 7000)[0]
    assert abs(single - exact).max() < LOGITS["fp32"]
    assert abs(result - exact).max() <= LOGITS["fp32"] / 2


@pytest.mark.parametrize(("family", "gelus"), [("wav2vec2", 4), ("data2vec-audio", 6)])
def test_onnxruntime_fuses_what_the_forms_are_meant_for(speech_checkpoint, open_network, tmp_path, family, gelus):
    network = BUILD[family](speech_checkpoint(family))
    assert {node.domain for node in network.model.graph} == {""}
    open_network(network, optimised=tmp_path / "optimised.onnx")
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert counts["Erf"] == 0
    assert (counts["Gelu"], counts["BiasGelu"]) == (gelus, 2)
    assert counts["FusedMatMul"] == 2, "the scale of the query belongs into the product with the key"


def test_missing_misshapen_and_superfluous_tensors_are_all_named(speech_checkpoint):
    checkpoint = speech_checkpoint()
    tensors = {**checkpoint.tensors, "quantizer.weight": np.zeros(2, np.float32)}
    del tensors["lm_head.bias"]
    tensors["wav2vec2.encoder.layer_norm.weight"] = np.ones(5, np.float32)
    with pytest.raises(CheckpointError) as caught:
        wav2vec2.build(replace(checkpoint, tensors=tensors))
    assert caught.value.problems == (
        "wav2vec2.encoder.layer_norm.weight has shape [5]; the configuration asks for [16]",
        "lm_head.bias is missing; the configuration asks for [7]",
        "quantizer.weight has no place in the network that the configuration describes",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "relu"}, "only 'gelu' is supported"),
        ({"add_adapter": True}, "add_adapter"),
        ({"adapter_attn_dim": 16}, "adapter_attn_dim"),
        ({"feat_extract_norm": "batch"}, "expected 'group' or 'layer'"),
        ({"num_attention_heads": 5}, "no multiple of num_attention_heads 5"),
        ({"num_conv_pos_embedding_groups": 3}, "no multiple of num_conv_pos_embedding_groups 3"),
        ({"conv_stride": [5, 2]}, "different lengths"),
        ({"vocab_size": "7"}, "vocab_size is '7'"),
        ({"conv_dim": [8, 8, -1]}, "conv_dim is"),
    ],
)
def test_unsupported_configurations_are_refused_with_the_reason(speech_checkpoint, changes, words):
    checkpoint = speech_checkpoint()
    with pytest.raises(CheckpointError, match=words):
        wav2vec2.build(replace(checkpoint, config={**checkpoint.config, **changes}))
