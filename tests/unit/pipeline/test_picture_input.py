import json
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.core.bundle import PROCESSOR, Bundle
from inferry.core.errors import ParityError, SampleError, UsageError
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Image
from inferry.passes.graph_facts import graph_facts
from inferry.pipeline import picture_input as module
from inferry.pipeline.model import Model
from inferry.pipeline.picture_input import CONFIG, picture_input, to_uint8
from inferry.processing.images import ImageSettings, normalised, resized_and_cropped

IMAGENET = ImageSettings(16, 16, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def changed(bundle, folder, **settings):
    """A bundle whose processor.json says something else of its input."""
    row = bundle.read_json(PROCESSOR)
    row["input"] |= settings
    (folder / PROCESSOR).write_text(json.dumps(row), encoding="utf-8")
    return Bundle(folder, bundle.manifest)


def test_the_input_of_the_om_and_what_is_proven(picture_bundle):
    found = picture_input(picture_bundle)
    (spec,) = picture_bundle.manifest.inputs
    assert (found.spec.name, found.spec.dtype) == (spec.name, "uint8")
    assert found.spec.dims == ("batch", 48, 48, 3)
    # Mean and deviation of 0.5: the fraction of 127.5 is exact in half precision, its reciprocal is not.
    assert found.difference == pytest.approx(2.4319e-4, rel=1e-3)
    assert found.beyond_half == 2**-15
    assert found.scale == 1
    assert found.proof.endswith("to within 0.00024 where they reach 1")


def test_published_means_of_imagenet(picture_bundle, tmp_path):
    settings = {"mean": list(IMAGENET.mean), "std": list(IMAGENET.std)}
    found = picture_input(changed(picture_bundle, tmp_path, **settings))
    assert "mean_chn_0: 123\n  min_chn_0: 0.675\n" in found.config
    assert 1e-3 < found.difference < 2e-3
    assert found.scale == pytest.approx(2.64, rel=1e-2)


def test_the_file_lints_clean_beside_the_graph(picture_bundle, tmp_path):
    facts = graph_facts(ir.load(picture_bundle.model))
    name = facts.inputs[0].name
    base = ["--model=m.onnx", "--framework=5", "--output=m", "--soc_version=Ascend310P3", f"--insert_op_conf={CONFIG}"]
    shaped = [f"--input_shape={name}:-1,3,48,48", "--dynamic_batch_size=1,4", "--input_format=NCHW"]
    (tmp_path / CONFIG).write_text(picture_input(picture_bundle).config, encoding="utf-8")
    assert lint(parse_command([*base, *shaped]), facts, None, folder=tmp_path) == ()
    (tmp_path / CONFIG).write_text(picture_input(picture_bundle, any_size=True).config, encoding="utf-8")
    shaped = [f"--input_shape={name}:1,3,-1,-1", "--dynamic_image_size=48,48;96,96", "--input_format=NCHW"]
    # The sizes of this graph are fixed; another family's may be open.
    assert lint(parse_command([*base, *shaped]), None, None, folder=tmp_path) == ()


def test_samples_go_back_to_their_pictures(picture_bundle, pictures):
    found = picture_input(picture_bundle)
    source = Image(np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8))
    with Model(picture_bundle, "onnxruntime", SessionOptions()) as model:
        features = model.processor.process(source)
    pixels = found.to_uint8(features)
    np.testing.assert_array_equal(pixels, resized_and_cropped(PIL.Image.fromarray(source.pixels), found.settings))
    seen = found.emulate(pixels[None])
    assert seen.dtype == np.float16
    assert np.abs(seen[0] - features.inputs["pixel_values"]).max() <= found.difference


@settings(max_examples=50)
@given(
    st.tuples(*[st.floats(-2, 3)] * 3),
    st.tuples(*[st.floats(0.01, 300) | st.floats(-300, -0.01)] * 3),
)
def test_every_value_goes_back(mean, std):
    made = ImageSettings(16, 16, mean, std)
    pixels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(to_uint8(normalised(pixels, made), made), pixels)


@pytest.mark.parametrize("change", [1e-6, 0.01, np.nan, np.inf, 1e6])
def test_values_off_the_grid_are_refused(change):
    values = normalised(np.full((16, 16, 3), 200, np.uint8), IMAGENET).copy()
    values[1, 2, 3] += change
    with pytest.raises(SampleError, match="none that come of a uint8 picture"):
        to_uint8(values, IMAGENET)


def test_bundles_without_pictures_are_refused(tiny_bundle, question_bundle):
    with pytest.raises(UsageError, match="this bundle takes a waveform"):
        picture_input(tiny_bundle)
    with pytest.raises(UsageError, match="resized after they are normalised"):
        picture_input(question_bundle)


def test_inputs_that_are_no_picture_are_refused(picture_bundle):
    (spec,) = picture_bundle.manifest.inputs
    for dims, dtype in ((("batch", 1, 48, 48), "float32"), (spec.dims, "float16")):
        manifest = replace(picture_bundle.manifest, inputs=(replace(spec, dims=dims, dtype=dtype),))
        with pytest.raises(UsageError, match="AIPP prepares one float32 input"):
            picture_input(Bundle(picture_bundle.path, manifest))


def test_means_that_aipp_cannot_hold_are_refused(picture_bundle, tmp_path):
    with pytest.raises(UsageError, match=r"cannot subtract a mean of 1\.5"):
        picture_input(changed(picture_bundle, tmp_path, mean=[0.5, 1.5, 0.5]))
    with pytest.raises(UsageError, match=r"processor\.json is broken"):
        picture_input(changed(picture_bundle, tmp_path, mean=[0.5]))


def test_another_normalisation_than_ours_is_found(picture_bundle, monkeypatch):
    def off_by_one(pixels, made):
        return normalised(np.where(pixels == 77, 78, pixels).astype(np.uint8), made)

    monkeypatch.setattr(module, "normalised", off_by_one)
    with pytest.raises(ParityError, match="more than half precision explains"):
        picture_input(picture_bundle)
