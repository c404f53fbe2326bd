"""The five families on the simulated NPU give what ONNX Runtime gives."""

import numpy as np
import pytest

from inferry.backends.ascend import AscendBackend
from inferry.backends.ascend_model import Origin, write_origin
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Audio, Image, Question, Regions
from inferry.core.tolerances import LOGITS
from inferry.pipeline.execution import collate, separate
from inferry.pipeline.model import Model

FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2", "beit", "vilbert-vqa")
HALF_DRIFT = 0.01
"""Inputs and outputs rounded to half precision move the tiny models' outputs by less."""


def question(seed, boxes):
    generator = np.random.default_rng(seed)
    features = generator.uniform(0, 1, (boxes, 24)).astype(np.float32)
    corners = np.sort(generator.uniform(0, 800, (boxes, 4)).astype(np.float32), axis=1)
    return Question(regions=Regions(features, corners), token_ids=np.array([2, *range(5, 6 + seed), 3]))


@pytest.fixture(params=FAMILIES)
def opened(request, tiny):
    """A bundle, and a mixed batch of three."""
    if request.param in tiny.FAMILIES:
        bundle = request.getfixturevalue("tiny_bundles")[request.param]
        sources = [Audio(tiny.sound(length, seed), tiny.RATE) for seed, length in enumerate((6000, 1700, 9100))]
    elif request.param == "beit":
        bundle = request.getfixturevalue("picture_bundle")
        pixels = request.getfixturevalue("asking").pixels
        sources = [Image(pixels(60 + 9 * seed, 80 - 7 * seed, seed)) for seed in range(3)]
    else:
        bundle = request.getfixturevalue("question_bundle")
        sources = [question(seed, boxes) for seed, boxes in enumerate((7, 2, 11))]
    with Model(bundle, "onnxruntime", SessionOptions(threads=1)) as model:
        features = [model.processor.process(source) for source in sources]
        expected = model.run_batch(features)
    return bundle, collate(features, bundle.manifest.inputs), expected


def compiled(npu, folder, bundle, inputs, *, kind, dtypes=None):
    """The bundle's om: gears a little and much larger than this batch, or any shape."""
    specs = bundle.manifest.inputs
    sizes = {dim: inputs[one.name].shape[i] for one in specs for i, dim in enumerate(one.dims) if isinstance(dim, str)}
    shapes = {one.name: [-1 if isinstance(dim, str) else dim for dim in one.dims] for one in specs}
    grown = [{dim: size + max(1, size // part) for dim, size in sizes.items()} for part in (1, 4)]
    gears = [[size.get(dim, dim) for one in specs for dim in one.dims] for size in grown] if kind == "dims" else ()
    om = npu.write_om(bundle.model, folder / "model.om", shapes, kind=kind, gears=gears, dtypes=dtypes)
    write_origin(om, Origin(specs, bundle.manifest.outputs, "fp32"))
    return om


def run(acl, om, inputs, outputs):
    session = AscendBackend(module=acl).open(om, SessionOptions())
    try:
        return separate(session.run(inputs), outputs)
    finally:
        session.close()


def assert_near(found, expected, tolerance):
    for have, want in zip(found, expected, strict=True):
        assert have.keys() == want.keys()
        for name, value in want.items():
            np.testing.assert_allclose(have[name], value, rtol=0, atol=tolerance, strict=True)


@pytest.mark.parametrize("kind", ["dims", "shape"])
def test_the_outputs_are_those_of_onnx_runtime(npu, acl, opened, tmp_path, kind):
    bundle, inputs, expected = opened
    om = compiled(npu, tmp_path, bundle, inputs, kind=kind)
    assert_near(run(acl, om, inputs, bundle.manifest.outputs), expected, LOGITS["fp32"])


def test_half_precision_at_the_borders_drifts_little(npu, acl, opened, tmp_path):
    bundle, inputs, expected = opened
    specs = (*bundle.manifest.inputs, *bundle.manifest.outputs)
    dtypes = {spec.name: "float16" for spec in specs if spec.dtype == "float32"}
    om = compiled(npu, tmp_path, bundle, inputs, kind="dims", dtypes=dtypes)
    found = run(acl, om, inputs, bundle.manifest.outputs)
    assert_near(found, expected, HALF_DRIFT)
    moved = [np.abs(have["logits"] - want["logits"]).max() for have, want in zip(found, expected, strict=True)]
    assert max(moved) > 0
