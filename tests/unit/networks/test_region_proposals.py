from dataclasses import replace

import numpy as np
import pytest

from inferry.networks.boxes import image_limits
from inferry.networks.graph import Graph
from inferry.networks.modules import Modules
from inferry.networks.region_proposals import anchors, cell_anchors, propose, select
from inferry.networks.resnet_fpn import DetectorConfig


def test_cell_anchors_are_rounded_to_pixels():
    # Height by width 0.5, 1 and 2 at an area of 32 * 32: 45.25 x 22.63, 32 x 32, 22.63 x 45.25.
    assert cell_anchors(32).tolist() == [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    assert cell_anchors(512).tolist() == [[-362, -181, 362, 181], [-256, -256, 256, 256], [-181, -362, 181, 362]]


def moved(size, right, down):
    return cell_anchors(size) + np.array([right, down, right, down])


def grid(run_part, image, cells, size=32):
    def write(graph, image, features):
        return [anchors(graph, image, features, size)]

    inputs = {"image": np.zeros((1, 3, *image), np.float32), "features": np.zeros((1, 2, *cells), np.float32)}
    return run_part(write, "float32/2", **inputs)[0]


def test_anchors_stand_row_by_row_three_to_a_cell(run_part):
    found = grid(run_part, (64, 96), (2, 3))
    assert found.shape == (18, 4)
    assert np.array_equal(found[:3], cell_anchors(32))
    assert np.array_equal(found[3:6], moved(32, 32, 0))
    assert np.array_equal(found[9:12], moved(32, 0, 32))
    assert np.array_equal(found[15:], moved(32, 64, 32))


def test_the_distance_of_two_cells_is_rounded_down(run_part):
    # 800 pixels have 25 cells on the level before the last and 13 on the last: 61 pixels each, not 64.
    found = grid(run_part, (800, 1344), (13, 21), size=512).reshape(13, 21, 3, 4)
    assert np.array_equal(found[1, 0], moved(512, 0, 61))
    assert np.array_equal(found[12, 20], moved(512, 1280, 732))


def selected(run_part, candidates, logits, level_of):
    def write(graph, candidates, logits, level_of):
        return [select(graph, candidates, logits, level_of)]

    inputs = {"candidates": np.array(candidates, np.float32), "logits": np.array(logits, np.float32)}
    return run_part(write, "float32/2", **inputs, level_of=np.array(level_of))[0].tolist()


A, B, C, D = [0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 7], [0, 0, 10, 7.1]


def test_within_a_level_more_than_0_7_of_overlap_suppresses(run_part):
    # B covers 0.8 of A, D 0.71 and C exactly 0.7; C covers 0.875 of B, which is gone already.
    assert selected(run_part, [A, B, D, C], [4, 3, 2, 1], [0, 0, 0, 0]) == [A, C]


def test_levels_do_not_suppress_each_other_and_the_best_come_first(run_part):
    assert selected(run_part, [A, A, A], [-3, 2, -40], [0, 1, 4]) == [A, A, A]
    assert selected(run_part, [A, C, B], [-3, 2, -100], [0, 1, 4]) == [C, A, B]


def test_very_low_logits_are_kept(run_part):
    # The sigmoid of -200 is 0 in float32, and torchvision keeps scores from 0 on.
    assert selected(run_part, [A], [-200], [2]) == [A]


def test_boxes_thinner_than_a_thousandth_of_a_pixel_go(run_part):
    thin = [5, 5, 5.0005, 9]
    assert selected(run_part, [thin, A], [9, 1], [0, 0]) == [A]


def test_at_most_1000_are_proposed(run_part):
    candidates = [[20 * x, 20 * y, 20 * x + 10, 20 * y + 10] for y in range(50) for x in range(50)]
    logits = np.arange(2500)
    found = selected(run_part, candidates, logits, np.arange(2500) % 5)
    assert found == pytest.approx(np.array(candidates[:-1001:-1]))


def looking_at_features(checkpoint):
    """A detector whose logits of the three anchors of a cell are the first three features there, and no box moves."""
    tensors = {name: np.zeros_like(tensor) for name, tensor in checkpoint.tensors.items()}
    channels = np.arange(16)
    tensors["rpn.head.conv.weight"][channels, channels, 1, 1] = 1
    tensors["rpn.head.cls_logits.weight"][[0, 1, 2], [0, 1, 2]] = 1
    return replace(checkpoint, tensors=tensors)


def open_proposals(checkpoint, open_network):
    """A session that gives ``proposals`` for ``image``, ``image_size`` and the levels ``p0`` to ``p4``."""
    modules = Modules(Graph("proposals"), checkpoint)
    graph = modules.graph
    image = graph.input("image", "float32", (1, 3, "height", "width"))
    limits = image_limits(graph, graph.input("image_size", "int64", (2,)))
    levels = [graph.input(f"p{index}", "float32", (1, 16, f"height_{index}", f"width_{index}")) for index in range(5)]
    proposals = propose(modules, image, limits, levels, DetectorConfig.from_checkpoint(checkpoint))
    graph.output(proposals, "proposals", "float32", ("proposals", 4))
    return open_network(graph.network())


def test_the_best_1000_anchors_of_a_level_are_looked_at(detector_checkpoint, open_network):
    # 20 x 20 cells, 64 pixels apart, have 1200 anchors. The better half lies below the picture, which is 600 high, so
    # that 400 of the best 1000 remain; each further level has 3 anchors, all worse.
    logits = np.zeros((20, 20, 3), np.float32)
    logits[10:] = 5000
    logits[:10] = np.random.default_rng(0).permutation(np.arange(1, 601)).reshape(10, 20, 3)
    features = [np.zeros((1, 16, *size), np.float32) for size in [(20, 20), (1, 1), (1, 1), (1, 1), (1, 1)]]
    features[0][0, :3] = logits.transpose(2, 0, 1)
    inputs = {f"p{index}": level for index, level in enumerate(features)}
    inputs |= {"image": np.zeros((1, 3, 1280, 1280), np.float32), "image_size": np.array([600, 1280])}
    (found,) = open_proposals(looking_at_features(detector_checkpoint(0)), open_network).run(None, inputs)
    places = np.argwhere((logits <= 600) & (logits > 200))
    rows, columns, kinds = places[np.argsort(-logits[tuple(places.T)])].T
    expected = cell_anchors(32)[kinds] + 64 * np.stack([columns, rows, columns, rows], axis=1)
    assert np.array_equal(found[:400], np.clip(expected, 0, [1280, 600, 1280, 600]))
    assert len(found) == 400 + 4 * 3


def test_proposals_equal_those_of_the_plain_network(detector_checkpoint, open_network):
    torch = pytest.importorskip("torch")
    from inferry.reference.faster_rcnn import reference

    checkpoint, generator = detector_checkpoint(1), np.random.default_rng(1)
    inputs = {"image": np.zeros((1, 3, 160, 224), np.float32), "image_size": np.array([150, 201])}
    sizes = [(40, 56), (20, 28), (10, 14), (5, 7), (3, 4)]
    features = [generator.normal(size=(1, 16, *size)).astype(np.float32) for size in sizes]
    inputs |= {f"p{index}": level for index, level in enumerate(features)}
    (found,) = open_proposals(checkpoint, open_network).run(None, inputs)
    exact = [torch.from_numpy(level).double() for level in features]
    expected = reference(checkpoint).proposals(torch.zeros(1, 3, 160, 224), exact, (150, 201)).numpy()
    assert len(found) == len(expected) > 300
    nearest = np.abs(found[:, None] - expected).max(axis=2).argmin(axis=1)
    assert sorted(nearest) == list(range(len(expected)))
    assert np.abs(found - expected[nearest]).max() < 1e-3
