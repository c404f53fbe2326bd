import numpy as np
import pytest

from inferry.core.errors import SampleError
from inferry.processing.waveform import WaveformSettings, is_silent, length_of, waveform_features

ROW = {"kind": "waveform", "sampling_rate": 16000, "normalize": True, "epsilon": 1e-7, "minimum_samples": 400}
SETTINGS = WaveformSettings.from_json(ROW)


def sound(count, seed=0):
    return np.random.default_rng(seed).normal(0.1, 0.2, count).astype(np.float32)


def test_settings_come_from_processor_json():
    assert WaveformSettings(16000, normalize=True, epsilon=1e-7, minimum_samples=400) == SETTINGS


def test_features_have_zero_mean_and_unit_variance():
    features = waveform_features(sound(4000), SETTINGS)
    values = features.inputs["input_values"]
    assert values.dtype == np.float32
    assert abs(values.mean(dtype=np.float64)) < 1e-6
    assert abs(values.var(dtype=np.float64) - 1) < 1e-4
    assert features.inputs["input_lengths"] == features.length == 4000
    assert features.inputs["input_lengths"].dtype == np.int64
    assert features.seconds == 0.25


def test_the_variance_is_that_of_the_population_plus_epsilon():
    samples = np.tile(np.float32([0.0, 1e-3]), 200)
    expected = np.where(samples > 0, 1, -1) * 5e-4 / np.sqrt(2.5e-7 + 1e-7)
    np.testing.assert_allclose(waveform_features(samples, SETTINGS).inputs["input_values"], expected, rtol=1e-5)


def test_without_normalisation_the_samples_pass_through():
    settings = WaveformSettings.from_json(ROW | {"normalize": False})
    samples = sound(500)
    np.testing.assert_array_equal(waveform_features(samples, settings).inputs["input_values"], samples)


def test_the_caller_keeps_its_samples():
    samples = sound(500)
    copy = samples.copy()
    waveform_features(samples, SETTINGS)
    np.testing.assert_array_equal(samples, copy)


def test_silence_gives_finite_features():
    assert not waveform_features(np.zeros(400, np.float32), SETTINGS).inputs["input_values"].any()


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_a_constant_is_silent(value):
    assert is_silent(np.full(10, value, np.float32))


def test_a_sound_is_not_silent():
    assert is_silent(np.zeros(0, np.float32))
    assert not is_silent(np.float32([0.0, 1e-6]))


def test_length_is_the_number_of_samples():
    assert length_of(400, SETTINGS) == 400


def test_too_short_names_both_lengths():
    with pytest.raises(
        SampleError, match=r"399 samples \(24\.9 ms\) at 16000 Hz, the model needs at least 400"
    ) as caught:
        length_of(399, SETTINGS)
    assert caught.value.stage == "process"
    with pytest.raises(SampleError, match="too short"):
        waveform_features(sound(399), SETTINGS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_samples_are_refused(bad):
    samples = sound(400)
    samples[[7, 9]] = bad
    with pytest.raises(SampleError, match="2 of 400 samples are NaN or infinite, the first at 7"):
        waveform_features(samples, SETTINGS)


def test_samples_too_large_to_square_are_refused():
    with pytest.raises(SampleError, match="too large to normalise"):
        waveform_features(sound(400) * np.float32(1e30), SETTINGS)
