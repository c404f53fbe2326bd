from dataclasses import replace

import numpy as np
import pytest

from inferry.core.errors import DatasetError, UsageError
from inferry.core.protocols import OldRecipe, SessionOptions
from inferry.core.samples import Audio, Sample
from inferry.models import registry
from inferry.pipeline.benchmark import recipe as bench_recipe
from inferry.pipeline.benchmark.cells import own_job, recipe_job
from inferry.pipeline.benchmark.configurations import configurations
from inferry.pipeline.benchmark.recipe import old_recipe_of, recipe_features, recipe_outputs
from inferry.pipeline.benchmark.workload import Workload, load_item
from inferry.pipeline.model import Model

RECIPE = OldRecipe(6000, true_outputs=False, source="a test")


@pytest.fixture(scope="module")
def model(tiny_bundle):
    with Model(tiny_bundle, "onnxruntime", SessionOptions(threads=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def spectral(tiny_bundles):
    with Model(tiny_bundles["deepspeech2"], "onnxruntime", SessionOptions(threads=1)) as opened:
        yield opened


def items(model, tiny, *counts):
    sounds = [Sample(f"s{count}", Audio(tiny.sound(count, count), tiny.RATE), "ON TOE") for count in counts]
    return tuple(load_item(model, sample) for sample in sounds)


def test_the_published_lengths():
    found = {family: old_recipe_of(family) for family in ("data2vec-audio", "wav2vec2", "deepspeech2")}
    assert {family: recipe.length for family, recipe in found.items()} == {
        "data2vec-audio": 559_280,
        "wav2vec2": 100_000,
        "deepspeech2": 621,
    }
    assert [family for family, recipe in found.items() if recipe.true_outputs] == ["deepspeech2"]


def test_a_family_without_one_is_refused(monkeypatch):
    recipe = replace(registry.get_recipe("wav2vec2"), old_recipe=None)
    monkeypatch.setattr(bench_recipe, "get_recipe", lambda _: recipe)
    with pytest.raises(UsageError, match="no published recipe"):
        old_recipe_of("wav2vec2")


def test_padding_counts_as_sound(model, tiny):
    (item,) = items(model, tiny, 4000)
    padded = recipe_features(model, item.features, RECIPE)
    assert padded.length == 6000
    assert padded.inputs["input_lengths"] == 6000
    assert padded.inputs["input_values"].dtype == np.float32
    np.testing.assert_array_equal(padded.inputs["input_values"][:4000], item.features.inputs["input_values"])
    assert not padded.inputs["input_values"][4000:].any()
    # The network's answer is the one for a sound that ends in 2000 zeros, all of it.
    (outputs,) = model.run_batch([padded])
    whole = items(model, tiny, 6000)[0].features
    assert outputs["logits"].shape == model.run_batch([whole])[0]["logits"].shape
    assert recipe_outputs(model, outputs, item.features, RECIPE)["logits"] is outputs["logits"]


def test_a_spectrogram_is_padded_in_time_only(spectral, tiny):
    (item,) = items(spectral, tiny, 4000)
    padded = recipe_features(spectral, item.features, replace(RECIPE, length=621))
    assert padded.inputs["spectrogram"].shape == (1, 161, 621)
    assert padded.inputs["input_lengths"] == 621


@pytest.mark.parametrize("length", [2, 3, 77, 400, 619, 620, 621])
def test_true_outputs_are_half_of_the_frames_rounded_down(spectral, tiny, length):
    (item,) = items(spectral, tiny, 4000)
    outputs = {"logits": np.zeros((311, 5)), "probs": np.zeros((311, 5)), "output_lengths": np.array(311)}
    recipe = OldRecipe(621, true_outputs=True, source="a test")
    cut = recipe_outputs(spectral, outputs, replace(item.features, length=length), recipe)
    assert (len(cut["logits"]), len(cut["probs"])) == (length // 2, length // 2)


def test_longer_samples_are_dropped_and_speed_counts_real_sound(model, tiny):
    workload = Workload(items(model, tiny, 2000, 4000, 6000, 6001, 8000), (), "a test")
    (configuration,) = configurations(["onnxruntime"], ["fp32"], [1])
    job = recipe_job(configuration, model, workload, RECIPE)
    assert [item.sample.id for item in job.dropped] == ["s6001", "s8000"]
    assert set(job.run().predictions) == {"s2000", "s4000", "s6000"}
    assert job.batch_size == 1
    assert job.amount == pytest.approx((2000 + 4000 + 6000) / 16_000)
    assert job.padding_efficiency == pytest.approx(12_000 / 18_000)
    own = own_job(configuration, model, workload, 2)
    assert (own.dropped, len(own.items), own.padded) == ((), 5, ((2, 8000), (2, 6000), (1, 2000)))


def test_a_recipe_that_drops_everything_is_refused(model, tiny):
    workload = Workload(items(model, tiny, 7000), (), "a test")
    (configuration,) = configurations(["onnxruntime"], ["fp32"], [1])
    with pytest.raises(DatasetError, match="drops all 1 samples"):
        recipe_job(configuration, model, workload, RECIPE)
