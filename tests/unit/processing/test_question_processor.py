from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from inferry.checkpoints.wordpiece_tokenizer import make_tokenizer
from inferry.core.errors import BackendError, BundleError, SampleError, UsageError
from inferry.core.samples import Audio, Image, ImageFile, Question, RegionFile, Regions
from inferry.processing.question_processor import MOST_REGIONS, best_boxes, probes, processor

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "it", "red"]
INPUT = {"kind": "question-and-regions", "feature_size": 3, "max_tokens": 8, "vocab_size": len(WORDS)}
CONFIG = {"input": {**INPUT, "detector": {"short_side": 64, "long_side": 96}}}
FILES = {"tokenizer.json": make_tokenizer({"vocab.txt": "\n".join(WORDS)}, "bert-uncased").json}


class Detector:
    """Finds one region as large as the picture, whose features are its mean colour."""

    def __init__(self):
        self.sizes = []

    def __call__(self, inputs):
        height, width = inputs["image_size"].tolist()
        self.sizes.append((height, width))
        features = inputs["image"][0, :, :height, :width].mean(axis=(1, 2))[None]
        coordinates = np.array([[0, 0, width, height]], np.float32)
        scores = np.array([0.75], np.float32)
        return {"box_features": features, "box_coordinates": coordinates, "box_scores": scores}


@pytest.fixture
def detector():
    return Detector()


@pytest.fixture
def seeing(detector):
    """A processor with a detector."""
    return processor(CONFIG, FILES, {"detector": detector})


@pytest.fixture
def blind():
    return processor({"input": INPUT}, FILES, {})


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def regions(boxes=2):
    return Regions(np.ones((boxes, 3), np.float32), np.ones((boxes, 4), np.float32))


def assert_same(found, expected):
    assert found.length == expected.length
    assert found.inputs.keys() == expected.inputs.keys()
    for name, array in expected.inputs.items():
        np.testing.assert_array_equal(found.inputs[name], array)


def test_a_picture_is_seen_through_its_regions(seeing, detector, pixels):
    features = seeing.process(Question(Image(pixels), "is it red"))
    assert detector.sizes == [(64, 96)]
    assert features.inputs["box_coordinates"].tolist() == [[0, 0, 96, 64]]
    assert features.inputs["token_ids"].tolist() == [2, 5, 6, 7, 3]
    assert features.length == 1
    assert features.regions == ((0.0, 0.0, 1.0, 1.0),)


def test_regions_say_how_sure_the_detector_is_and_in_which_picture_they_lie(seeing, pixels):
    found = seeing.regions(Question(Image(pixels), "is it red"))
    assert found.box_scores.tolist() == [0.75]
    assert found.picture_size == (64, 96)


def test_many_questions_about_one_picture_look_at_it_once(seeing, detector, pixels, tmp_path):
    for name in ("a.png", "copy.png", "other format.bmp"):
        PIL.Image.fromarray(pixels).save(tmp_path / name)
    files = [ImageFile(tmp_path / name) for name in ("a.png", "copy.png", "other format.bmp")]
    asked = [Question(source, "is it red") for source in (*files, Image(pixels)) for _ in range(3)]
    results = [seeing.process(question) for question in asked[:6]]
    results += [seeing.process(seeing.read(question)) for question in asked[6:]]
    assert len(detector.sizes) == 1
    for result in results:
        assert_same(result, results[0])
    other = pixels.copy()
    other[-1, -1, -1] ^= 1
    seeing.process(Question(Image(other), "is it red"))
    assert len(detector.sizes) == 2


def test_ten_questions_at_the_same_time_look_once(seeing, detector, pixels):
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(seeing.process, [Question(Image(pixels), "is it red")] * 10))
    assert len(found) == 10
    assert len(detector.sizes) == 1


def test_reading_first_gives_the_same(seeing, pixels, tmp_path):
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    np.savez(tmp_path / "a.npz", box_features=np.ones((4, 3)), box_coordinates=np.ones((4, 4)))
    file = RegionFile(tmp_path / "a.npz", tmp_path / "a.npz", tmp_path / "a.npz")
    for question in (
        Question(ImageFile(tmp_path / "a.png"), "red"),
        Question(regions=file, text="red"),
        Question(regions=regions(), token_ids=np.array([2, 3])),
    ):
        assert_same(seeing.process(seeing.read(question)), seeing.process(question))
    assert isinstance(seeing.read(Question(ImageFile(tmp_path / "a.png"), "red")).image, Image)
    assert isinstance(seeing.read(Question(regions=file, text="red")).regions, Regions)


def test_a_picture_is_planned_with_the_most_regions_it_can_have(seeing, blind, detector, pixels, tmp_path):
    assert seeing.measure(Question(Image(pixels), "red")) == MOST_REGIONS
    assert blind.measure(Question(regions=regions(7), text="red")) == 7
    assert blind.measure(Question(regions=regions(0), text="red")) == 1
    assert blind.measure(Question(regions=Regions(np.ones((2, 3)), None), text="red")) == 1
    np.savez(tmp_path / "a.npz", box_coordinates=np.ones((1, 5, 4)))
    file = RegionFile(tmp_path / "a.npz", tmp_path / "a.npz")
    assert blind.measure(Question(regions=file, text="red")) == 5
    np.savez(tmp_path / "a.npz", box_coordinates=np.float32(3))  # `process` says what is wrong with it
    assert blind.measure(Question(regions=file, text="red")) == 1
    assert detector.sizes == []


