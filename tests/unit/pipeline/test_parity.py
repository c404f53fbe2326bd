from dataclasses import replace

import pytest

from inferry.core.errors import ParityError
from inferry.core.protocols import ExportOptions
from inferry.models.registry import get_recipe
from inferry.pipeline import export as module
from inferry.pipeline.export import export_with_report

HOPS = ("original → ONNX, alone", "original alone → ONNX, mixed batch of 5")


@pytest.fixture(scope="module")
def files(asking, tmp_path_factory):
    """An archive and a detector. Read only."""
    folder = tmp_path_factory.mktemp("files")
    return asking.write_archive(folder / "archive.tar.gz"), asking.write_detector(folder / "detector.pth")


def exported(files, output, *, reference=True):
    archive, detector = files
    options = ExportOptions(detector=str(detector))
    return export_with_report("vilbert-vqa", archive, output, options, reference=reference)


def test_a_further_network_has_a_hop_of_its_own(files, tmp_path):
    pytest.importorskip("torch")
    report = exported(files, tmp_path / "bundle").parity
    assert [hop.name for hop in report.hops] == [
        *HOPS,
        "original alone → ONNX, the batch padded to 200",
        "original detector → ONNX",
    ]
    assert all(hop.passed and not hop.skipped for hop in report.hops)
    assert (report.hops[-1].samples, report.hops[-1].frames, report.hops[-1].frames_changed) == (3, 600, 0)
    assert "torchvision" in report.signature["detector network"]
    assert "VqaVilbert" in report.signature["network"]


def test_without_the_original_the_part_is_not_compared_either(files, tmp_path):
    report = exported(files, tmp_path / "bundle", reference=False).parity
    assert report.hops[-1].name == "original detector → ONNX"
    assert report.hops[-1].skipped == report.hops[0].skipped == "left out by --no-reference"


def test_without_torch_it_says_so(files, tmp_path, monkeypatch):
    import sys

    checked = exported(files, tmp_path / "first", reference=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    report = exported(files, tmp_path / "bundle").parity
    assert "plain Faster R-CNN needs the package torch" in report.hops[-1].skipped
    assert "ViLBERT network needs the package torch" in report.hops[0].skipped
    assert len(report.hops) == len(checked.parity.hops)


@pytest.mark.parametrize(
    ("name", "place"),
    [("backbone.body.conv1.weight", (3, 1, 3, 3)), ("rpn.head.bbox_pred.bias", (3,))],
)
def test_a_detector_with_one_wrong_number_is_not_exported(files, tmp_path, monkeypatch, name, place):
    pytest.importorskip("torch")
    recipe = get_recipe("vilbert-vqa")
    part = recipe.parts["detector"]

    def build_wrongly(checkpoint):
        tensor = checkpoint.tensors[name].copy()
        tensor[place] += 0.05
        return part.build(replace(checkpoint, tensors={**checkpoint.tensors, name: tensor}))

    wrong = replace(recipe, parts={"detector": replace(part, build=build_wrongly)})
    monkeypatch.setattr(module, "get_recipe", lambda _: wrong)
    with pytest.raises(ParityError, match=r"'original detector → ONNX': .* rows are not the original's"):
        exported(files, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_graph_without_a_planned_axis_is_not_padded(pictures, tmp_path):
    report = export_with_report("beit", pictures.write_beit(tmp_path / "beit"), tmp_path / "bundle", reference=False)
    assert [hop.name for hop in report.parity.hops] == [HOPS[0], "ONNX alone → ONNX, mixed batch of 4"]
