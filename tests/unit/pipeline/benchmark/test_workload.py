import numpy as np
import pytest
import soundfile

from inferry.core.errors import DatasetError, UsageError
from inferry.core.protocols import OldRecipe, SessionOptions
from inferry.pipeline.benchmark.workload import (
    data_pool,
    fitting_count,
    make_workload,
    noise_pool,
    pack,
    stratified,
    valid_seconds,
)
from inferry.pipeline.model import Model


@pytest.fixture(scope="module")
def model(tiny_bundle):
    with Model(tiny_bundle, "onnxruntime", SessionOptions(threads=1)) as opened:
        yield opened


def test_each_stratum_gives_one():
    lengths = {index: (index * 7919) % 1000 for index in range(1000)}
    chosen = stratified(lengths, 10)
    assert chosen == sorted(chosen)
    assert sorted(lengths[index] // 100 for index in chosen) == list(range(10))
    assert stratified(lengths, 10) == chosen
    assert stratified(lengths, 10, seed=1) != chosen


@pytest.mark.parametrize("count", [3, 4, 400])
def test_a_small_data_set_is_taken_whole(count):
    assert stratified({7: 10, 3: 30, 5: 20}, count) == [3, 5, 7]


@pytest.mark.parametrize("count", range(1, 12))
def test_no_sample_is_drawn_twice(count):
    chosen = stratified(dict.fromkeys(range(11), 5), count)
    assert len(set(chosen)) == len(chosen) == min(count, 11)


def test_bad_and_silent_samples_are_left_out_with_their_reason(model, tiny, tmp_path):
    workload = make_workload(model, data_pool(model, tiny.write_difficult_data(tmp_path)), 100)
    reasons = dict(line.split(": ", 1) for line in workload.left_out)
    assert {"nan", "short", "empty", "text", "nowhere", "silence"} <= set(reasons)
    assert reasons["silence"] == "it is answered without the network"
    assert {"utt000", "utt007", "stereo", "untold"} <= {item.sample.id for item in workload.items}
    assert valid_seconds(workload.items) == workload.valid_seconds == sum(i.features.seconds for i in workload.items)


def test_nothing_to_measure_with_is_an_error(model, tiny, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(5000, np.float32), tiny.RATE)
    with pytest.raises(DatasetError, match="no sample of 1 can be measured with; silence"):
        make_workload(model, data_pool(model, tmp_path / "silence.wav"), 4)


def test_what_runs_in_windows_is_left_out(tiny_bundle, tiny, tmp_path):
    data = tiny.write_data(tmp_path, 3)
    soundfile.write(tmp_path / "001.wav", tiny.sound(3 * tiny.RATE, 1), tiny.RATE)
    with Model(tiny_bundle, "onnxruntime", SessionOptions(threads=1), max_seconds=2.0) as opened:
        pool = data_pool(opened, data)
    assert sorted(pool.samples) == [0, 2]
    assert "too long to run whole" in pool.left_out[0].reason


def test_noise_has_the_length_asked_for(model):
    workload = make_workload(model, noise_pool(model, 0.5, 3), 3)
    assert [item.features.length for item in workload.items] == [8000] * 3
    first, second, _ = (item.sample.source.samples for item in workload.items)
    assert not np.array_equal(first, second)
    again = make_workload(model, noise_pool(model, 0.5, 3), 3)
    np.testing.assert_array_equal(again.items[0].sample.source.samples, first)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e-4, float("inf"), 1e300, 36_001.0])
def test_noise_of_no_use_is_refused(model, seconds):
    with pytest.raises(UsageError, match="--seconds"):
        noise_pool(model, seconds, 1)


def test_batches_are_those_of_infer(model, tiny, tmp_path):
    workload = make_workload(model, data_pool(model, tiny.write_data(tmp_path, 7)), 7)
    batches = pack(model, workload.items, 3)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    lengths = [item.features.length for batch in batches for item in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_a_round_holds_whole_batches(model, tiny, tmp_path):
    pool = data_pool(model, tiny.write_data(tmp_path, 5))
    assert fitting_count(model, pool, 0.0, passes=2, recipe=None, multiple=8) == 8
    assert fitting_count(model, pool, 1.0, passes=2, recipe=None, multiple=8) % 8 == 0
    recipe = OldRecipe(10**12, true_outputs=False, source="a test")
    assert fitting_count(model, pool, 1.0, passes=2, recipe=recipe, multiple=8) == 8