def test_ready_made_regions_need_no_detector(blind, seeing, detector, pixels):
    given = Question(Image(pixels), "red", regions=regions(3))
    assert_same(seeing.process(given), blind.process(given))
    assert detector.sizes == []


NOWHERE = Path("nowhere.npz")


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (Question(text="red"), "process: a question needs a picture or regions"),
        (Question(Image(np.zeros((8, 8, 3), np.uint8))), "process: a question needs a text or token_ids"),
        (Question(ImageFile(Path("nowhere.jpg")), "red"), "read: the file does not exist"),
        (Question(Image(np.zeros((2, 4000, 3), np.uint8)), "red"), r"process: .*too long and thin"),
        (Question(regions=RegionFile(NOWHERE, NOWHERE), text="red"), r"read: nowhere\.npz does not exist"),
        (Audio(np.zeros(3), 16_000), "read: this is a sound, and questions are answered here: name a data set of them"),
    ],
    ids=["no picture", "no text", "no file", "thin", "no regions", "sound"],
)
def test_a_question_that_cannot_be_answered(seeing, question, told):
    with pytest.raises(SampleError, match=told):
        seeing.process(question)


def test_without_a_detector_a_picture_is_refused_with_the_way_out(blind, pixels):
    with pytest.raises(SampleError, match=r"no region detector.*--detector FILE") as raised:
        blind.process(Question(Image(pixels), "red"))
    assert raised.value.stage == "process"


def test_a_detector_that_fails_spoils_one_sample(pixels):
    def fail(_):
        raise BackendError("out of memory")

    broken = processor(CONFIG, FILES, {"detector": fail})
    with pytest.raises(SampleError, match="the region detector failed: out of memory"):
        broken.process(Question(Image(pixels), "red"))


def test_what_a_user_may_ask(seeing, pixels, tmp_path):
    ready = Question(regions=regions(), text="red")
    assert seeing.source(ready).regions is ready.regions
    npz = tmp_path / "a.npz"
    for given in (str(npz), npz):
        assert seeing.source(Question(regions=given, text="red")).regions == RegionFile(npz, npz, npz)
    assert seeing.source(Question(str(tmp_path / "a.jpg"), "red")).image == ImageFile(tmp_path / "a.jpg")
    assert seeing.source(Question(pixels, "red")).image.pixels is pixels
    with pytest.raises(UsageError, match=r"a sample is inferry\.Question.*not str"):
        seeing.source("a.jpg")
    with pytest.raises(UsageError, match=r"the picture of a question is a path.*not int"):
        seeing.source(Question(3, "red"))
    with pytest.raises(UsageError, match=r"regions of a question are inferry\.Regions or a \.npz file, not list"):
        seeing.source(Question(regions=[1], text="red"))
    with pytest.raises(UsageError, match=r"must be a question here, and a picture alone was given"):
        seeing.source(Image(pixels))
    with pytest.raises(UsageError, match=r"must be a question here, and a sound was given"):
        seeing.source(Audio(np.zeros(3), 16_000))


@pytest.mark.parametrize(
    ("config", "files", "parts"),
    [
        ({}, FILES, {}),
        ({"input": INPUT}, {}, {}),
        ({"input": INPUT}, FILES, {"detector": Detector()}),
        ({"input": {**INPUT, "kind": "image"}}, FILES, {}),
        ({"input": INPUT}, {"tokenizer.json": "{}"}, {}),
    ],
    ids=["no input", "no tokenizer", "no sides", "another kind", "a broken tokenizer"],
)
def test_a_broken_bundle(config, files, parts):
    with pytest.raises(BundleError, match=r"export the bundle again|expected 'question-and-regions'"):
        processor(config, files, parts)


def test_the_probes_are_of_many_kinds_and_always_the_same(blind):
    questions = probes({"input": INPUT})
    features = [blind.process(question) for question in questions]
    assert sorted(one.length for one in features) == [1, 1, 7, 36, MOST_REGIONS]
    assert len({len(one.inputs["token_ids"]) for one in features}) > 2
    assert any(not one.inputs["box_mask"].any() for one in features)
    assert any(one.inputs["box_mask"].any() and not one.inputs["box_mask"].all() for one in features)
    assert any(one.inputs["type_ids"].any() for one in features)
    for one, again in zip(features, map(blind.process, probes({"input": INPUT})), strict=True):
        assert_same(one, again)


def test_the_best_regions_are_named_as_parts_of_the_picture():
    corners = np.array([[80, 40, 200, 100], [0, 0, 800, 400]] + [[1, 1, 2, 2]] * 20, np.float32)
    features = np.zeros((len(corners), 4), np.float32)
    named = best_boxes(Regions(features, corners, picture_size=(400, 800)))
    assert len(named) == 10
    assert named[:3] == ((0.1, 0.1, 0.25, 0.25), (0.0, 0.0, 1.0, 1.0), (0.001, 0.002, 0.002, 0.005))
    assert best_boxes(Regions(features, corners)) == ()
