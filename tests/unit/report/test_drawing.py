"""Regions on pictures: where they are, whichever colour the picture has, without hiding each other's tags."""

from itertools import combinations

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from inferry.report import drawing
from inferry.report.drawing import BEST, Region, draw_regions

BOX = (100.0, 120.0, 300.0, 400.0)


def plain(colour, size=(700, 500)):
    return PIL.Image.new("RGB", size, colour)


def changed(before, after):
    """Where a picture differs: left, top, right, bottom of the last pixels."""
    rows, columns = np.nonzero((np.asarray(before) != np.asarray(after)).any(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


@pytest.mark.parametrize("colour", ["white", "black", "#e69f00", "#808080"])
def test_an_outline_is_seen_on_any_picture_and_hides_nothing_within(colour):
    picture = plain(colour)
    drawn = np.asarray(draw_regions(picture, [Region((10.0, 10.0, 60.0, 60.0))] * BEST + [Region(BOX)])).astype(int)
    edge = drawn[260, 92:108]
    assert np.ptp(edge.sum(axis=1)) > 150  # dark beside light
    assert (drawn[140:380, 120:280] == np.asarray(picture)[0, 0]).all()


def test_a_box_is_drawn_where_it_is():
    best = [Region((10.0, 10.0, 60.0, 60.0))] * BEST
    without, drawn = draw_regions(plain("white"), best), draw_regions(plain("white"), [*best, Region(BOX)])
    assert changed(without, drawn) == (99, 119, 301, 401)


def test_the_best_have_tags_and_the_others_have_none():
    picture = plain("white")
    boxes = [Region((20.0 + 90 * i, 100.0, 80.0 + 90 * i, 200.0), 0.9) for i in range(BEST + 1)]
    above = np.asarray(draw_regions(picture, boxes))[80:95]
    assert [bool((above[:, 20 + 90 * i : 60 + 90 * i] != 255).any()) for i in range(BEST + 1)] == [True] * BEST + [
        False
    ]


def test_small_pictures_are_enlarged_with_their_boxes():
    picture = plain("white", (160, 120))
    drawn = draw_regions(picture, [Region((10.0, 40.0, 50.0, 100.0), 0.5)])
    assert drawn.size == (640, 480)
    left, _, right, bottom = changed(plain("white", drawn.size), drawn)
    assert (left, right, bottom) == (39, 201, 401)
    assert draw_regions(plain("white"), []).size == (700, 500)


def test_the_picture_itself_stays_as_it_is():
    picture = plain("white")
    draw_regions(picture, [Region(BOX)])
    assert picture.getcolors() == [(700 * 500, (255, 255, 255))]


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 700.0, 500.0), (0.0, 0.0, 1.0, 1.0), (690.0, 490.0, 700.0, 500.0), (300.0, 250.0, 300.0, 250.0)]
)
def test_tags_of_one_place_stand_side_by_side_within_the_picture(monkeypatch, box):
    rectangles = []
    rectangle = PIL.ImageDraw.ImageDraw.rectangle

    def spy(self, corners, **options):
        if options.get("fill"):
            rectangles.append(corners)
        rectangle(self, corners, **options)

    monkeypatch.setattr(PIL.ImageDraw.ImageDraw, "rectangle", spy)
    draw_regions(plain("white"), [Region(box, 0.99)] * 8)
    assert len(rectangles) == BEST
    assert all(min(corners) >= 0 and corners[2] < 700 and corners[3] < 500 for corners in rectangles)
    assert not any(drawing._overlap(one, other) for one, other in combinations(rectangles, 2))
