from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from inferry.core.errors import CheckpointError
from inferry.networks import boxes
from inferry.networks.faster_rcnn import Judged, build, detect

OUTPUTS = ("box_features", "box_coordinates", "box_scores", "box_labels")


def picture(height, width, seed):
    """Random blots, padded to multiples of 32."""
    generator = np.random.default_rng(seed)
    image = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
    image[:, :, :height, :width] = generator.normal(size=(1, 3, height, width))
    for _ in range(6):
        y, x = generator.integers(height), generator.integers(width)
        image[0, :, y : min(y + 60, height), x : min(x + 40, width)] += generator.normal(size=(3, 1, 1))
    return {"image": image, "image_size": np.array([height, width])}


def outputs_of(session, inputs):
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), inputs), strict=True))


def partners(found, expected):
    """For each detection the likest one of the truth: equal scores may come in another order in float32."""
    distance = np.abs(found["box_coordinates"][:, None] - expected["box_coordinates"]).max(axis=2)
    distance += np.abs(found["box_features"][:, None] - expected["box_features"]).max(axis=2)
    distance[found["box_labels"][:, None] != expected["box_labels"]] = np.inf
    return distance.argmin(axis=1)


def test_declares_its_inputs_and_outputs(detector_checkpoint, tmp_path):
    network = build(detector_checkpoint(0))
    assert [(spec.name, spec.dtype, spec.dims) for spec in network.inputs] == [
        ("image", "float32", (1, 3, "height", "width")),
        ("image_size", "int64", (2,)),
    ]
    assert [(spec.name, spec.dtype, spec.dims) for spec in network.outputs] == [
        ("box_features", "float32", ("boxes", 32)),
        ("box_coordinates", "float32", ("boxes", 4)),
        ("box_scores", "float32", ("boxes",)),
        ("box_labels", "int64", ("boxes",)),
    ]
    assert network.opset == 17
    ir.save(network.model, tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


@pytest.mark.parametrize(("height", "width", "seed"), [(150, 201, 0), (256, 96, 6), (64, 330, 2), (480, 620, 7)])
def test_equals_the_plain_network(height, width, seed, detector_checkpoint, open_network):
    pytest.importorskip("torch")
    from inferry.reference.faster_rcnn import reference

    checkpoint, inputs = detector_checkpoint(seed), picture(height, width, seed)
    expected = reference(checkpoint).infer(inputs)
    found = outputs_of(open_network(build(checkpoint)), inputs)
    assert len(expected["box_labels"]) > 10
    assert len(set(expected["box_labels"].tolist())) > 1
    partner = partners(found, expected)
    assert sorted(partner) == list(range(len(expected["box_labels"])))
    for name, tolerance in {"box_scores": 1e-4, "box_coordinates": 1e-2, "box_features": 5e-3}.items():
        assert np.abs(found[name] - expected[name][partner]).max() < tolerance


def test_a_picture_without_anything_gives_no_regions(detector_checkpoint, open_network):
    checkpoint = detector_checkpoint(0)
    bias = checkpoint.tensors["roi_heads.box_predictor.cls_score.bias"].copy()
    bias[0] = 1000  # the background wins everywhere
    tensors = {**checkpoint.tensors, "roi_heads.box_predictor.cls_score.bias": bias}
    found = outputs_of(open_network(build(replace(checkpoint, tensors=tensors))), picture(64, 64, 0))
    shapes = {name: value.shape for name, value in found.items()}
    assert shapes == {"box_features": (0, 32), "box_coordinates": (0, 4), "box_scores": (0,), "box_labels": (0,)}


def test_a_missing_and_a_left_over_tensor_are_reported(detector_checkpoint):
    checkpoint = detector_checkpoint(0)
    tensors = dict(checkpoint.tensors)
    tensors["backbone.body.bn9.weight"] = tensors.pop("backbone.body.bn1.running_var")
    with pytest.raises(CheckpointError) as raised:
        build(replace(checkpoint, tensors=tensors))
    assert [problem.split()[0] for problem in raised.value.problems] == [
        "backbone.body.bn1.running_var",
        "backbone.body.bn9.weight",
    ]


def detected(run_part, probabilities, proposals, deltas=None):
    """The answer for proposals with these class probabilities; features are 0, 10, 20 ..."""
    probabilities = np.array(probabilities, np.float32)
    count, classes = probabilities.shape
    inputs = {
        "proposals": np.array(proposals, np.float32),
        "features": np.arange(count, dtype=np.float32)[:, None] * 10,
        "logits": np.log(probabilities),
        "deltas": np.zeros((count, classes, 4), np.float32) if deltas is None else np.array(deltas, np.float32),
    }
    values = {}

    def write(graph, image_size, **parts):
        detect(graph, Judged(**parts), boxes.image_limits(graph, image_size), 1)
        values.update({value.name: value for value in graph._outputs})
        graph._outputs.clear()
        return [values[name] for name in OUTPUTS]

    dtypes = "float32/2 float32/2 float32/1 int64/1"
    found = run_part(write, dtypes, image_size=np.array([100, 100]), **inputs)
    return dict(zip(OUTPUTS, found, strict=True))


FAR, NEAR, SHIFTED = [60, 60, 90, 90], [0, 0, 20, 20], [0, 0, 20, 16]


def test_every_class_above_the_threshold_is_a_detection(run_part):
    found = detected(run_part, [[0.5, 0.3, 0.2], [0.04, 0.92, 0.04]], [NEAR, FAR])
    assert found["box_scores"] == pytest.approx([0.92, 0.3, 0.2])
    assert found["box_labels"].tolist() == [1, 1, 2]
    assert found["box_features"].tolist() == [[10], [0], [0]]
    assert found["box_coordinates"].tolist() == [FAR, NEAR, NEAR]


def test_a_class_suppresses_only_its_own(run_part):
    found = detected(run_part, [[0.1, 0.8, 0.1], [0.1, 0.3, 0.6]], [NEAR, SHIFTED])
    assert found["box_labels"].tolist() == [1, 2]
    assert found["box_features"].tolist() == [[0], [10]]


def test_within_a_class_more_than_half_of_overlap_suppresses(run_part):
    # The second covers 0.55 of the first and the third exactly 0.5; the third covers 0.91 of the second, which is gone.
    proposals = [[0, 0, 20, 20], [0, 0, 20, 11], [0, 0, 20, 10]]
    found = detected(run_part, [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], proposals)
    assert found["box_coordinates"].tolist() == [proposals[0], proposals[2]]


def test_boxes_thinner_than_a_hundredth_of_a_pixel_go(run_part):
    found = detected(run_part, [[0.1, 0.9], [0.2, 0.8]], [[5, 5, 5.008, 30], [5, 50, 5.012, 80]])
    assert found["box_coordinates"] == pytest.approx(np.array([[5, 50, 5.012, 80]]), abs=1e-5)


def test_each_class_has_its_own_box(run_part):
    # Ten times the shift in sizes and five times the log of the factor: down for class 1, wider for class 2, and for
    # class 3 to the right and higher.
    deltas = [[[0] * 4, [0, 10, 0, 0], [0, 0, 5 * np.log(2), 0], [10, 0, 0, 5 * np.log(2)]]]
    found = detected(run_part, [[0.1, 0.4, 0.3, 0.2]], [[40, 40, 60, 60]], deltas)
    expected = np.array([[40, 60, 60, 80], [30, 40, 70, 60], [60, 30, 80, 70]])
    assert found["box_coordinates"] == pytest.approx(expected, abs=1e-4)


def test_boxes_are_clipped_and_those_that_lie_outside_go(run_part):
    found = detected(run_part, [[0.1, 0.9], [0.2, 0.8]], [[90, 90, 120, 130], [101, 0, 150, 50]])
    assert found["box_coordinates"].tolist() == [[90, 90, 100, 100]]


def test_at_most_100_detections(run_part):
    proposals = [[x * 8, y * 8, x * 8 + 7, y * 8 + 7] for y in range(12) for x in range(12)]
    scores = np.linspace(0.1, 0.9, len(proposals))
    found = detected(run_part, np.stack([1 - scores, scores], axis=1), proposals)
    assert found["box_scores"] == pytest.approx(scores[:-101:-1], abs=1e-6)
    assert found["box_features"][:, 0].tolist() == [10 * index for index in range(143, 43, -1)]


def test_no_proposals_give_no_detections(run_part):
    found = detected(run_part, np.zeros((0, 3)), np.zeros((0, 4)))
    assert [found[name].shape for name in OUTPUTS] == [(0, 1), (0, 4), (0,), (0,)]
