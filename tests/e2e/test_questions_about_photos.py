"""Real photos and questions through a whole bundle; the weights are random, so nothing is said about accuracy."""

import json
import subprocess
import sys

import pytest

import inferry
from inferry.pipeline.infer import Options
from inferry.pipeline.parts import SharedSession

MOST_MEMORY = 6e9
"""Bytes."""


@pytest.fixture(scope="module")
def data(shared):
    return shared / "data" / "vqa_v2_coco"


@pytest.fixture(scope="module")
def archive(shared):
    return shared / "golden" / "vilbert" / "vilbert-vqa.tar.gz"


@pytest.fixture(scope="module")
def bundle(archive, asking, tmp_path_factory):
    """The golden network behind a narrow detector that gives as many features as it takes."""
    folder = tmp_path_factory.mktemp("photos")
    detector = asking.write_detector(folder / "detector.pth", representation_size=1024)
    return inferry.export("vilbert-vqa", archive, folder / "bundle", reference=False, detector=detector).path


@pytest.fixture
def searches(monkeypatch):
    """The sizes of the pictures that the detector ran on."""
    run, found = SharedSession.__call__, []

    def spy(self, inputs):
        found.append(inputs["image_size"].tolist())
        return run(self, inputs)

    monkeypatch.setattr(SharedSession, "__call__", spy)
    return found


def test_every_question_is_answered_the_same_in_any_batch(bundle, data, tmp_path, searches):
    made = {}
    for batch_size, workers in ((1, 1), (4, 2)):
        options = Options(batch_size=batch_size, workers=workers)
        run = inferry.infer(bundle, data, tmp_path / str(batch_size), options)
        made[batch_size] = (run.path / "predictions.jsonl").read_bytes()
        assert (run.path / "errors.jsonl").read_text() == ""
    assert made[1] == made[4]
    rows = [json.loads(line) for line in made[1].splitlines()]
    assert len(rows) == 15
    assert len({row["answer"] for row in rows}) > 1
    assert all(1 <= len(row["regions"]) <= 10 for row in rows)
    assert all(0 <= part <= 1 for row in rows for region in row["regions"] for part in region)
    assert len(searches) == 2 * 11  # 15 questions about 11 photos, in two runs
    assert all(min(size) <= 800 and max(size) <= 1333 for size in searches)


ASK = """
import sys, resource, inferry
from pathlib import Path
bundle, photo, *texts = sys.argv[1:]
with inferry.load(bundle) as model:
    answers = model.predict([inferry.Question(image=photo, text=text) for text in texts], detailed=True)
    regions = model.processor.regions(inferry.Question(image=inferry.ImageFile(Path(photo)), text="?"))
print([answer.to_json() for answer in answers], regions.box_features.shape)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="memory is measured with the module resource")
def test_a_detector_of_the_released_size_needs_little_memory(archive, data, asking, tmp_path):
    detector = asking.write_full_detector(tmp_path / "detector.pth")
    made = inferry.export("vilbert-vqa", archive, tmp_path / "bundle", reference=False, detector=detector)
    assert {"detector.onnx", "detector.onnx.data"} <= made.manifest.files.keys()
    photo = min((data / "images").iterdir())
    command = [sys.executable, "-c", ASK, made.path, photo, "what is this?", "how many are there?"]
    answers, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert answers.count("'score'") == 2 * 5
    assert answers.endswith("(100, 1024)")
    assert int(memory) * (1 if sys.platform == "darwin" else 1024) < MOST_MEMORY
