from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import inferry
from inferry.core.errors import BackendError, SampleError, UsageError
from inferry.models.registry import get_recipe
from inferry.pipeline.model import Model


@pytest.fixture
def model(tiny_bundle):
    with inferry.load(tiny_bundle.path, threads=1) as opened:
        yield opened


@pytest.fixture
def audio(tiny):
    return [inferry.Audio(tiny.sound(length, length), tiny.RATE) for length in (3000, 7100, 1700)]


def test_outputs_are_cut_to_the_true_length(model, audio):
    for outputs in (model.infer(audio), model.infer(audio, 3), model.infer(audio, 2, pad_to=20_000)):
        assert [len(row["logits"]) for row in outputs] == [int(row["output_lengths"]) for row in outputs]
        assert [row["logits"].dtype for row in outputs] == [np.float32] * 3
    assert model.infer([]) == []


def test_predictions_are_the_same_for_every_batch_size(model, audio):
    one = model.predict(audio)
    assert all(isinstance(row, inferry.Transcription) for row in one)
    assert model.predict(audio, 2) == model.predict(audio, 3) == one


def test_paths_text_and_memory_are_samples(model, tiny, tmp_path):
    data = tiny.write_data(tmp_path, 1).parent / "000.wav"
    assert len({row.text for row in model.predict([data, str(data), inferry.AudioFile(data)])}) == 1
    with pytest.raises(UsageError, match="not int"):
        model.predict([3])


def test_silence_is_an_empty_text(model):
    (answer,) = model.predict([inferry.Audio(np.zeros(5000, np.float32), 16_000)])
    assert answer == inferry.Transcription("", 0)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_holds_at_least_one(model, audio, size):
    for call in (model.infer, model.predict):
        with pytest.raises(UsageError, match="at least 1"):
            call(audio, size)


def test_a_bad_sample_is_told(model):
    with pytest.raises(SampleError, match="read: the file does not exist"):
        model.infer(["nowhere.wav"])


def test_near_ties_are_settled_alone(model, audio, monkeypatch):
    expected, calls = model.predict(audio), []
    original = Model.run_batch

    def counted(self, features, pad_to=None):
        calls.append(len(features))
        return original(self, features, pad_to)

    monkeypatch.setattr(Model, "run_batch", counted)
    monkeypatch.setattr(Model, "is_settled", lambda self, outputs: False)
    assert model.predict(audio, 3) == expected
    assert calls == [3, 1, 1, 1]


def test_a_closed_model_refuses(tiny_bundle, audio):
    model = inferry.load(tiny_bundle.path)
    model.close()
    with pytest.raises(BackendError, match="closed"):
        model.infer(audio)


def test_options_that_cannot_be_honoured(tiny_bundle, monkeypatch):
    with pytest.raises(UsageError, match="available: ascend, onnxruntime"):
        inferry.load(tiny_bundle.path, backend="abacus")
    with pytest.raises(BackendError, match="int4"):
        inferry.load(tiny_bundle.path, precision="int4")
    monkeypatch.setattr("inferry.backends.onnxruntime.OnnxRuntime.missing", lambda _: "not installed; pip install it")
    with pytest.raises(BackendError, match="pip install it"):
        inferry.load(tiny_bundle.path)


@pytest.mark.parametrize("family", ["wav2vec2", "data2vec-audio", "deepspeech2"])
@pytest.mark.parametrize("kind", ["float", "integer stereo", "another rate", "file", "silence"])
def test_reading_first_changes_no_bit(tiny, tiny_bundles, tmp_path, family, kind):
    whole = tiny.sound(9000, 4)
    soundfile.write(tmp_path / "a.flac", np.stack([whole, whole[::-1]], axis=1), 22_050)
    source = {
        "float": inferry.Audio(whole.astype(np.float64), tiny.RATE),
        "integer stereo": inferry.Audio((np.stack([whole, whole[::-1]], axis=1) * 30_000).astype(np.int16), tiny.RATE),
        "another rate": inferry.Audio((whole * 2**31).astype(np.int32), 44_100),
        "file": inferry.AudioFile(tmp_path / "a.flac", 0.1, 0.35),
        "silence": inferry.Audio(np.full(9000, 128, np.uint8), tiny.RATE),
    }[kind]
    with inferry.load(tiny_bundles[family].path) as opened:
        direct, read = opened.processor.process(source), opened.processor.process(opened.processor.read(source))
    assert (direct.length, direct.seconds, direct.answer) == (read.length, read.seconds, read.answer)
    assert (read.answer is None) == (kind != "silence")
    for name, value in direct.inputs.items():
        assert read.inputs[name].dtype == value.dtype
        np.testing.assert_array_equal(read.inputs[name], value)


@pytest.mark.parametrize("seconds", [-1.0, 0.5, float("nan"), float("inf")])
def test_windows_that_cannot_be_meant(tiny_bundle, seconds):
    with pytest.raises(UsageError, match=r"--max-seconds is .*; a window has at least 1 s, and 0 cuts nothing"):
        inferry.load(tiny_bundle.path, max_seconds=seconds)


def test_by_default_no_utterance_is_cut(tiny_bundle, tiny):
    sounds = [inferry.Audio(np.zeros(int(seconds * tiny.RATE)), tiny.RATE) for seconds in (34.955, 36.0, 36.1)]
    with inferry.load(tiny_bundle.path) as model:
        assert [len(model.cut(sound)) for sound in sounds] == [1, 1, 2]


def test_a_family_without_a_cutter_cuts_nothing(tiny_bundle, tiny, monkeypatch):
    recipe = replace(get_recipe("wav2vec2"), cutter=None)
    monkeypatch.setattr("inferry.pipeline.model.get_recipe", lambda _: recipe)
    with inferry.load(tiny_bundle.path, max_seconds=1.0) as model:
        assert len(model.cut(inferry.Audio(tiny.sound(50_000, 1), tiny.RATE))) == 1


def test_no_batch_settles_a_search(tiny_bundle, audio):
    with inferry.load(tiny_bundle.path, threads=1, decoding=inferry.Decoding(beam=3)) as searching:
        clear = {"logits": np.eye(10, dtype=np.float32)[[5, 6, 7]] * 50}
        assert searching.decoder.margin(clear) > 1
        assert not searching.is_settled(clear)


@pytest.mark.parametrize("sample", ["clip.wav", Path("clip.wav"), np.zeros((4, 4, 3), np.uint8)], ids=type)
def test_one_sample_is_not_a_list(model, sample):
    with pytest.raises(UsageError, match=r"as a list, not as one \w+: write \[sample\]"):
        model.predict(sample)
