"""Regions of the resized picture, drawn where they are in the original."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest

from inferry.core.errors import UsageError
from inferry.core.samples import ImageFile, Regions
from inferry.pipeline import draw as module
from inferry.pipeline.draw import check_drawing, draw

COORDINATES = np.array([[0, 0, 1333, 666], [133.3, 66.6, 666.5, 333]], np.float32)


@pytest.fixture
def picture(tmp_path):
    """The detector sees it with 1333 x 666 pixels."""
    path = tmp_path / "photo.png"
    PIL.Image.new("RGB", (2000, 1000), "white").save(path)
    return path


def model_of(regions):
    asked = []

    def look(question):
        asked.append(question)
        return regions

    bundle = SimpleNamespace(manifest=SimpleNamespace(family="tenth"))
    return SimpleNamespace(processor=SimpleNamespace(regions=look), bundle=bundle, asked=asked)


def regions_of(coordinates=COORDINATES, mask=None, scores=None, size=(666, 1333)):
    return Regions(np.zeros((len(coordinates), 8), np.float32), coordinates, mask, scores, size)


@pytest.fixture
def drawn(monkeypatch):
    """The regions that are drawn."""
    seen = []

    def draw_regions(image, regions):
        seen.extend(regions)
        return image

    monkeypatch.setattr(module, "draw_regions", draw_regions)
    return seen


def test_boxes_are_those_of_the_original_picture(picture, tmp_path, drawn):
    model = model_of(regions_of(scores=np.array([0.75, 0.5], np.float32)))
    assert draw(model, picture, "who?", tmp_path / "out.png") == 2
    assert np.allclose([region.box for region in drawn], [(0, 0, 2000, 1000), (200, 100, 1000, 500)], atol=0.01)
    assert [region.score for region in drawn] == [0.75, 0.5]
    assert [(one.image, one.text) for one in model.asked] == [(ImageFile(picture), "who?")]


def test_a_detector_may_see_pictures_in_another_size(picture, tmp_path, drawn):
    model = model_of(regions_of(COORDINATES / 10, size=(66, 133)))
    draw(model, picture, "who?", tmp_path / "out.png")
    # 133 x 66 pixels: sides are whole numbers.
    assert drawn[0].box == pytest.approx((0, 0, 133.3 * 2000 / 133, 66.6 * 1000 / 66))
    assert drawn[0].score is None


def test_regions_that_are_not_valid_are_left_out(picture, tmp_path, drawn):
    assert draw(model_of(regions_of(mask=np.array([False, True]))), picture, "who?", tmp_path / "out.png") == 1
    assert drawn[0].box == pytest.approx((200, 100, 1000, 500), abs=0.01)


def test_a_family_that_cannot_say_what_it_looks_at(picture, tmp_path):
    model = model_of(regions_of())
    del model.processor.regions
    with pytest.raises(UsageError, match="tenth cannot say which regions it looks at"):
        draw(model, picture, "who?", tmp_path / "out.png")


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.webp", "WEBP")])
def test_the_drawing_is_a_picture(picture, tmp_path, name, kind):
    assert draw(model_of(regions_of()), picture, "who?", tmp_path / name) == 2
    with PIL.Image.open(tmp_path / name) as drawn:
        assert (drawn.format, drawn.size) == (kind, (2000, 1000))
        assert np.ptp(np.asarray(drawn)) > 100


def test_a_picture_without_regions_stays_as_it_is(picture, tmp_path):
    assert draw(model_of(regions_of(np.zeros((0, 4), np.float32))), picture, "who?", tmp_path / "out.png") == 0
    assert (np.asarray(PIL.Image.open(tmp_path / "out.png")) == 255).all()


def test_a_drawing_that_cannot_be_written_is_named(picture, tmp_path):
    (tmp_path / "out.png").mkdir()
    with pytest.raises(UsageError, match=r"out\.png cannot be written .*choose another --draw"):
        draw(model_of(regions_of()), picture, "who?", tmp_path / "out.png")


@pytest.mark.parametrize(
    ("files", "output", "message"),
    [
        (["a.jpg", "b.jpg"], "out.png", "one picture, not 2 files"),
        (["a.npz"], "out.png", r"a\.npz holds regions and no picture"),
        (["a.jpg"], "out", "must end in one of"),
        (["a.jpg"], "nowhere/out.png", "there is no folder nowhere"),
        (["b/../a.jpg"], "a.jpg", "would overwrite the picture itself"),
    ],
)
def test_what_cannot_be_drawn_is_refused(files, output, message):
    with pytest.raises(UsageError, match=message):
        check_drawing([Path(file) for file in files], Path(output))


def test_one_picture_can_be_drawn():
    check_drawing([Path("a.jpg")], Path("out.PNG"))
