"""The shipped example of visual question answering is complete, and its scripts make what they made."""

import json
import tarfile
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from inferry.checkpoints.allennlp_vilbert import read_vilbert
from inferry.checkpoints.torchvision_detector import read_detector
from inferry.core.samples import Sample
from inferry.datasets import vqa_v2
from inferry.processing.answers import normalise_answer

KIBIBYTE = 1024


@pytest.fixture
def scripts(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "scripts"))


@pytest.fixture(scope="module")
def examples(repository):
    return repository / "examples" / "questions"


@pytest.fixture(scope="module")
def annotations(examples):
    return json.loads((examples / "scenes" / "v2_demo_annotations.json").read_text())["annotations"]


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_examples_stay_small(examples):
    assert size(examples / "scenes") < 500 * KIBIBYTE
    assert size(examples / "vilbert-vqa") < 4096 * KIBIBYTE


def test_every_question_can_be_asked(examples):
    dataset = vqa_v2.load(examples / "scenes")
    assert all(isinstance(item, Sample) for item in dataset.items)
    assert len(dataset.items) == 80
    assert len({item.source.image for item in dataset.items}) == 20


def test_ten_people_answer_each_question_and_some_disagree(annotations):
    for row in annotations:
        assert [one["answer_id"] for one in row["answers"]] == list(range(1, 11))
    best = [Counter(normalise_answer(one["answer"]) for one in row["answers"]).most_common(1)[0] for row in annotations]
    assert [answer for answer, _ in best] == [row["multiple_choice_answer"] for row in annotations]
    counts = [count for _, count in best]
    assert sum(count == 10 for count in counts) > 30
    assert min(counts) < 6


def test_detector_and_network_belong_together(examples):
    folder = examples / "vilbert-vqa"
    network, detector = read_vilbert(folder), read_detector(folder / "detector.pth")
    assert network.config["image"]["feature_size"] == detector.config["representation_size"] == 64
    assert not network.notes
    assert detector.config["num_classes"] == 25


def test_the_archive_has_the_members_that_allennlp_writes(examples):
    with tarfile.open(examples / "vilbert-vqa" / "vilbert-vqa-demo.tar.gz") as archive:
        assert archive.getnames() == [
            "config.json",
            "weights.th",
            "vocabulary/answers.txt",
            "vocabulary/non_padded_namespaces.txt",
            "vocabulary/tags.txt",
        ]


def test_the_script_makes_the_shipped_questions(scripts, examples, tmp_path):
    import make_demo_scenes

    assert make_demo_scenes.write(tmp_path) == (20, 80)
    for name in ("v2_OpenEnded_demo_questions.json", "v2_demo_annotations.json"):
        assert (tmp_path / name).read_bytes() == (examples / "scenes" / name).read_bytes()
    for path in (examples / "scenes" / "images").iterdir():
        ours, shipped = (np.asarray(Image.open(file), np.float32) for file in (tmp_path / "images" / path.name, path))
        # Another version of libjpeg may round in another way.
        assert np.abs(ours - shipped).max() <= 8


def test_answers_follow_from_the_scene(scripts):
    import demo_questions
    from demo_scenes import Scene, Shape

    shapes = (
        Shape("star", "red", 30, 60, 20, 0, (200, 0, 0)),
        Shape("circle", "blue", 90, 60, 20, 0, (0, 0, 200)),
        Shape("circle", "red", 140, 20, 15, 0, (200, 0, 0)),
    )
    scene = Scene(170, 120, (9, 9, 9), 2.0, 0, shapes)
    told = {one.text: one.answer for one in islice(demo_questions.ask(scene, np.random.default_rng(0)), 3000)}
    expected = {
        "how many shapes are there?": "3",
        "how many circles are there?": "2",
        "how many red shapes are there?": "2",
        "how many green shapes are there?": "0",
        "what is blue?": "circle",
        "what shape is blue?": "circle",
        "what color is the star?": "red",
        "is there a red star?": "yes",
        "is there a blue star?": "no",
        "what is left of the star?": "nothing",
    }
    assert expected.items() <= told.items()
    # Not asked, because the scene does not decide them.
    assert not {"what color is the circle?", "what is red?", "what is right of the star?"} & told.keys()
    assert not any(text.startswith("is the ") for text in told)


def test_scenes_depend_on_the_seed_only(scripts):
    import demo_scenes

    def pictures(seed):
        random = np.random.default_rng(seed)
        return [demo_scenes.pixels(demo_scenes.random_scene(random)) for _ in range(3)]

    assert all(np.array_equal(one, other) for one, other in zip(pictures(3), pictures(3), strict=True))
    assert not np.array_equal(pictures(3)[0], pictures(4)[0])


def test_boxes_hold_all_of_a_shape_and_nothing_more(scripts):
    import demo_scenes

    scene = demo_scenes.random_scene(np.random.default_rng(8))
    plain = demo_scenes.Scene(scene.width, scene.height, (0, 0, 0), 0.0, 0, scene.shapes[:1])
    seen = demo_scenes.pixels(plain).max(axis=2) > 60
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.subtract(found, scene.shapes[0].box)).max() < 2


def test_the_detector_covers_every_shape(scripts, examples):
    from demo_regions import region_finder
    from demo_scenes import pixels, random_scene

    finder, random = region_finder(examples / "vilbert-vqa" / "detector.pth"), np.random.default_rng(7)
    for scene in [random_scene(random) for _ in range(4)]:
        found = finder.find(pixels(scene)).box_coordinates * min(scene.width, scene.height) / 800
        for shape in scene.shapes:
            box = np.array(shape.box)
            common = np.minimum(found, box)[:, 2:] - np.maximum(found, box)[:, :2]
            shared = common.clip(0).prod(axis=1)
            areas = (found[:, 2:] - found[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
            assert (shared / (areas - shared)).max() > 0.7
