"""Golden checkpoints through the whole way (export, open, read, run): alone, mixed and padded far."""

import json

import numpy as np
import pytest

from inferry.core.samples import Audio
from inferry.core.tolerances import LOGITS
from inferry.pipeline.export import export_with_report
from inferry.pipeline.model import load

TRANSFORMERS = {"wav2vec2": "wav2vec2", "wav2vec2-layer": "wav2vec2", "data2vec": "data2vec-audio"}
PADDINGS = (30_000, 204_800, 250_000, 320_000, 559_280)
FRAMES = (170, 500, 3496)  # the last: 559,280 samples


@pytest.fixture(scope="module")
def bundles(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    made = {
        name: export_with_report(family, shared / "golden" / name, folder / name, reference=False)
        for name, family in TRANSFORMERS.items()
    }
    file = shared / "golden" / "deepspeech" / "deepspeech_v3.ckpt"
    return made | {"deepspeech": export_with_report("deepspeech2", file, folder / "deepspeech", reference=False)}


def golden(shared, name):
    folder = shared / "golden" / name
    prefix = "reflect_alone" if name == "deepspeech" else "alone"
    with np.load(folder / "expected.npz") as arrays:
        logits = [arrays[f"{prefix}_{index}_logits"] for index in range(4)]
    texts = json.loads((folder / "expected_text.json").read_text(encoding="utf-8"))
    found = [texts[f"{prefix}_{index}"] for index in range(4)]
    return logits, [text["text"] if isinstance(text, dict) else text for text in found]


def sounds(shared, name):
    if name == "deepspeech":
        return [shared / "golden" / name / "an4_style" / "wav" / f"utt{index}.wav" for index in range(4)]
    with np.load(shared / "golden" / name / "inputs.npz") as arrays:
        return [Audio(arrays[f"waveform_{index}"], 16_000) for index in range(4)]


def assert_golden(model, outputs, logits, texts, tolerance):
    for found, want, text in zip(outputs, logits, texts, strict=True):
        np.testing.assert_allclose(found["logits"], want, rtol=0, atol=tolerance)
        assert model.decoder.decode(found).text == text


@pytest.mark.parametrize("name", [*TRANSFORMERS, "deepspeech"])
def test_alone_and_mixed(name, bundles, shared):
    logits, texts = golden(shared, name)
    tolerance = LOGITS["fp32"]
    with load(bundles[name].bundle.path) as model:
        for batch_size in (1, 2, 4):
            assert_golden(model, model.infer(sounds(shared, name), batch_size), logits, texts, tolerance)
        assert [row.text for row in model.predict(sounds(shared, name), 4)] == texts


@pytest.mark.parametrize(
    ("name", "pad_to"),
    [(name, length) for name in TRANSFORMERS for length in PADDINGS] + [("deepspeech", length) for length in FRAMES],
)
def test_padded(name, pad_to, bundles, shared):
    logits, texts = golden(shared, name)
    tolerance = LOGITS["fp32"]
    with load(bundles[name].bundle.path) as model:
        # The longest padding costs gigabytes in a batch, and nothing more is learnt from it.
        batch_size = 1 if pad_to > 300_000 else 4
        few = slice(0, 4) if batch_size == 4 else slice(0, 2)
        outputs = model.infer(sounds(shared, name)[few], batch_size, pad_to)
        assert_golden(model, outputs, logits[few], texts[few], tolerance)


@pytest.mark.parametrize("name", [*TRANSFORMERS, "deepspeech"])
def test_the_self_check_passes_and_says_what_was_left_out(name, bundles):
    report = bundles[name].parity
    first, *others = report.hops
    assert first.skipped == "left out by --no-reference"
    assert len(others) == 2
    assert all(hop.passed and hop.samples == 4 and hop.max_abs <= LOGITS["fp32"] for hop in others)


def test_with_the_original_network_every_hop_is_compared(shared, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    made = export_with_report("wav2vec2", shared / "golden" / "wav2vec2", tmp_path / "bundle")
    assert made.parity.original_compared
    assert all(0 < hop.max_abs <= LOGITS["fp32"] for hop in made.parity.hops)
    assert made.parity.signature["torch"]
