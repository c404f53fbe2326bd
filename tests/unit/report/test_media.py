import io
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import soundfile

from inferry.report.media import PIXELS, SECONDS, encode_picture, encode_sound

RATE = 16_000


def tone(seconds):
    return (0.5 * np.sin(np.arange(int(seconds * RATE)) * 2 * np.pi * 440 / RATE)).astype(np.float32)


def test_the_mp3_holds_the_sound():
    sound = encode_sound(tone(2.0), RATE)
    decoded, rate = soundfile.read(io.BytesIO(sound.mp3))
    assert rate == RATE
    assert len(decoded) == pytest.approx(2.0 * RATE, rel=0.05)
    assert np.argmax(np.abs(np.fft.rfft(decoded))) * rate / len(decoded) == pytest.approx(440, abs=2)
    assert not sound.cut
    assert len(sound.mp3) < 8_000


def test_a_long_sound_is_cut_and_says_so():
    sound = encode_sound(tone(SECONDS + 5), RATE)
    assert sound.cut
    assert len(sound.mp3) < 4_000 * SECONDS
    assert "The first 30 seconds." in sound.to_markup("a")


def test_peaks_show_where_the_sound_is():
    sound = encode_sound(np.concatenate([np.zeros(RATE, np.float32), tone(1.0)]), RATE)
    assert len(sound.peaks) == 240
    assert max(sound.peaks[:119]) == 0
    assert min(sound.peaks[121:]) > 0.9


@pytest.mark.parametrize("samples", [np.zeros(3, np.float32), np.full(1, 7.0, np.float32)])
def test_silence_loudness_and_very_short_sounds(samples):
    sound = encode_sound(samples, RATE)
    assert len(sound.peaks) == len(samples)
    assert sound.to_markup('"><script>').count("<script>") == 0


@pytest.mark.parametrize(("size", "small"), [((640, 480), (192, 144)), ((40, 1000), (8, 192)), ((30, 20), (30, 20))])
def test_a_picture_is_made_small_and_never_large(size, small):
    whole = PIL.Image.linear_gradient("L").resize(size).convert("RGB")
    picture = encode_picture(whole)
    decoded = PIL.Image.open(io.BytesIO(picture.jpeg))
    assert (decoded.format, decoded.size) == ("JPEG", small)
    assert (picture.width, picture.height) == small
    assert max(small) <= PIXELS
    assert whole.size == size
    expected = np.asarray(whole.resize(small), np.float64)
    assert np.abs(np.asarray(decoded, np.float64) - expected).mean() < 3


def test_noise_stays_small_and_names_are_escaped():
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    picture = encode_picture(PIL.Image.fromarray(noise))
    assert picture.size == len(picture.jpeg) < 20_000
    made = picture.to_markup('"><script>')
    assert made.startswith('<img src="data:image/jpeg;base64,')
    assert made.count("<") == 1


def test_regions_are_outlined_over_a_picture():
    regions = ((0.1, 0.2, 0.5, 1.0), (0.0, 0.0, 1.0, 0.5))
    picture = replace(encode_picture(PIL.Image.new("RGB", (100, 50))), regions=regions)
    page = picture.to_markup("a")
    assert 'viewBox="0 0 100 50"' in page
    best = '<rect x="10.0" y="10.0" width="40.0" height="40.0"'
    other = '<rect x="0.0" y="0.0" width="100.0" height="25.0"'
    assert page.count(best) == page.count(other) == 2
    assert page.index(other) < page.index(best), "the best lies on top"
    assert "<svg" not in replace(picture, regions=()).to_markup("a")
