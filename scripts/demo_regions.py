"""What the demo's region detector finds in pictures: its exported graph in ONNX Runtime, as in `inferry infer`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from inferry.backends.onnxruntime import OnnxRuntime
from inferry.checkpoints.torchvision_detector import read_detector
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Regions
from inferry.networks.faster_rcnn import build
from inferry.processing.detector_image import LONG_SIDE, SHORT_SIDE
from inferry.processing.question_processor import RegionFinder


def region_finder(detector: Path) -> RegionFinder:
    """The detector of a .pth file, with the original's picture sizes; it runs on one thread."""
    with tempfile.TemporaryDirectory() as temporary:
        graph = Path(temporary) / "detector.onnx"
        ir.save(build(read_detector(detector)).model, graph)
        session = OnnxRuntime().open(graph, SessionOptions(threads=1))
    return RegionFinder(session.run, SHORT_SIDE, LONG_SIDE)


def stacked(regions: Sequence[Regions], most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, coordinates and mask of many pictures, padded with zeros to the same number of regions.

    Args:
        regions: Of each picture, best first.
        most: Regions of a picture that are kept.
    """
    boxes = max(1, min(most, max(len(one.box_features) for one in regions)))
    size = regions[0].box_features.shape[1]
    features = np.zeros((len(regions), boxes, size), np.float32)
    coordinates = np.zeros((len(regions), boxes, 4), np.float32)
    mask = np.zeros((len(regions), boxes), bool)
    for row, one in enumerate(regions):
        count = min(boxes, len(one.box_features))
        features[row, :count] = one.box_features[:count]
        coordinates[row, :count] = one.box_coordinates[:count]
        mask[row, :count] = True
    return features, coordinates, mask
