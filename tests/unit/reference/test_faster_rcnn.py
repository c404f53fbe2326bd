import sys
from pathlib import Path

import pytest

from inferry.core.errors import MissingDependencyError
from inferry.core.protocols import Checkpoint


def test_says_how_to_install_torch(monkeypatch):
    from inferry.reference.faster_rcnn import reference

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"plain Faster R-CNN needs the package torch"):
        reference(Checkpoint("faster-rcnn", Path("tiny"), "", {}, {"blocks": [], "num_classes": 2}, {}))


def test_suppression_by_hand():
    torch = pytest.importorskip("torch")
    from inferry.reference.faster_rcnn import _suppress

    found = torch.tensor([[0, 0, 10, 6], [0, 0, 10, 10], [0, 0, 10, 5]]).double()
    assert _suppress(found, torch.tensor([0.7, 0.9, 0.8]), 0.5) == [1, 2]


def test_decoding_by_hand():
    torch = pytest.importorskip("torch")
    from inferry.reference.faster_rcnn import _decode

    deltas = torch.tensor([[1, -2, 5 * 0.6931471805599453, 0]]).double()
    found = _decode(deltas, torch.tensor([[10, 20, 30, 60]]).double(), (10, 10, 5, 5))
    assert found[0].tolist() == pytest.approx([2, 12, 42, 52], abs=1e-6)


def test_anchors_by_hand():
    torch = pytest.importorskip("torch")
    from inferry.reference.faster_rcnn import _anchors

    found = _anchors(torch.zeros(1, 3, 64, 96), torch.zeros(1, 2, 2, 3), 32)
    assert found[0].tolist() == [-23, -11, 23, 11]
    assert found[16].tolist() == [48, 16, 80, 48]


def test_roi_align_by_hand():
    torch = pytest.importorskip("torch")
    from inferry.reference.faster_rcnn import _align

    ramp = torch.arange(8).double().expand(1, 1, 8, 8)
    found = _align([ramp] * 4, torch.tensor([8, 4, 24, 20]).double())
    assert found[0, 0].tolist() == pytest.approx([2 + (index + 0.5) * 4 / 7 for index in range(7)])
