"""A real language model over really trained checkpoints: fewer word errors, and the same text in any batch."""

import pytest

from inferry.core.bundle import PROCESSOR
from inferry.core.protocols import Decoding, SessionOptions
from inferry.core.tolerances import NEAR_TIE
from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import Utterance
from inferry.pipeline.model import Model, load
from inferry.processing.speech import decoder

WER = {
    "deepspeech2-an4-small": (130, 23.03, 19.66, 14.10),
    "deepspeech2-an4-medium": (40, 22.07, 16.67, 8.56),
    "wav2vec2-an4-small": (40, 25.23, 20.72, 13.06),
    "data2vec-audio-an4-small": (40, 39.64, 32.88, 22.52),
}
"""How many utterances of the AN4 test set, and their word error rate in percent: greedy decoding, the search alone, the
search with an4.ug.lm. All 130 through every checkpoint: docs/decisions/0015-beam-search.md."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def an4(shared):
    return shared / "data" / "an4_test"


@pytest.fixture(scope="module")
def language_model(an4):
    return an4 / "etc" / "an4.ug.lm"


@pytest.mark.parametrize("name", WER)
def test_the_language_model_lowers_the_word_error_rate(name, bundle_of, an4, language_model):
    bundle = bundle_of(name)
    count, *expected = WER[name]
    sounds = sorted((an4 / "flac").glob("*.flac"))[:count]
    references = [(an4 / "txt" / f"{sound.stem}.txt").read_text(encoding="utf-8").strip() for sound in sounds]
    with load(bundle.path) as model:
        outputs = model.infer(sounds)
    found = []
    for decoding in (Decoding(), Decoding(beam=64), Decoding(language_model=language_model)):
        made = decoder(bundle.read_json(PROCESSOR), bundle.text_files(), decoding)
        utterances = [
            Utterance(sound.stem, reference, made.decode(output).text)
            for sound, reference, output in zip(sounds, references, outputs, strict=True)
        ]
        found.append(score_speech(utterances, resamples=1).wer.rate)
    assert len(sounds) == count
    greedy, search, with_model = found
    assert with_model < search < greedy
    # Another processor rounds otherwise: an edit is 0.13 % of the 773 words of all, 0.45 % of the 222 of the first 40.
    assert found == pytest.approx(expected, abs=1.0)


def test_no_batch_changes_a_text_of_the_search(bundle_of, an4, language_model):
    sounds = sorted((an4 / "flac").glob("*.flac"))[::9]
    decoding = Decoding(language_model=language_model, hotwords=("RUBOUT", "zebra"))
    with Model(bundle_of("deepspeech2-an4-small"), "onnxruntime", SessionOptions(), decoding=decoding) as model:
        alone, batched = (model.predict(sounds, size) for size in (1, 7))
        outputs = model.infer(sounds, 7)
        settled = [model.decoder.margin(one) > NEAR_TIE for one in outputs]
        texts = [model.decoder.decode(one).text for one in outputs]
    assert alone == batched
    assert len(sounds) == 15
    assert sum(settled) > 7, "the margin is no excuse to settle nothing"
    assert all(text == one.text for text, one, sure in zip(texts, alone, settled, strict=True) if sure)
