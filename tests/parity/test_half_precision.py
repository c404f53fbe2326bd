"""Half precision on trained checkpoints and real sounds and pictures, emulated: what it breaks, and what mends it."""

import pytest

from inferry.pipeline.export import export
from inferry.pipeline.half_precision import half_drift, mixed_drift

pytestmark = pytest.mark.slow

LIMIT = 8


@pytest.fixture(scope="module")
def sounds(shared):
    return shared / "data" / "an4_test" / "manifest_v3.json"


def test_the_group_norm_s_sum_of_squares_overflows_and_two_nodes_mend_it(bundle_of, sounds):
    bundle = bundle_of("wav2vec2-an4-small")
    half = half_drift(bundle, data=sounds, limit=LIMIT)
    assert [one.operator for one in half.overflows] == ["ReduceSum"]
    assert half.overflows[0].greatest > 100_000
    assert half.hop.answers_changed > 0
    assert half.hop.max_abs > 1
    mixed = mixed_drift(bundle, data=sounds, limit=LIMIT)
    assert len(mixed.keep) == 2
    assert mixed.keep[0] == half.overflows[0].node
    assert mixed.passed
    assert mixed.hop.accuracy == mixed.float32


@pytest.mark.parametrize(
    ("name", "changed"), [("data2vec-audio-an4-small", 1), ("deepspeech2-an4-small", 0), ("deepspeech2-an4-medium", 0)]
)
def test_the_others_stay_in_range(bundle_of, sounds, name, changed):
    drift = half_drift(bundle_of(name), data=sounds, limit=LIMIT)
    assert drift.overflows == ()
    assert 0 < drift.hop.max_abs < 0.05
    assert drift.hop.answers_changed <= changed


@pytest.mark.parametrize("aipp", [False, True])
def test_a_trained_classifier_gives_the_same_classes(shared, tmp_path, aipp):
    checkpoint = shared / "checkpoints" / "beit-small" / "beit_small_caltech25.pth"
    bundle = export("beit", checkpoint, tmp_path / "bundle", reference=False)
    drift = half_drift(bundle, data=shared / "data" / "caltech101_test", limit=16, aipp=aipp)
    assert drift.hop.answers_changed == 0
    assert 0 < drift.hop.max_abs < 0.01
    assert drift.hop.accuracy == drift.float32
