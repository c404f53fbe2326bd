import shutil

import numpy as np
import pytest

from inferry.core.bundle import open_bundle
from inferry.core.compiled import Compiled, Unit, write_compiled
from inferry.core.errors import UsageError
from inferry.core.protocols import SessionOptions
from inferry.core.specs import TensorSpec
from inferry.datasets.registry import open_dataset
from inferry.pipeline.jobs.target import JobOptions, job_target
from inferry.pipeline.model import Model


@pytest.fixture(scope="module")
def opened(picture_bundle, tmp_path_factory):
    """A bundle with three compiled models: of this bundle, with AIPP, and of another state of it."""
    bundle = open_bundle(shutil.copytree(picture_bundle.path, tmp_path_factory.mktemp("bundle") / "bundle"))
    gears = [{"batch": batch, "sizes": {}} for batch in (1, 4)]
    units = (Unit("a", (gears[0],), ("atc",)), Unit("b", tuple(gears), ("atc",)))
    half = (TensorSpec("pixel_values", "float16", ("batch", 3, 48, 48)),)
    bytes_ = (TensorSpec("pixel_values", "uint8", ("batch", 48, 48, 3)),)
    for name, digest, inputs in (("good", bundle.digest, half), ("aipp", bundle.digest, bytes_), ("old", "0", half)):
        folder = bundle.path / "compiled" / "ascend" / name
        folder.mkdir(parents=True)
        aipp = name == "aipp"
        outputs = bundle.manifest.outputs
        row = Compiled(folder, "ascend", "Ascend310P3", "fp16", "0", digest, inputs, outputs, units, aipp=aipp)
        write_compiled(row)
    with Model(bundle, "onnxruntime", SessionOptions()) as model:
        yield model


@pytest.fixture(scope="module")
def photos(pictures, tmp_path_factory):
    return open_dataset(pictures.write_pictures(tmp_path_factory.mktemp("photos"), 2))


def test_a_compiled_model_says_shapes_and_types(opened, photos):
    found = job_target(opened, photos, JobOptions(compiled="good"))
    assert [gear.name for gear in found.gears.gears] == ["items_b1", "items_b4"]
    assert [spec.dtype for spec in found.inputs] == ["float16"]
    assert found.compiled == {"key": "good", "device": "Ascend310P3", "precision": "fp16"}
    assert found.picture is None


@pytest.mark.parametrize("options", [JobOptions(compiled="aipp"), JobOptions(aipp=True)])
def test_aipp_takes_the_pictures_bytes(opened, photos, options):
    found = job_target(opened, photos, options)
    assert [(spec.dtype, spec.dims) for spec in found.inputs] == [("uint8", ("batch", 48, 48, 3))]
    features = opened.processor.process(photos.items[0].source)
    (array,) = found.arrays(features).values()
    assert (array.dtype, array.shape) == (np.uint8, (48, 48, 3))


def test_half_inputs_leave_whole_numbers_alone(tiny_bundle, tiny, tmp_path):
    dataset = open_dataset(tiny.write_data(tmp_path / "data", 2))
    with Model(tiny_bundle, "onnxruntime", SessionOptions()) as model:
        found = job_target(model, dataset, JobOptions(fp16_inputs=True))
    assert {spec.name: spec.dtype for spec in found.inputs} == {"input_values": "float16", "input_lengths": "int64"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (JobOptions(compiled="none"), "has no compiled model 'none'; available: .*good"),
        (JobOptions(compiled="old"), "old was compiled from another state"),
        (JobOptions(compiled="good", sizes={"x": (1,)}), "--sizes and --compiled are both given"),
        (JobOptions(compiled="good", batch_sizes=(1,)), "--batch-sizes and --compiled are both given"),
        (JobOptions(compiled="good", aipp=True), "--aipp and --compiled are both given"),
        (JobOptions(aipp=True, fp16_inputs=True), "takes uint8 pictures"),
    ],
)
def test_contradictions_are_refused(opened, photos, options, message):
    with pytest.raises(UsageError, match=message):
        job_target(opened, photos, options)


def test_sounds_have_no_aipp(tiny_bundle, tiny, tmp_path):
    dataset = open_dataset(tiny.write_data(tmp_path / "data", 2))
    with (
        Model(tiny_bundle, "onnxruntime", SessionOptions()) as model,
        pytest.raises(UsageError, match="AIPP prepares pictures, and this bundle takes a waveform"),
    ):
        job_target(model, dataset, JobOptions(aipp=True))
