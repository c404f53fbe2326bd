from dataclasses import fields
from importlib.metadata import EntryPoint

import pytest

from inferry.core.errors import UsageError
from inferry.core.protocols import ExportOptions, Recipe
from inferry.models import registry
from inferry.models.registry import RECIPES, family_names, find_preset, get_recipe, locate_checkpoint, read_checkpoint
from inferry.pipeline.tasks.registry import TASKS

SPEECH = ("wav2vec2", "data2vec-audio", "deepspeech2")


@pytest.mark.parametrize("family", RECIPES)
def test_a_recipe_is_complete(family):
    recipe = get_recipe(family)
    assert isinstance(recipe, Recipe)
    assert recipe.family == family
    assert recipe.task in TASKS
    assert set(recipe.takes) <= {field.name for field in fields(ExportOptions)}
    assert recipe.summary
    assert recipe.presets
    for preset in recipe.presets:
        assert preset.source.startswith("https://")
        assert preset.accuracy
        assert all(file.repo or file.url for file in preset.files)
        assert find_preset(recipe, preset.name) is preset


def test_an_unknown_family_lists_what_is_available():
    with pytest.raises(UsageError, match="unknown family 'whisper'; available: beit, data2vec-audio, deepspeech2, "):
        get_recipe("whisper")


def test_a_package_adds_a_family(monkeypatch):
    recipe = get_recipe("wav2vec2")
    point = EntryPoint("outsider", "somewhere:RECIPE", "inferry.recipes")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "inferry.recipes" else [])
    monkeypatch.setattr(EntryPoint, "load", lambda self: recipe)
    assert family_names() == sorted([*RECIPES, "outsider"])
    assert get_recipe("outsider") is recipe
    with pytest.raises(UsageError, match="outsider"):
        get_recipe("stranger")


def test_a_path_goes_before_a_preset(tmp_path, monkeypatch):
    recipe = get_recipe("wav2vec2")
    monkeypatch.setattr(registry, "fetch", lambda preset, family: tmp_path / family / preset.name)
    assert locate_checkpoint(recipe, tmp_path) == tmp_path
    name = recipe.presets[0].name
    assert locate_checkpoint(recipe, name) == tmp_path / "wav2vec2" / name


def test_neither_path_nor_preset():
    with pytest.raises(UsageError, match=r"no checkpoint at typo; .*facebook/wav2vec2-base-960h"):
        locate_checkpoint(get_recipe("wav2vec2"), "typo")


def test_an_option_that_a_family_does_not_take(tmp_path):
    options = ExportOptions(image_size=224, detector="file.pth")
    with pytest.raises(UsageError, match=r"wav2vec2 takes no --image-size, --detector; .*of this family: none"):
        read_checkpoint(get_recipe("wav2vec2"), tmp_path, options)


@pytest.mark.parametrize("family", SPEECH)
def test_the_reference_of_each_family_is_the_original(family, tiny, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    recipe, path = tiny.recipe_of(family, tmp_path)
    checkpoint = recipe.read(path, ExportOptions())
    processor = recipe.processor(checkpoint.processor, checkpoint.files, {})
    features = processor.process(recipe.probes(checkpoint.processor)[1])
    reference = recipe.reference(checkpoint)
    outputs = reference.infer(features.inputs)
    assert outputs["logits"].shape == (outputs["output_lengths"], len(tiny.TOKENS if "vec" in family else tiny.LABELS))
    assert reference.signature()["torch"]
