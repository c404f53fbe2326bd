"""DeepSpeech2 against what the original code computed: golden random weights, and two small trained checkpoints."""

import json

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import soundfile

from inferry.checkpoints.lightning_deepspeech import read_deepspeech2
from inferry.core.tolerances import LOGITS
from inferry.networks.deepspeech2 import build
from inferry.processing.ctc import GreedyCtcDecoder
from inferry.processing.spectrogram import SpectrogramSettings, spectrogram_features

UTTERANCES = range(4)
LONGEST = 3496  # frames of 559,280 samples
TRAINED = ("deepspeech2-an4-small", "deepspeech2-an4-medium")

GOLDEN = LOGITS["fp32"]


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "golden" / "deepspeech"
    with np.load(folder / "expected.npz") as arrays:
        return dict(arrays) | {"text": json.loads((folder / "expected_text.json").read_text())}


@pytest.fixture(scope="module")
def checkpoint(shared):
    return read_deepspeech2(shared / "golden" / "deepspeech" / "deepspeech_v3.ckpt")


@pytest.fixture(scope="module")
def session(checkpoint, tmp_path_factory):
    return opened(checkpoint, tmp_path_factory.mktemp("golden"))


def opened(checkpoint, folder):
    ir.save(build(checkpoint).model, folder / "model.onnx")
    return onnxruntime.InferenceSession(folder / "model.onnx")


def run(session, spectrograms, time):
    batch = np.zeros((len(spectrograms), 1, spectrograms[0].shape[0], time), np.float32)
    for row, spectrogram in zip(batch, spectrograms, strict=True):
        row[0, :, : spectrogram.shape[1]] = spectrogram
    lengths = np.array([spectrogram.shape[1] for spectrogram in spectrograms], np.int64)
    return session.run(["logits", "probs", "output_lengths"], {"spectrogram": batch, "input_lengths": lengths})


def decoder_of(checkpoint):
    return GreedyCtcDecoder(tuple(json.loads(checkpoint.files["vocab.json"])), "deepspeech", 0, " ", 0.02)


@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("utterance", UTTERANCES)
def test_the_reference_is_the_original(checkpoint, golden, shared, pad_mode, utterance):
    pytest.importorskip("torch")
    from inferry.reference.deepspeech2 import reference

    spectrogram = golden_spectrogram(checkpoint, golden, shared, pad_mode, utterance)
    outputs = reference(checkpoint).infer(
        {"spectrogram": spectrogram[None], "input_lengths": np.array(spectrogram.shape[1])}
    )
    expected = f"{pad_mode}_alone_{utterance}"
    np.testing.assert_allclose(outputs["logits"], golden[f"{expected}_logits"], rtol=0, atol=GOLDEN)
    np.testing.assert_allclose(outputs["probs"], golden[f"{expected}_probs"], rtol=0, atol=5e-5)
    assert outputs["output_lengths"] == golden[f"{expected}_size"][0]
    assert decoder_of(checkpoint).decode(outputs).text == golden["text"][expected]["text"]


def golden_spectrogram(checkpoint, golden, shared, pad_mode, utterance):
    if f"{pad_mode}_spect_{utterance}" in golden:
        return golden[f"{pad_mode}_spect_{utterance}"]
    sound, _ = soundfile.read(shared / f"golden/deepspeech/an4_style/wav/utt{utterance}.wav", dtype="float32")
    samples = sound if sound.ndim == 1 else sound.mean(axis=1)
    settings = SpectrogramSettings.from_json(checkpoint.processor["input"] | {"pad_mode": pad_mode})
    return spectrogram_features(samples, settings).inputs["spectrogram"][0]


