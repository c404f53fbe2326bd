import io

import numpy as np
import pytest
import soundfile

from inferry.report.media import SECONDS, encode_sound

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
