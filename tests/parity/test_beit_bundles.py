"""BEiT the whole way (export, open, read pictures, run, decode): golden data, a trained checkpoint, real photos."""

import json

import numpy as np
import PIL.Image
import pytest

import inferry
from inferry.core.tolerances import LOGITS
from inferry.pipeline.export import export_with_report
from inferry.pipeline.infer import Options, infer

VARIANTS = {
    "beit_model": "logits",
    "beit_training_ckpt": "logits",
    "beit_variant_shared_abs_cls": "variant_shared_abs_cls_logits",
}
"""File, and its logits among the expected arrays."""

PHOTOS = 144 + 26


@pytest.fixture(scope="module")
def bundles(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    return {
        name: export_with_report("beit", shared / "golden" / "beit" / f"{name}.pth", folder / name) for name in VARIANTS
    }


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "beit" / "expected.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("batch_size", [None, 2, 3, 4])
@pytest.mark.parametrize("name", VARIANTS)
def test_golden_pictures(name, batch_size, bundles, golden, shared):
    files = sorted((shared / "golden" / "beit" / "images").iterdir())
    with inferry.load(bundles[name].bundle.path) as model:
        outputs = model.infer(files, batch_size)
        answers = model.predict(files, batch_size)
    logits = np.stack([one["logits"] for one in outputs])
    np.testing.assert_allclose(logits, golden[VARIANTS[name]], rtol=0, atol=LOGITS["fp32"])
    best = np.argsort(-golden[VARIANTS[name]], axis=1, kind="stable")[:, :5].tolist()
    assert [[one.index for one in answer.best] for answer in answers] == best
    if name != "beit_variant_shared_abs_cls":
        top = json.loads((shared / "golden" / "beit" / "expected_top.json").read_text())
        assert best == top["top5"]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_self_check_compares_with_the_original(name, bundles):
    made = bundles[name]
    pytest.importorskip("torch")
    assert made.parity.original_compared
    assert made.nodes < 400
    assert all(hop.max_abs <= LOGITS["fp32"] for hop in made.parity.hops)


def test_a_trained_checkpoint_has_the_original_s_answers(shared, tmp_path):
    folder = shared / "checkpoints" / "beit-small"
    expected = json.loads((folder / "expected.json").read_text())
    bundle = inferry.export("beit", folder, tmp_path / "bundle", reference=False)
    runs = [
        infer(bundle.path, shared / "data" / "caltech101_test", tmp_path / f"run{size}", Options(batch_size=size))
        for size in (1, 16)
    ]
    assert len({(run.path / "predictions.jsonl").read_bytes() for run in runs}) == 1
    rate = inferry.evaluate(runs[0].path).score.rates[0]
    assert (rate.name, rate.percent) == ("top-1", pytest.approx(expected["top1"]))
    assert rate.counted.startswith(f"{expected['correct']} of {expected['images']} ")


def test_all_photos_go_through(shared, bundles, tmp_path):
    """Random weights: nothing is said about accuracy. A file that is cut short is quarantined among them."""
    bundle = bundles["beit_model"].bundle
    answered = 0
    for name in ("caltech101_imagenet", "photos_imagenet"):
        data = shared / "data" / name
        runs = [infer(bundle.path, data, tmp_path / f"{name}{size}", Options(batch_size=size)) for size in (1, 8)]
        assert len({(run.path / "predictions.jsonl").read_bytes() for run in runs}) == 1
        assert runs[0].info["quarantined"] == 0
        answered += runs[0].info["predictions"]
    assert answered == PHOTOS


def test_a_picture_cut_short_is_quarantined(shared, bundles, tmp_path):
    photos = sorted((shared / "data" / "caltech101_imagenet").rglob("*.jpg"))[:3]
    for photo in photos:
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    cut = tmp_path / photos[1].name
    cut.write_bytes(cut.read_bytes()[:3000])
    run = infer(bundles["beit_model"].bundle.path, tmp_path, tmp_path / "run", Options(batch_size=2))
    assert (run.info["predictions"], run.info["quarantined"]) == (2, 1)


def test_another_input_size_is_the_original_s(shared, tmp_path):
    """384 pixels: positions interpolated as the original does, and compared with the original at export."""
    pytest.importorskip("torch")
    checkpoint = shared / "golden" / "beit" / "beit_model.pth"
    made = inferry.export("beit", checkpoint, tmp_path / "bundle", image_size=384)
    assert (
        made.read_json("processor.json")["input"] | {"size": 384, "resize": 384}
        == made.read_json("processor.json")["input"]
    )
    with inferry.load(made.path) as model:
        (answer,) = model.predict([np.asarray(PIL.Image.new("RGB", (500, 400), (200, 30, 30)))])
    assert len(answer.best) == 5
