"""A source goes to another process and comes back the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from inferry.core.samples import AudioFile, Image, ImageFile, Question, RegionFile
from inferry.pipeline.benchmark.sources import source_from_json, source_to_json
from inferry.pipeline.benchmark.workload import noise

REGIONS = RegionFile(Path("features.npy"), Path("boxes.npy"), None)


def there_and_back(source):
    return source_from_json(json.loads(json.dumps(source_to_json(source))))


@pytest.mark.parametrize(
    "source",
    [
        AudioFile(Path("a.wav"), 1.5, 3.25),
        AudioFile(Path("a.wav")),
        ImageFile(Path("photos/a b.png")),
    ],
)
def test_files(source):
    assert there_and_back(source) == source


def test_questions():
    found = there_and_back(Question(image=ImageFile(Path("a.jpg")), text='what "is" it?'))
    assert (found.image, found.text, found.regions) == (ImageFile(Path("a.jpg")), 'what "is" it?', None)
    ids = np.array([101, 7, 102])
    found = there_and_back(Question(regions=REGIONS, token_ids=ids, type_ids=np.zeros(3, np.int64)))
    assert found.regions == REGIONS
    np.testing.assert_array_equal(found.token_ids, ids)
    assert (found.token_ids.dtype, found.type_ids.shape) == (np.int64, (3,))


def test_noise_is_made_anew():
    sound = noise(0.3, 16_000, 0)
    row = source_to_json(sound)
    assert len(json.dumps(row)) < 100, "an argument of a command"
    np.testing.assert_array_equal(source_from_json(row).samples, sound.samples)


def test_what_no_data_set_gives_is_refused():
    with pytest.raises(TypeError, match="Image has no place in a command"):
        source_to_json(Image(np.zeros((2, 2, 3), np.uint8)))