@pytest.mark.parametrize(
    ("order", "time"),
    [((0,), None), ((1,), None), ((2,), None), ((3,), None), ((0, 1, 2, 3), 169), ((3, 1, 0, 2), 169), ((2, 0), 400)],
    ids=str,
)
def test_the_graph_is_the_original_alone_whatever_the_batch(checkpoint, session, golden, order, time):
    spectrograms = [golden[f"reflect_spect_{utterance}"] for utterance in order]
    logits, probs, lengths = run(session, spectrograms, time or spectrograms[0].shape[1])
    for row, utterance in enumerate(order):
        expected = f"reflect_alone_{utterance}"
        frames = int(lengths[row])
        assert frames == golden[f"{expected}_size"][0]
        np.testing.assert_allclose(logits[row, :frames], golden[f"{expected}_logits"], rtol=0, atol=GOLDEN)
        np.testing.assert_allclose(probs[row, :frames], golden[f"{expected}_probs"], rtol=0, atol=5e-5)
        decoded = decoder_of(checkpoint).decode({"logits": logits[row, :frames]})
        assert decoded.text == golden["text"][expected]["text"]


def test_padding_to_the_longest_of_a_data_set_changes_nothing(session, golden):
    spectrograms = [golden[f"reflect_spect_{utterance}"] for utterance in UTTERANCES]
    padded, _, lengths = run(session, spectrograms, LONGEST)
    for row, spectrogram in enumerate(spectrograms):
        alone, *_ = run(session, [spectrogram], spectrogram.shape[1])
        np.testing.assert_allclose(padded[row, : lengths[row]], alone[0], rtol=0, atol=LOGITS["fp32"])


def test_true_lengths_mend_the_original_s_batch(session, golden):
    """The original's float32 lengths lose a frame of one row; where they are right, its batch equals ours."""
    right = golden["batch_input_sizes"] == golden["batch_true_sizes"]
    assert np.count_nonzero(~right) == 1
    feed = {"spectrogram": golden["batch_inputs"], "input_lengths": golden["batch_true_sizes"]}
    logits, lengths = session.run(["logits", "output_lengths"], feed)
    for row in range(len(right)):
        expected = golden[f"reflect_alone_{golden['batch_order'][row]}_logits"]
        np.testing.assert_allclose(logits[row, : lengths[row]], expected, rtol=0, atol=GOLDEN)
        if right[row]:
            original = golden["batch_logits"][row, : lengths[row]]
            np.testing.assert_allclose(logits[row, : lengths[row]], original, rtol=0, atol=GOLDEN)


@pytest.mark.parametrize("name", TRAINED)
def test_trained_checkpoints(shared, tmp_path, name):
    folder = shared / "checkpoints" / name
    checkpoint = read_deepspeech2(next(folder.glob("*.ckpt")))
    session = opened(checkpoint, tmp_path)
    settings = SpectrogramSettings.from_json(checkpoint.processor["input"])
    texts = {row["id"]: row["text"] for row in json.loads((folder / "expected.json").read_text())["utterances"]}
    expected = np.load(folder / "expected.npz")
    names = [key.removesuffix(".logits") for key in expected.files if key.endswith(".logits")]
    assert len(names) == 5
    spectrograms = [trained_spectrogram(shared, settings, utterance) for utterance in names]
    together, _, lengths = run(session, spectrograms, 900)
    for row, (utterance, spectrogram) in enumerate(zip(names, spectrograms, strict=True)):
        alone, probs, _ = run(session, [spectrogram], spectrogram.shape[1])
        logits = expected[f"{utterance}.logits"]
        np.testing.assert_allclose(alone[0], logits, rtol=0, atol=LOGITS["fp32"])
        np.testing.assert_allclose(together[row, : lengths[row]], logits, rtol=0, atol=LOGITS["fp32"])
        np.testing.assert_allclose(probs[0], expected[f"{utterance}.probs"], rtol=0, atol=5e-5)
        assert decoder_of(checkpoint).decode({"logits": alone[0]}).text == texts[utterance]


def trained_spectrogram(shared, settings, utterance):
    samples, rate = soundfile.read(shared / "data" / "an4_test" / "flac" / f"{utterance}.flac", dtype="float32")
    assert rate == settings.sampling_rate
    return spectrogram_features(samples, settings).inputs["spectrogram"][0]
