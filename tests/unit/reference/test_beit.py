import sys
from pathlib import Path

import pytest

from inferry.core.errors import MissingDependencyError
from inferry.core.protocols import Checkpoint
from inferry.reference.beit import reference


def test_without_torch_the_line_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    checkpoint = Checkpoint("beit", Path("tiny.pth"), "0" * 64, tensors={}, config={}, processor={})
    with pytest.raises(MissingDependencyError, match=r"inferry\[reference\]"):
        reference(checkpoint)


def test_the_signature_names_the_original_and_torch():
    pytest.importorskip("torch")
    checkpoint = Checkpoint("beit", Path("tiny.pth"), "0" * 64, tensors={}, config={}, processor={})
    assert reference(checkpoint).signature().keys() == {"network", "torch"}
