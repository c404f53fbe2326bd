import numpy as np
import pytest

import inferry
from inferry.core.errors import BackendError, SampleError, UsageError
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
    with pytest.raises(UsageError, match="available: onnxruntime"):
        inferry.load(tiny_bundle.path, backend="abacus")
    with pytest.raises(BackendError, match="int4"):
        inferry.load(tiny_bundle.path, precision="int4")
    monkeypatch.setattr("inferry.backends.onnxruntime.OnnxRuntime.missing", lambda _: "not installed; pip install it")
    with pytest.raises(BackendError, match="pip install it"):
        inferry.load(tiny_bundle.path)
