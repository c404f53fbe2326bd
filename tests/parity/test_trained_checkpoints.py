"""Really trained checkpoints over real data: the original's text for every utterance, at every batch size."""

import json

import numpy as np
import pytest

from inferry.core.tolerances import LOGITS
from inferry.pipeline.evaluate import evaluate
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.model import load

CHECKPOINTS = ("wav2vec2-an4-small", "data2vec-audio-an4-small", "deepspeech2-an4-small", "deepspeech2-an4-medium")
BATCH_SIZES = (1, 7, 32)
NEAR = 1e-4
"""An utterance whose two best scores are nearer than this may come out either way on another processor."""

pytestmark = pytest.mark.slow


def predictions_at_every_batch_size(bundle, data, folder):
    """The rows, after checking that no batch size changes a byte and no sample is lost."""
    contents = {}
    for size in BATCH_SIZES:
        run = infer(bundle.path, data, folder / f"batch{size}", Options(batch_size=size))
        assert run.info["quarantined"] == 0
        contents[size] = (run.path / "predictions.jsonl").read_text(encoding="utf-8")
    assert contents[1] == contents[7] == contents[32]
    return [json.loads(line) for line in contents[1].splitlines()]


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_all_an4_utterances_read_as_the_original_reads_them(name, bundle_of, shared, tmp_path):
    expected = json.loads((shared / "checkpoints" / name / "expected.json").read_text(encoding="utf-8"))
    data = shared / "data" / "an4_test" / "manifest_v3.json"
    rows = predictions_at_every_batch_size(bundle_of(name), data, tmp_path)
    utterances = expected["utterances"]
    assert len(rows) == len(utterances) == 130
    near = [one["id"] for one in utterances if one["smallest_top2_logit_margin"] < NEAR]
    differing = {
        want["id"]: (want["text"], have["text"])
        for want, have in zip(utterances, rows, strict=True)
        if want["text"] != have["text"] or want["reference"] != have["reference"] or want["frames"] != have["frames"]
    }
    assert set(differing) <= set(near), f"{differing}; near ties: {near}"
    if not differing:
        wer = evaluate(tmp_path / "batch7").score.wer
        assert (wer.edits, wer.reference_units) == (expected["word_edits"], expected["words"])
        assert wer.rate == pytest.approx(expected["WER"], abs=1e-3)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_logits_are_the_original_s(name, bundle_of, shared):
    with np.load(shared / "checkpoints" / name / "expected.npz") as arrays:
        stored = {key: arrays[key] for key in arrays.files if key.endswith(".logits")}
    ids = [key.removesuffix(".logits") for key in stored]
    files = [shared / "data" / "an4_test" / "flac" / f"{id_}.flac" for id_ in ids]
    with load(bundle_of(name).path) as model:
        for batch_size in (1, len(files)):
            for logits, found in zip(stored.values(), model.infer(files, batch_size), strict=True):
                np.testing.assert_allclose(found["logits"], logits, rtol=0, atol=LOGITS["fp32"])
    assert len(files) == 5


@pytest.mark.parametrize("name", ["wav2vec2-an4-small", "deepspeech2-an4-small"])
def test_unknown_speech_of_many_lengths_and_formats(name, bundle_of, shared, tmp_path):
    folders = (shared / "data" / "librispeech", shared / "data" / "speech_misc")
    sounds = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in {".flac", ".wav"}]
    assert len(sounds) > 100
    rows = predictions_at_every_batch_size(bundle_of(name), sounds, tmp_path)
    assert len(rows) == len(sounds)
    assert sum(bool(row["text"]) for row in rows) > 90
