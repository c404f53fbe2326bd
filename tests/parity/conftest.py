"""What the tests with really trained checkpoints share."""

import pytest

from inferry.pipeline.export import export

TRAINED = {
    "wav2vec2-an4-small": ("wav2vec2", ""),
    "data2vec-audio-an4-small": ("data2vec-audio", ""),
    "deepspeech2-an4-small": ("deepspeech2", "deepspeech2_an4_small.ckpt"),
    "deepspeech2-an4-medium": ("deepspeech2", "deepspeech2_an4_medium.ckpt"),
}
"""Family and file of each checkpoint, by its folder."""


@pytest.fixture(scope="session")
def bundle_of(shared, tmp_path_factory):
    """The bundle of a trained checkpoint, by the name of its folder; exported once. Read only."""
    folder, made = tmp_path_factory.mktemp("trained"), {}

    def bundle(name):
        if name not in made:
            family, file = TRAINED[name]
            made[name] = export(family, shared / "checkpoints" / name / file, folder / name, reference=False)
        return made[name]

    return bundle
