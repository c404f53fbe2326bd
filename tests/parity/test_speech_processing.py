"""Features and greedy decoding of speech against what the original code computed."""

import json

import numpy as np
import pytest
import soundfile

from inferry.processing.ctc import GreedyCtcDecoder
from inferry.processing.spectrogram import SpectrogramSettings, spectrogram_features
from inferry.processing.waveform import WaveformSettings, waveform_features

HUGGINGFACE = ("wav2vec2", "wav2vec2-layer", "data2vec")
UTTERANCES = range(4)
WAVEFORM = WaveformSettings(sampling_rate=16000, normalize=True, epsilon=1e-7, minimum_samples=400)


@pytest.fixture(params=HUGGINGFACE)
def huggingface(request, shared):
    folder = shared / "golden" / request.param
    with np.load(folder / "expected.npz") as expected, np.load(folder / "inputs.npz") as inputs:
        return {
            "arrays": dict(expected) | dict(inputs),
            "text": json.loads((folder / "expected_text.json").read_text()),
            "tokens": in_order(json.loads((folder / "vocab.json").read_text())),
        }


@pytest.fixture(scope="module")
def deepspeech(shared):
    return shared / "golden" / "deepspeech"


def in_order(vocabulary):
    return tuple(sorted(vocabulary, key=vocabulary.__getitem__))


def spectrogram_settings(pad_mode):
    return SpectrogramSettings(16000, 0.02, 0.01, "hamming", pad_mode, 161)


def samples_of(folder, utterance):
    """The mean of the channels, as the original reads it (utterance 1 is stereo)."""
    sound, _ = soundfile.read(folder / "an4_style" / "wav" / f"utt{utterance}.wav", dtype="float32", always_2d=True)
    return sound.mean(axis=1)


def test_waveforms(huggingface):
    arrays = huggingface["arrays"]
    compared = 0
    for utterance in UTTERANCES:
        if f"alone_{utterance}_input_values" not in arrays:
            continue
        features = waveform_features(arrays[f"waveform_{utterance}"], WAVEFORM)
        expected = arrays[f"alone_{utterance}_input_values"]
        np.testing.assert_allclose(features.inputs["input_values"], expected, rtol=0, atol=1e-6)
        compared += 1
    assert compared


def test_waveforms_equal_the_original_s_extractor_bit_by_bit():
    transformers = pytest.importorskip("transformers")
    samples = np.random.default_rng(5).normal(0.02, 0.1, 12345).astype(np.float32)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    expected = extractor(samples, sampling_rate=16000, return_tensors="np")["input_values"][0]
    np.testing.assert_array_equal(waveform_features(samples, WAVEFORM).inputs["input_values"], expected)


@pytest.mark.parametrize("utterance", UTTERANCES)
def test_spectrograms_of_librosa_0_8(deepspeech, utterance):
    features = spectrogram_features(samples_of(deepspeech, utterance), spectrogram_settings("reflect"))
    expected = np.load(deepspeech / "expected.npz")[f"reflect_spect_{utterance}"]
    assert features.length == expected.shape[1]
    np.testing.assert_allclose(features.inputs["spectrogram"][0], expected, rtol=0, atol=5e-6)


def test_spectrogram_of_librosa_0_9(deepspeech):
    features = spectrogram_features(samples_of(deepspeech, 0), spectrogram_settings("constant"))
    expected = np.load(deepspeech / "expected.npz")["constant_spect_0"]
    np.testing.assert_allclose(features.inputs["spectrogram"][0], expected, rtol=0, atol=5e-6)


def test_huggingface_decoding(huggingface):
    decoder = GreedyCtcDecoder(huggingface["tokens"], "huggingface", blank=0, word_delimiter="|", frame_seconds=0.02)
    frames = huggingface["arrays"]["frames"]
    for utterance in UTTERANCES:
        logits = huggingface["arrays"][f"alone_{utterance}_logits"]
        assert decoder.decode({"logits": logits}).text == huggingface["text"][f"alone_{utterance}"]
    for batch in (key.removesuffix("_full") for key in huggingface["text"] if key.endswith("_full")):
        for row, logits in enumerate(huggingface["arrays"][f"{batch}_logits"]):
            assert decoder.decode({"logits": logits}).text == huggingface["text"][f"{batch}_full"][row]
            cut = {"logits": logits[: frames[row]]}
            assert decoder.decode(cut).text == huggingface["text"][f"{batch}_valid"][row]


def test_deepspeech_decoding(deepspeech):
    labels = tuple(json.loads((deepspeech / "labels.json").read_text()))
    decoder = GreedyCtcDecoder(labels, "deepspeech", blank=0, word_delimiter=" ", frame_seconds=0.02)
    texts = json.loads((deepspeech / "expected_text.json").read_text())
    arrays = np.load(deepspeech / "expected.npz")
    for pad_mode in ("reflect", "constant"):
        for utterance in UTTERANCES:
            name = f"{pad_mode}_alone_{utterance}"
            assert decoder.decode({"logits": arrays[f"{name}_logits"]}).text == texts[name]["text"]
    for row, size in enumerate(arrays["batch_output_sizes"]):
        assert decoder.decode({"logits": arrays["batch_logits"][row, :size]}).text == texts["batch"][row]


def test_deepspeech_collapse_of_label_sequences(deepspeech):
    labels = tuple(json.loads((deepspeech / "labels.json").read_text()))
    decoder = GreedyCtcDecoder(labels, "deepspeech", blank=0, word_delimiter=" ", frame_seconds=0.02)
    cases = json.loads((deepspeech / "metrics.json").read_text())["greedy"]
    assert cases
    for ids, text in cases:
        assert decoder.decode({"logits": np.eye(29, dtype=np.float32)[ids]}).text == text
