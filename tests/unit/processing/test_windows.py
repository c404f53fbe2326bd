import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.core.errors import BundleError, SampleError
from inferry.core.protocols import Window
from inferry.core.samples import Audio, AudioFile
from inferry.processing import audio
from inferry.processing.windows import SpeechCutter, cutter, seam

RATE, HOP, REACH = 16_000, 320, 400
CUTTER = SpeechCutter(RATE, HOP, blank=0)


def local_network(samples):
    """A frame sees its own `REACH` samples and nothing else, as in wav2vec2's first layers."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, REACH)[::HOP]
    logits = np.stack([frames[:, i * 57 : i * 57 + 57].sum(axis=1) for i in range(7)], axis=1)
    return {"logits": logits, "probs": logits * 2, "output_lengths": np.array(len(logits), np.int64)}


def noise(count, seed=0):
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def test_a_sound_of_just_the_longest_duration_is_whole():
    for milliseconds in range(1000, 4001):
        samples = np.zeros(milliseconds * RATE // 1000, np.float32)
        assert len(CUTTER.cut(Audio(samples, RATE), milliseconds / 1000)) == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(16_000, 200_000), st.integers(1000, 4000), st.integers(0, 99))
def test_windows_of_a_local_network_join_to_the_whole_bit_by_bit(count, milliseconds, seed):
    samples = noise(count, seed)
    windows = CUTTER.cut(Audio(samples, RATE), milliseconds / 1000)
    most = milliseconds * RATE // 1000
    assert (len(windows) == 1) == (count <= most)
    assert all(len(window.source.samples) <= most for window in windows)
    joined = CUTTER.join(windows, [local_network(window.source.samples) for window in windows])
    whole = local_network(samples)
    assert set(joined) == set(whole)
    for name, value in whole.items():
        assert joined[name].dtype == value.dtype
        np.testing.assert_array_equal(joined[name], value)


@settings(deadline=None, max_examples=40)
@given(st.integers(16_000, 200_000), st.floats(1.0, 4.0), st.integers(0, 9))
def test_what_only_the_edges_of_a_window_get_wrong_is_not_taken(count, seconds, seed):
    samples = noise(count, seed)
    windows = CUTTER.cut(Audio(samples, RATE), seconds)
    outputs = [local_network(window.source.samples) for window in windows]
    for index, output in enumerate(outputs):
        # A sixth of an overlap at either side is spoilt, as by missing context.
        spoilt = int(seconds * RATE / HOP / 4 / 6)
        if index > 0:
            output["logits"][:spoilt, 0] += 1000
        if index < len(outputs) - 1:
            output["logits"][len(output["logits"]) - spoilt :, 1] += 1000
    np.testing.assert_array_equal(CUTTER.join(windows, outputs)["logits"], local_network(samples)["logits"])


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("extra", [1, 333, 40_001])
def test_windows_of_another_rate_keep_the_frames_of_the_whole(rate, extra):
    source = Audio(noise(5 * rate + extra), rate)
    windows = CUTTER.cut(source, 2.0)
    sounds = [audio.read(window.source, RATE) for window in windows]
    starts = [round(window.start * RATE) for window in windows]
    whole = audio.read(source, RATE)
    assert all(start % HOP == 0 for start in starts)
    assert starts == sorted(set(starts))
    assert starts[-1] + len(sounds[-1]) == len(whole)
    assert {len(sound) for sound in sounds[:-1]} == {len(sounds[0])}
    for start, sound in zip(starts, sounds, strict=True):
        inner = slice(1000, len(sound) - 1000)
        np.testing.assert_allclose(sound[inner], whole[start : start + len(sound)][inner], atol=2e-3)


def test_a_rate_whose_frames_fall_between_samples_takes_the_nearest():
    source = Audio(noise(30_000), 11_127)
    windows = CUTTER.cut(source, 1.0)
    total = windows[-1].start * RATE + len(audio.read(windows[-1].source, RATE))
    assert len(windows) > 2
    assert abs(total - len(audio.read(source, RATE))) <= 1


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_part_of_a_file_is_the_part_of_its_sound(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(RATE * 7) / 10, RATE)
    for source in (AudioFile(path), AudioFile(path, 1.5), AudioFile(path, 0.25, 6.5)):
        whole = audio.read(source, RATE)
        windows = CUTTER.cut(source, 2.0)
        assert windows[-1].source.end == source.end
        for window in windows:
            assert window.source.path == path
            start = round(window.start * RATE)
            part = audio.read(window.source, RATE)
            np.testing.assert_allclose(part, whole[start : start + len(part)], atol=1e-6)
        assert start + len(part) == len(whole)


def test_a_short_sound_is_its_own_window():
    source = Audio(noise(RATE * 2), RATE)
    assert CUTTER.cut(source, 2.0) == (Window(source),)
    outputs = local_network(source.samples)
    np.testing.assert_array_equal(CUTTER.join((Window(source),), [outputs])["logits"], outputs["logits"])


@pytest.mark.parametrize(
    ("differ", "place"),
    [
        ([], 15),
        ([0, 29], 15),
        ([15], 10),  # between frames 5 to 9 and 10 to 14
        ([14], 20),
        ([12, 15], 21),
        ([4, 9, 14, 19, 24], 17),  # nowhere five on either side: the middle of the four
        (range(30), 15),
    ],
)
def test_the_seam_is_near_the_middle_where_both_agree(differ, place):
    first = np.arange(30) % 3
    second = first.copy()
    second[list(differ)] += 5
    assert seam(first, second) == place


def test_windows_that_only_touch_are_joined_there():
    assert seam(np.zeros(0, int), np.zeros(0, int)) == 0
    assert seam(np.zeros(1, int), np.zeros(1, int)) in {0, 1}


def test_a_gap_is_refused():
    windows = (Window(Audio(noise(9), RATE), 0.0), Window(Audio(noise(9), RATE), 1.0))
    with pytest.raises(SampleError, match="leave a gap between them: choose a longer --max-seconds"):
        CUTTER.join(windows, [local_network(noise(800))] * 2)


def test_an_empty_window_says_blank_in_every_frame():
    empty = SpeechCutter(RATE, HOP, blank=2).empty(local_network(noise(2000)))
    assert empty["logits"].argmax(axis=1).tolist() == [2] * 6
    assert empty["probs"].sum(axis=1).tolist() == [1.0] * 6
    assert int(empty["output_lengths"]) == 6
    assert np.exp(empty["logits"].astype(np.float32)).sum() == 6


def test_the_cutter_comes_from_processor_json():
    config = {"input": {"sampling_rate": 8000}, "decode": {"frame_seconds": 0.04, "blank": 3}}
    assert cutter(config) == SpeechCutter(8000, 320, 3)
    with pytest.raises(BundleError, match=r"processor\.json is broken"):
        cutter({"input": {}})
