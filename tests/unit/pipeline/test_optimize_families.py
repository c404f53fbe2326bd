"""Both targets over the graphs of all families, as they are and with sizes: every pass holds."""

import onnx_ir as ir
import pytest

from inferry.passes.registry import TARGETS
from inferry.pipeline.optimize import optimize

SIZES = {
    "wav2vec2": {"batch": 2, "samples": 1200},
    "data2vec-audio": {"batch": 2, "samples": 1200},
    "deepspeech2": {"batch": 2, "time": 60},
    "beit": {"batch": 2},
    "vilbert-vqa": {"batch": 2, "boxes": 5, "tokens": 7},
}


@pytest.fixture(scope="module")
def files(tiny_bundles, picture_bundle, question_bundle):
    found = {family: bundle.model for family, bundle in tiny_bundles.items()}
    return found | {"beit": picture_bundle.model, "vilbert-vqa": question_bundle.model}


@pytest.mark.parametrize("left", ["all", "batch", "none"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("family", SIZES)
def test_every_pass_holds(family, target, left, files, tmp_path):
    """With all dimensions dynamic, the batch alone, or none: what is known of sizes differs."""
    sizes = {name: size for name, size in SIZES[family].items() if left == "none" or name != "batch"}
    ledger = optimize(files[family], tmp_path / "done.onnx", target=target, sizes={} if left == "all" else sizes)
    assert ledger.ok, [(entry.name, entry.problem) for entry in ledger.rolled_back]
    operators = [node.op_type for node in ir.load(tmp_path / "done.onnx").graph]
    if left == "none":
        assert not {"Shape", "Range", "ConstantOfShape"} & {*operators}
