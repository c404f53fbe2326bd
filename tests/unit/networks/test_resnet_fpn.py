import numpy as np
import pytest

from inferry.networks.graph import Graph
from inferry.networks.modules import Modules
from inferry.networks.resnet_fpn import DetectorConfig, feature_pyramid


def test_the_pyramid_equals_the_plain_network(detector_checkpoint, open_network):
    torch = pytest.importorskip("torch")
    from inferry.reference.faster_rcnn import reference

    checkpoint = detector_checkpoint(3)
    modules = Modules(Graph("pyramid"), checkpoint)
    graph = modules.graph
    image = graph.input("image", "float32", (1, 3, "height", "width"))
    for index, level in enumerate(feature_pyramid(modules, image, DetectorConfig.from_checkpoint(checkpoint))):
        graph.output(level, f"p{index}", "float32", (1, 16, f"height_{index}", f"width_{index}"))
    pixels = np.random.default_rng(0).normal(size=(1, 3, 96, 160)).astype(np.float32)
    found = open_network(graph.network()).run(None, {"image": pixels})
    expected = reference(checkpoint).pyramid(torch.from_numpy(pixels).double())
    assert [level.shape[2:] for level in found] == [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    for level, truth in zip(found, expected, strict=True):
        assert level == pytest.approx(truth.numpy(), abs=1e-4)
        assert level.std() > 0.1
