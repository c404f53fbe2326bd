import numpy as np
import pytest
import soundfile

from inferry.core.errors import DatasetError, UsageError
from inferry.core.protocols import SessionOptions
from inferry.datasets.registry import open_dataset
from inferry.pipeline.jobs.sizes import SHAPES, job_gears, sizes_of
from inferry.pipeline.model import Model
from inferry.planning.make import make_plan


@pytest.fixture(scope="module")
def asked(asking, tmp_path_factory):
    return open_dataset(asking.write_data(tmp_path_factory.mktemp("questions")))


@pytest.fixture(scope="module")
def questions(question_bundle):
    with Model(question_bundle, "onnxruntime", SessionOptions()) as model:
        yield model


@pytest.fixture(scope="module")
def speech(tiny_bundle):
    with Model(tiny_bundle, "onnxruntime", SessionOptions(), max_seconds=1.0) as model:
        yield model


def sizes(gears):
    return [dict(gear.sizes) for gear in gears.gears]


def test_sounds_have_few_shapes_with_the_least_padding(speech, tiny, tmp_path):
    dataset = open_dataset(tiny.write_data(tmp_path / "data", 30))
    lengths = [speech.processor.measure(item.source) for item in dataset.items]
    wanted = make_plan(lengths, axis="samples", batch_size=1, shapes=SHAPES)
    gears = job_gears(speech, dataset)
    assert sizes(gears) == [{"samples": bucket.length} for bucket in wanted.buckets]
    assert len(gears.gears) == SHAPES


def test_windows_of_another_rate_all_fit(tiny_bundle, tiny, tmp_path):
    """At odd rates a later window may be a sample longer than the first one, from which plans are made."""
    soundfile.write(tmp_path / "long.wav", tiny.sound(94_600, 1), 22_051)
    with Model(tiny_bundle, "onnxruntime", SessionOptions(), max_seconds=1.3) as model:
        gears = job_gears(model, open_dataset(tmp_path))
        windows = model.cut(tmp_path / "long.wav")
        lengths = [model.processor.process(window.source).length for window in windows]
    assert max(lengths) > lengths[0]
    assert max(gear.sizes["samples"] for gear in gears.gears) == max(lengths)


def test_questions_have_the_longest_tokens_and_no_picture_is_looked_at(questions, asked, monkeypatch):
    monkeypatch.setattr(questions.processor._finder.run, "_session", None)
    gears = job_gears(questions, asked, batch_sizes=(1, 2))
    tokens = max(len(item.source.text.replace("?", " ?").split()) for item in asked.items) + 2
    assert sizes(gears) == [{"boxes": 100, "tokens": tokens}] * 2


def test_what_is_named_or_planned_is_not_looked_for(questions, asked):
    given = job_gears(questions, asked, sizes={"tokens": (8, 16), "boxes": (12,)})
    assert sizes(given) == [{"boxes": 12, "tokens": 8}, {"boxes": 12, "tokens": 16}]
    plan = make_plan([3, 30], axis="boxes", batch_size=2, shapes=2)
    planned = job_gears(questions, asked, plan=plan, sizes={"tokens": (8,)})
    assert {gear.shape_name for gear in planned.gears} == {"boxes3_tokens8", "boxes30_tokens8"}
    with pytest.raises(UsageError, match="unknown dimension 'frames'"):
        job_gears(questions, asked, sizes={"frames": (3,)})


def test_without_a_readable_sample_there_is_no_size(speech, tmp_path):
    (tmp_path / "bad.wav").touch()
    with pytest.raises(DatasetError, match="no sample has a readable length; the first reason: the file is empty"):
        job_gears(speech, open_dataset(tmp_path))


def test_sizes_of_a_sample(questions):
    inputs = questions.bundle.manifest.inputs
    arrays = {
        spec.name: np.zeros([{"boxes": 3, "tokens": 7}.get(dim, dim) for dim in spec.dims[1:]]) for spec in inputs
    }
    assert sizes_of(inputs, arrays) == {"boxes": 3, "tokens": 7}
