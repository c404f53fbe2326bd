"""Faster R-CNN that gives the features of what it finds, as ViLBERT reads them: one graph from picture to regions.

Sources: Ren et al., arXiv:1506.01497; torchvision ``fasterrcnn_resnet50_fpn``; AllenNLP
``modules/vision/region_detector.py``, which keeps the box head's features of each detection.
"""

from dataclasses import dataclass

import onnx_ir as ir

from inferry.core.protocols import Checkpoint, Network
from inferry.networks import boxes, roi_align
from inferry.networks.graph import Graph
from inferry.networks.modules import Modules
from inferry.networks.region_proposals import propose
from inferry.networks.resnet_fpn import DetectorConfig, feature_pyramid

SCORE_THRESHOLD = 0.05
OVERLAP = 0.5
MOST_DETECTIONS = 100
_SMALLEST_SIDE = 1e-2
_BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@dataclass(frozen=True)
class Judged:
    """Proposals and what the box head says about them.

    Attributes:
        proposals: (n, 4).
        features: (n, representation_size).
        logits: (n, classes), the background first.
        deltas: (n, classes, 4).
    """

    proposals: ir.Value
    features: ir.Value
    logits: ir.Value
    deltas: ir.Value


def build(checkpoint: Checkpoint) -> Network:
    """Write the detector.

    Inputs: ``image`` float32 (1, 3, height, width), normalised and zero padded to multiples of 32, and ``image_size``
    int64 (2): height and width without the padding.
    Outputs, best detection first: ``box_features`` float32 (boxes, 1024), ``box_coordinates`` float32 (boxes, 4): left,
    top, right, bottom in pixels of `image`, ``box_scores`` float32 (boxes) and ``box_labels`` int64 (boxes). There are
    at most 100 boxes, and there may be none.

    Raises:
        CheckpointError: The tensors are not those that the configuration describes.
    """
    config = DetectorConfig.from_checkpoint(checkpoint)
    graph = Graph("faster_rcnn")
    modules = Modules(graph, checkpoint)
    image = graph.input("image", "float32", (1, 3, "height", "width"))
    limits = boxes.image_limits(graph, graph.input("image_size", "int64", (2,)))
    levels = feature_pyramid(modules, image, config)
    proposals = propose(modules, image, limits, levels, config)
    with modules.scope("roi_heads"):
        pooled = roi_align.pool(graph, levels[:-1], proposals)
        features = _box_head(modules, pooled.features, config)
        logits, deltas = _box_predictor(modules, features, config)
        detect(graph, Judged(pooled.boxes, features, logits, deltas), limits, config.representation_size)
    modules.finish()
    return graph.network()


def _box_head(modules: Modules, pooled: ir.Value, config: DetectorConfig) -> ir.Value:
    """(n, channels, 7, 7) to (n, representation_size)."""
    graph, size = modules.graph, config.representation_size
    with modules.scope("box_head"):
        flat = graph.op("Flatten", pooled, axis=1)
        bins = config.fpn_channels * roi_align.OUTPUT_SIZE**2
        x = graph.op("Relu", modules.linear("fc6", flat, bins, size))
        return graph.op("Relu", modules.linear("fc7", x, size, size))


def _box_predictor(modules: Modules, features: ir.Value, config: DetectorConfig) -> tuple[ir.Value, ir.Value]:
    """Class logits (n, classes) and box deltas (n, classes, 4)."""
    graph, size, classes = modules.graph, config.representation_size, config.num_classes
    with modules.scope("box_predictor"):
        logits = modules.linear("cls_score", features, size, classes)
        deltas = modules.linear("bbox_pred", features, size, 4 * classes)
        return logits, graph.op("Reshape", deltas, graph.constant([0, classes, 4], "int64"))


def detect(graph: Graph, judged: Judged, limits: ir.Value, size: int) -> None:
    """Declare the outputs: the best detections of all classes but the background.

    Every class of every proposal is a candidate, so the same features may come out more than once.

    Args:
        graph: Where the nodes go.
        judged: All proposals.
        limits: From `boxes.image_limits`.
        size: Of a box's features.
    """
    found, scores = _candidates(graph, judged, limits)
    # The classes stand in the batch axis, for each has its own boxes.
    kept = boxes.suppress(graph, found, scores, overlap=OVERLAP, threshold=SCORE_THRESHOLD, limit=MOST_DETECTIONS)
    scores = graph.op("Squeeze", scores, graph.constant([1], "int64"))
    kept = graph.op("Gather", kept, graph.constant([0, 2], "int64"), axis=1)
    best_scores, places = boxes.best(graph, graph.op("GatherND", scores, kept), MOST_DETECTIONS)
    kept = graph.op("Gather", kept, places)
    label, proposal = (graph.op("Gather", kept, graph.constant(part, "int64"), axis=1) for part in (0, 1))
    graph.output(graph.op("Gather", judged.features, proposal), "box_features", "float32", ("boxes", size))
    graph.output(graph.op("GatherND", found, kept), "box_coordinates", "float32", ("boxes", 4))
    graph.output(best_scores, "box_scores", "float32", ("boxes",))
    label = graph.op("Add", label, graph.constant(1, "int64"))
    graph.output(label, "box_labels", "int64", ("boxes",))


def _candidates(graph: Graph, judged: Judged, limits: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Boxes (classes - 1, n, 4) within the picture and scores (classes - 1, 1, n), 0 for a box that is too small."""
    middle = graph.constant([1], "int64")
    foreground = (graph.constant([1], "int64"), graph.constant([2**31 - 1], "int64"), middle)
    scores = graph.op("Slice", graph.op("Softmax", judged.logits, axis=-1), *foreground)
    base = graph.op("Unsqueeze", judged.proposals, middle)
    found = boxes.decode(graph, graph.op("Slice", judged.deltas, *foreground), base, _BOX_WEIGHTS)
    found = boxes.clip(graph, found, limits)
    usable = graph.op("Squeeze", boxes.large_enough(graph, found, _SMALLEST_SIDE), graph.constant([2], "int64"))
    scores = graph.op("Where", usable, scores, graph.constant(0.0))
    scores = graph.op("Unsqueeze", graph.op("Transpose", scores, perm=[1, 0]), middle)
    return graph.op("Transpose", found, perm=[1, 0, 2]), scores
