import numpy as np
import pytest

from inferry.core.errors import BundleError, SampleError
from inferry.processing.spectrogram import SpectrogramSettings, length_of, spectrogram_features

ROW = {
    "kind": "spectrogram",
    "sampling_rate": 16000,
    "window_size": 0.02,
    "window_stride": 0.01,
    "window": "hamming",
    "pad_mode": "reflect",
    "minimum_samples": 161,
}


def settings(**changes):
    return SpectrogramSettings.from_json(ROW | changes)


def sound(count, seed=0):
    return np.random.default_rng(seed).normal(0, 0.2, count).astype(np.float32)


WINDOWS = {
    "hamming": lambda turn: 0.54 - 0.46 * np.cos(turn),
    "hann": lambda turn: 0.5 - 0.5 * np.cos(turn),
    "blackman": lambda turn: 0.42 - 0.5 * np.cos(turn) + 0.08 * np.cos(2 * turn),
    "bartlett": lambda turn: 1 - np.abs(turn / np.pi - 1),
}


def slow_spectrogram(samples, points, hop, window, *, reflect):
    """Frame by frame and frequency by frequency, from the definition of the discrete Fourier transform."""
    weights = WINDOWS[window](2 * np.pi * np.arange(points) / points)
    columns = []
    for start in range(-(points // 2), len(samples) + points // 2 - points + 1, hop):
        frame = np.zeros(points)
        for offset in range(points):
            at = start + offset
            if reflect:
                at = -at if at < 0 else at
                at = 2 * (len(samples) - 1) - at if at >= len(samples) else at
            frame[offset] = samples[at] if 0 <= at < len(samples) else 0.0
        turns = np.outer(np.arange(points // 2 + 1), np.arange(points)) / points
        columns.append(np.abs(np.exp(-2j * np.pi * turns) @ (frame * weights)))
    logs = np.log1p(np.array(columns).T)
    return (logs - logs.mean()) / logs.std(ddof=1)


@pytest.mark.parametrize("count", [161, 319, 320, 1001, 1600])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_against_the_definition(count, pad_mode):
    samples = sound(count)
    spectrogram = spectrogram_features(samples, settings(pad_mode=pad_mode)).inputs["spectrogram"]
    expected = slow_spectrogram(samples, 320, 160, "hamming", reflect=pad_mode == "reflect")
    assert spectrogram.shape == (1, 161, 1 + count // 160)
    np.testing.assert_allclose(spectrogram[0], expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_is_periodic(window):
    samples = sound(900)
    spectrogram = spectrogram_features(samples, settings(window=window)).inputs["spectrogram"]
    np.testing.assert_allclose(
        spectrogram[0], slow_spectrogram(samples, 320, 160, window, reflect=True), rtol=0, atol=5e-6
    )


@pytest.mark.parametrize(("rate", "points", "hop"), [(8000, 160, 80), (22050, 441, 220)])
def test_other_rates(rate, points, hop):
    samples = sound(3 * hop + 5)
    features = spectrogram_features(samples, settings(sampling_rate=rate, minimum_samples=points // 2 + 1))
    expected = slow_spectrogram(samples, points, hop, "hamming", reflect=True)
    assert features.length == expected.shape[1]
    np.testing.assert_allclose(features.inputs["spectrogram"][0], expected, rtol=0, atol=5e-6)


def test_features_carry_their_length():
    features = spectrogram_features(sound(16001), settings())
    assert features.inputs["spectrogram"].dtype == np.float32
    assert features.inputs["input_lengths"] == features.length == 101
    assert features.inputs["input_lengths"].dtype == np.int64
    assert features.seconds == pytest.approx(1.0000625)


def test_a_long_sound_is_transformed_in_blocks_without_seams():
    samples = sound(160 * 2100)
    whole = spectrogram_features(samples, settings()).inputs["spectrogram"][0]
    frames = np.lib.stride_tricks.sliding_window_view(samples, 320)[::160] * WINDOWS["hamming"](
        2 * np.pi * np.arange(320) / 320
    )
    logs = np.log1p(np.abs(np.fft.rfft(frames, axis=-1))).T
    # Normalisation is linear, so the inner frames agree up to one scale and one shift.
    scale, shift = np.polyfit(whole[:, 1:-1].ravel()[::97], logs.ravel()[::97], 1)
    np.testing.assert_allclose(whole[:, 1:-1] * scale + shift, logs, rtol=0, atol=1e-5)


def test_silence_gives_zeros():
    assert not spectrogram_features(np.zeros(1000, np.float32), settings()).inputs["spectrogram"].any()


@pytest.mark.parametrize("count", [161, 162, 479, 480, 481, 559280])
def test_length_needs_no_samples(count):
    assert length_of(count, settings()) == 1 + count // 160


def test_too_short_for_reflection_is_refused():
    with pytest.raises(SampleError, match=r"160 samples \(10\.0 ms\) at 16000 Hz, the model needs at least 161"):
        length_of(160, settings())
    with pytest.raises(SampleError, match="too short"):
        spectrogram_features(sound(160), settings())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_samples_are_refused(bad):
    samples = sound(400)
    samples[3] = bad
    with pytest.raises(SampleError, match="1 of 400 samples are NaN or infinite, the first at 3"):
        spectrogram_features(samples, settings())


def test_samples_too_large_for_a_magnitude_are_refused():
    with pytest.raises(SampleError, match="too large to transform"):
        spectrogram_features(np.full(400, 3e38, np.float32), settings())


def test_unknown_settings_are_refused_together():
    with pytest.raises(BundleError, match=r"window is 'kaiser', available: hamming.*pad_mode is 'edge', available"):
        settings(window="kaiser", pad_mode="edge")
