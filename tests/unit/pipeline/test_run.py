import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import inferry
from inferry.core.errors import RunError
from inferry.core.protocols import ExportOptions
from inferry.pipeline.infer import Options
from inferry.pipeline.run import run


@pytest.fixture
def checkpoint(tiny, tmp_path):
    return tiny.write_folder(tmp_path / "checkpoint")


@pytest.fixture
def data(tiny, tmp_path):
    return tiny.write_data(tmp_path / "data", 3)


def test_the_second_call_does_nothing_again(checkpoint, data, tmp_path):
    told = []
    first = run(
        "wav2vec2", checkpoint, data, tmp_path / "run", reference=False, exported=lambda *made: told.append(made)
    )
    second = inferry.run("wav2vec2", checkpoint, data, tmp_path / "run", reference=False)
    assert first.export is not None
    assert second.export is None
    assert told == [(first.export, first.bundle)]
    assert second.evaluation.score == first.evaluation.score
    assert second.evaluation.scored == 3


def test_other_weights_are_another_run(checkpoint, data, tmp_path):
    run("wav2vec2", checkpoint, data, tmp_path / "run", reference=False)
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({**tensors, "lm_head.bias": tensors["lm_head.bias"] + np.float32(1)}, checkpoint / "model.safetensors")
    with pytest.raises(RunError, match="another bundle"):
        run("wav2vec2", checkpoint, data, tmp_path / "run", reference=False)


def test_a_run_without_references_is_not_scored_and_says_so(tiny, checkpoint, tmp_path):
    silent = tiny.write_data(tmp_path / "silent", 2, reference=None)
    outcome = run("wav2vec2", checkpoint, silent, tmp_path / "run", Options(batch_size=2), reference=False)
    assert outcome.evaluation is None
    assert "2 predictions without a reference" in outcome.unscored


def test_a_run_ends_with_its_report(checkpoint, data, tmp_path):
    outcome = run("wav2vec2", checkpoint, data, tmp_path / "run", reference=False)
    assert outcome.report == tmp_path / "run" / "report.html"
    assert f"{outcome.evaluation.score.wer.rate:.2f}" in outcome.report.read_text(encoding="utf-8")


def test_another_detector_is_another_bundle(asking, tmp_path):
    pytest.importorskip("torch")
    archive, photos = asking.write_archive(tmp_path / "archive.tar.gz"), tmp_path / "photos"
    asking.write_data(photos, pictures=1, questions=1)
    given = ("vilbert-vqa", archive, photos, tmp_path / "run")
    one, other = (asking.write_detector(tmp_path / f"{seed}.pth", seed=seed) for seed in (0, 1))
    first = run(*given, choices=ExportOptions(detector=str(one)), reference=False)
    again = run(*given, choices=ExportOptions(detector=str(one)), reference=False)
    assert (first.export is None, again.export is None) == (False, True)
    assert {"detector name", "detector sha256"} <= first.bundle.manifest.checkpoint.keys()
    with pytest.raises(RunError, match="another bundle"):
        run(*given, choices=ExportOptions(detector=str(other)), reference=False)
