import json

import numpy as np
import pytest

from inferry.core.errors import BundleError, SampleError, UsageError
from inferry.core.protocols import Decoding
from inferry.core.samples import Audio, Transcription
from inferry.processing.beam_search import BeamSearchDecoder
from inferry.processing.ctc import GreedyCtcDecoder
from inferry.processing.speech import decoder, probes, processor

WAVEFORM = {"kind": "waveform", "sampling_rate": 16000, "normalize": True, "epsilon": 1e-7, "minimum_samples": 400}
SPECTROGRAM = {"kind": "spectrogram", "sampling_rate": 16000, "window_size": 0.02, "window_stride": 0.01}
SPECTROGRAM |= {"window": "hamming", "pad_mode": "reflect", "minimum_samples": 161}
GREEDY = {"kind": "ctc-greedy", "style": "huggingface", "blank": 0, "word_delimiter": "|", "frame_seconds": 0.02}


def noise(count, rate=16_000):
    return Audio(np.random.default_rng(1).standard_normal(count).astype(np.float32) / 10, rate)


@pytest.mark.parametrize(("config", "length"), [(WAVEFORM, 8000), (SPECTROGRAM, 51)])
def test_the_measured_length_is_the_processed_one(config, length):
    made = processor({"input": config}, {}, {})
    features = made.process(noise(8000))
    assert made.measure(noise(8000)) == features.length == length
    assert features.seconds == 0.5
    assert features.answer is None
    assert features.inputs["input_lengths"] == length


@pytest.mark.parametrize("config", [WAVEFORM, SPECTROGRAM])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_other_rates_are_resampled(config, rate):
    made = processor({"input": config}, {}, {})
    features = made.process(noise(rate, rate))
    assert features.seconds == 1.0
    assert made.measure(noise(rate, rate)) == features.length


@pytest.mark.parametrize("config", [WAVEFORM, SPECTROGRAM])
def test_silence_is_answered_at_once(config):
    features = processor({"input": config}, {}, {}).process(Audio(np.zeros(4000, np.int16), 16_000))
    assert features.answer == Transcription("", 0)


@pytest.mark.parametrize("config", [WAVEFORM, SPECTROGRAM])
def test_too_short_is_refused_by_both(config):
    made = processor({"input": config}, {}, {})
    for refuse in (made.measure, made.process):
        with pytest.raises(SampleError):
            refuse(noise(config["minimum_samples"] - 1))
        refuse(noise(config["minimum_samples"]))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"input": {}},
        {"input": {"kind": "waveform"}},
        {"input": {"kind": "image"}},
        {"input": 3},
        {"input": WAVEFORM | {"sampling_rate": "fast"}},
        {"input": SPECTROGRAM | {"window": "kaiser"}},
    ],
)
def test_a_broken_input_description_is_refused(config):
    with pytest.raises(BundleError, match=r"processor\.json"):
        processor(config, {}, {})


def test_the_decoder_reads_its_vocabulary():
    made = decoder({"decode": GREEDY}, {"vocab.json": json.dumps(["_", "A", "|"])})
    logits = np.eye(3, dtype=np.float32)[[1, 1, 0, 1, 2, 1, 2]]
    assert made.decode({"logits": logits}).text == "AA A"
    style = {**GREEDY, "style": "deepspeech"}
    assert decoder({"decode": style}, {"vocab.json": '["_", "A", "|"]'}).decode({"logits": logits}).text == "AA A "


LETTERS = {"vocab.json": json.dumps(["_", "A", "|", "B"])}


@pytest.mark.parametrize(
    ("decoding", "kind"),
    [
        (None, GreedyCtcDecoder),
        (Decoding(), GreedyCtcDecoder),
        (Decoding(beam=4), BeamSearchDecoder),
        (Decoding(hotwords=("ab",)), BeamSearchDecoder),
    ],
)
def test_only_what_is_asked_for_makes_it_a_search(decoding, kind):
    made = decoder({"decode": GREEDY}, LETTERS, decoding)
    assert isinstance(made, kind)
    assert made.decode({"logits": 9 * np.eye(4)[[1, 0, 1, 2, 3]]}).text == "AA B"


def test_a_search_is_told_everything(tmp_path):
    model = tmp_path / "model.arpa"
    unigrams = ["-99 <s>", "-1 </s>", "-1 <unk>", "-0.1 a", "-0.9 b"]
    counts = f"\\data\\\nngram 1={len(unigrams)}\n"
    model.write_text("\n".join([counts, "\\1-grams:", *unigrams, "\\end\\"]))
    logits = {"logits": np.array([[0.0, 2.0, -5.0, 2.2]])}

    def text(**options):
        return decoder({"decode": GREEDY}, LETTERS, Decoding(**options)).decode(logits).text

    assert text(beam=1) == "B"
    assert text(language_model=model, beta=0.0) == "A"
    assert text(language_model=model, alpha=0.0, beta=-9.0) == ""
    assert text(hotwords=("A",), hotword_weight=1.0) == "A"
    assert text(hotwords=("A",), hotword_weight=0.1) == "B"


@pytest.mark.parametrize("weight", ["alpha", "beta", "hotword_weight"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_finite_number_is_refused(weight, value):
    with pytest.raises(UsageError, match=f"--{weight.replace('_', '-')} is {value}; a weight is a finite number"):
        decoder({"decode": GREEDY}, LETTERS, Decoding(beam=2, **{weight: value}))


def test_a_decoding_that_cannot_be_meant_is_refused(tmp_path):
    for options in ({"beam": 0}, {"language_model": tmp_path / "none.arpa"}, {"hotwords": ("X",)}):
        with pytest.raises(UsageError):
            decoder({"decode": GREEDY}, LETTERS, Decoding(**options))


@pytest.mark.parametrize(
    ("config", "vocabulary"),
    [
        ({}, "[]"),
        ({"decode": GREEDY}, "{"),
        ({"decode": GREEDY}, "3"),
        ({"decode": {"kind": "beam"}}, "[]"),
        ({"decode": {"kind": "ctc-greedy"}}, "[]"),
        ({"decode": GREEDY | {"blank": "x"}}, "[]"),
    ],
)
def test_a_broken_decoder_description_is_refused(config, vocabulary):
    with pytest.raises(BundleError, match=r"processor\.json"):
        decoder(config, {"vocab.json": vocabulary})
    with pytest.raises(BundleError, match=r"vocab\.json"):
        decoder({"decode": GREEDY}, {})


@pytest.mark.parametrize("config", [WAVEFORM, SPECTROGRAM])
def test_probes_are_usable_of_several_lengths_and_seeded(config):
    first, second = probes({"input": config}), probes({"input": config})
    lengths = [processor({"input": config}, {}, {}).process(sound).length for sound in first]
    assert lengths == sorted(set(lengths))
    assert len(lengths) == 4
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(first, second, strict=True))
    assert max(float(np.abs(sound.samples).max()) for sound in first) < 1
