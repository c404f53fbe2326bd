import json
import subprocess
import sys
import time

import numpy as np
import pytest

from inferry.core.errors import BackendError, RunError, UsageError
from inferry.core.machine import available_threads
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Audio, AudioFile, ImageFile, Sample
from inferry.pipeline import bench as bench_module
from inferry.pipeline.bench import BenchOptions, bench
from inferry.pipeline.benchmark import child as bench_child
from inferry.pipeline.benchmark import startup as bench_startup
from inferry.pipeline.benchmark.ceiling import OPERATIONS, best_of, open_ceiling
from inferry.pipeline.benchmark.configurations import configurations
from inferry.pipeline.benchmark.operations import operation_counter
from inferry.pipeline.benchmark.results import Benchmark, Ceiling, Startup
from inferry.pipeline.benchmark.sources import source_to_json
from inferry.pipeline.benchmark.startup import measure_startup
from inferry.pipeline.benchmark.workload import data_pool, load_item, make_workload
from inferry.pipeline.export import export
from inferry.pipeline.model import Model, load
from inferry.processing.question_processor import RegionFinder

ONE = configurations(["onnxruntime"], ["fp32"], [1])[0]
QUICK = BenchOptions(batch_sizes=(1, 3), threads=(1, 1), rounds=2, samples=6)


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"), 9)


@pytest.fixture
def no_startup(monkeypatch):
    """Measuring starts takes a process each; most tests are about something else."""
    monkeypatch.setattr(bench_module, "measure_startup", lambda *_: Startup(1.5, 2_000_000))


@pytest.fixture(scope="module")
def measured(tiny_bundle, data, tmp_path_factory) -> Benchmark:
    """Two equal configurations and a recipe that drops nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_module, "measure_startup", lambda *_: Startup(1.5, 2_000_000))
        options = BenchOptions(batch_sizes=(1, 3), threads=(1, 1), baseline="recipe", rounds=2, samples=6)
        return bench(tiny_bundle.path, data, options=options, output=tmp_path_factory.mktemp("run"))


def test_the_numbers_fit_together(measured):
    first, second, recipe = measured.configurations
    assert [one.name for one in (first, second)] == [ONE.name, f"{ONE.name} (again, 2)"]
    assert [result.batch_size for result in first.results] == [1, 3]
    for result in (*first.results, *second.results, *recipe.results):
        assert result.rounds == 2
        assert not result.settled
        assert 0 < result.latency_ms.p50 <= result.latency_ms.p90 <= result.latency_ms.p99
        sound = result.items_per_second * measured.valid_seconds / measured.samples
        assert result.audio_seconds_per_second == pytest.approx(sound)
        assert all(value >= 0 for value in result.stages.to_json().values())
        assert result.operations_per_second > 0
        assert result.fraction_of_ceiling > 0
        assert (result.accuracy.scored, result.accuracy.dropped) == (6, 0)
        assert result.startup.first_result_seconds == 1.5
    assert first.results[0].padding_efficiency == 1.0
    assert 0.5 < first.results[1].padding_efficiency < 1.0
    assert recipe.results[0].padding_efficiency < 0.2
    assert (first.baseline, recipe.baseline, len(recipe.results)) == (False, True, 1)
    assert {ranked for one in measured.configurations for ranked in one.ranking.as_fast} <= {1, 3}
    assert all(one.ranking.fastest in one.ranking.as_fast for one in measured.configurations)


def test_batching_changes_no_accuracy(measured):
    first, second, _ = measured.configurations
    assert len({result.accuracy for one in (first, second) for result in one.results}) == 1


def test_ratios_are_to_the_first_at_each_batch_size(measured):
    names = [one.name for one in measured.configurations]
    found = [(ratio.configuration, ratio.against, ratio.batch_size) for ratio in measured.ratios]
    assert found == [(name, names[0], size) for name in names[1:] for size in (1, 3)]
    for ratio in measured.ratios:
        assert 0 < ratio.ratio.least <= ratio.ratio.median <= ratio.ratio.greatest


def test_the_json_is_what_the_report_reads(measured):
    found = json.loads(json.dumps(measured.to_json(), allow_nan=False))
    assert {"configurations", "ratios", "ceiling", "bundle_bytes", "samples", "valid_seconds", "data", "bundle"} < set(
        found
    )
    assert set(found["ceiling"]) == {"fp32_operations_per_second", "int8_operations_per_second"}
    assert {"configuration", "against", "batch_size", "median", "least", "greatest", "verdict"} <= set(
        found["ratios"][0]
    )
    one = found["configurations"][0]
    assert {"name", "backend", "precision", "threads", "baseline", "results"} <= set(one)
    assert set(one["results"][0]) >= {
        *("batch_size", "rounds", "settled", "latency_ms", "items_per_second", "audio_seconds_per_second"),
        *("padding_efficiency", "stage_seconds", "peak_memory_bytes", "first_result_seconds"),
        *("operations_per_second", "fraction_of_ceiling", "accuracy"),
    }
    assert set(one["results"][0]["stage_seconds"]) == {"read", "features", "infer", "decode"}
    accuracy = one["results"][0]["accuracy"]
    assert set(accuracy) == {"rates", "scored", "dropped", "main_with_dropped"}
    assert [rate["name"] for rate in accuracy["rates"]][:2] == ["WER", "CER"]
    assert {"name", "percent", "low", "high", "signature"} <= set(accuracy["rates"][0])
    assert found["signature"]["seed"] == 0
    assert float(found["signature"]["load_before"]) >= 0


def test_the_file_is_written_beside_a_runs_files(tiny_bundle, data, tmp_path, no_startup):
    (tmp_path / "run.json").write_text(json.dumps({"config": {"bundle": tiny_bundle.digest}}))
    told = []
    made = bench(tiny_bundle.path, data, options=QUICK, output=tmp_path, progress=told.append)
    assert json.loads((tmp_path / "bench.json").read_text()) == json.loads(json.dumps(made.to_json()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "run.json"]
    assert told[0] == "opening"
    assert any(text.startswith("round 2 of at most 2") for text in told)


def test_an_interruption_leaves_nothing(tiny_bundle, data, tmp_path, no_startup):
    def interrupt(text):
        if text.startswith("round 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(tiny_bundle.path, data, options=QUICK, output=tmp_path / "out", progress=interrupt)
    assert not (tmp_path / "out").exists()


def test_noise_has_no_accuracy_and_no_padding(tiny_bundle, no_startup):
    made = bench(tiny_bundle.path, seconds=0.25, options=BenchOptions((1, 4), threads=(1,), rounds=1))
    assert made.samples == 4
    assert made.valid_seconds == pytest.approx(1.0)
    for result in made.configurations[0].results:
        assert result.accuracy is None
        assert result.padding_efficiency == 1.0


def test_dropped_samples_are_named_and_scored_as_deleted(tiny_bundles, tiny, tmp_path, no_startup):
    # 621 spectrogram frames are 6.2 s.
    rows = []
    for name, samples in (("short", 3000), ("long", 7 * tiny.RATE)):
        rows.append({"id": name, "audio": f"{name}.wav", "text": "AB CA BA"})
        tiny.soundfile.write(tmp_path / f"{name}.wav", tiny.sound(samples, samples), tiny.RATE)
    data = tiny.write_manifest(tmp_path, rows)
    options = BenchOptions((1,), threads=(1,), baseline="recipe", rounds=1)
    made = bench(tiny_bundles["deepspeech2"].path, data, options=options)
    own, recipe = (one.results[0] for one in made.configurations)
    assert (own.dropped, own.accuracy.scored) == ((), 2)
    assert recipe.dropped == ("long",)
    assert (recipe.accuracy.scored, recipe.accuracy.dropped) == (1, 1)
    assert recipe.accuracy.main_with_dropped == pytest.approx((3 * recipe.accuracy.main.percent / 100 + 3) / 6 * 100)
    # Speed counts what it ran: 0.1875 s of sound of the 7.1875 s.
    assert recipe.audio_seconds_per_second == pytest.approx(0.1875 * recipe.items_per_second)


@pytest.mark.parametrize(
    ("options", "given", "says"),
    [
        (BenchOptions(), {}, "neither is given: name a data set with --data PATH"),
        (BenchOptions(), {"data": "x", "seconds": 1.0}, "both are given"),
        (BenchOptions(baseline="other"), {"seconds": 1.0}, "unknown baseline 'other'; available: recipe"),
        (BenchOptions(batch_sizes=()), {"seconds": 1.0}, "--batch-sizes"),
        (BenchOptions(batch_sizes=(1, 0)), {"seconds": 1.0}, "--batch-sizes"),
        (BenchOptions(batch_sizes=(4, 4)), {"seconds": 1.0}, "names one twice"),
        (BenchOptions(rounds=0), {"seconds": 1.0}, "--rounds"),
        (BenchOptions(limit=0), {"data": "x"}, "--limit"),
        (BenchOptions(limit=3), {"seconds": 1.0}, "--limit and --layout are for --data"),
        (BenchOptions(kind="an4"), {"seconds": 1.0}, "--limit and --layout are for --data"),
        (BenchOptions(batch_sizes=(1, 10**20)), {"seconds": 1.0}, "fit into memory"),
        (BenchOptions(threads=(10_000,)), {"seconds": 1.0}, f"1 to {available_threads()} threads"),
        (BenchOptions(backends=("nothing",)), {"seconds": 1.0}, "unknown backend 'nothing'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tiny_bundle, options, given, says):
    with pytest.raises(UsageError, match=says):
        bench(tiny_bundle.path, given.get("data"), seconds=given.get("seconds"), options=options)


def test_a_precision_that_the_backend_lacks_is_refused(tiny_bundle):
    with pytest.raises(BackendError, match="int4"):
        bench(tiny_bundle.path, seconds=0.5, options=BenchOptions(precisions=("int4",)))


def test_the_ceiling_is_the_best_round():
    probe = open_ceiling(ONE)
    probe.measure()
    slow = probe.ceiling()
    probe.best["fp32"] = 0.001
    assert probe.ceiling().fp32 == pytest.approx(OPERATIONS / 0.001)
    assert set(slow.to_json().values()) >= {slow.fp32, slow.int8}
    probe.close()
    with pytest.raises(BackendError, match="closed"):
        probe.measure()
    assert best_of([Ceiling(2.0, None), Ceiling(1.0, 3.0)]) == Ceiling(2.0, 3.0)
    assert (Ceiling(1.0, 2.0).of("fp32"), Ceiling(1.0, 2.0).of("int8-dynamic")) == (1.0, 2.0)


def features_of(bundle, tiny, samples):
    with Model(bundle, "onnxruntime", SessionOptions(threads=1)) as model:
        return load_item(model, Sample("x", Audio(tiny.sound(samples, 3), tiny.RATE))).features


def test_operations_of_a_transformer_are_those_of_its_layers(tiny_bundles, tiny):
    bundle, shape, samples = tiny_bundles["data2vec-audio"], tiny.DATA2VEC, 6000
    width = shape["hidden_size"]
    frames, channels, products = samples, 1, 0
    for out, kernel, stride in zip(shape["conv_dim"], shape["conv_kernel"], shape["conv_stride"], strict=True):
        frames = (frames - kernel) // stride + 1
        products += frames * out * channels * kernel
        channels = out
    products += frames * channels * width
    filters = width * width // shape["num_conv_pos_embedding_groups"] * shape["conv_pos_kernel_size"]
    products += shape["num_conv_pos_embeddings"] * frames * filters
    attention = 4 * frames * width * width + 2 * frames * frames * width
    products += shape["num_hidden_layers"] * (attention + 2 * frames * width * shape["intermediate_size"])
    products += frames * width * shape["vocab_size"]
    with operation_counter(bundle) as counter:
        assert counter.per_row([features_of(bundle, tiny, samples)], samples) == 2 * products
        assert counter.unknown == ()


def test_operations_of_a_recurrent_network_grow_with_the_padding(tiny_bundles, tiny):
    bundle = tiny_bundles["deepspeech2"]
    features = features_of(bundle, tiny, 6000)
    with operation_counter(bundle) as counter:
        own, padded = (counter.per_row([features], length) for length in (features.length, 2 * features.length))
    assert 1.9 < padded / own < 2.1


@pytest.fixture(scope="module")
def classifier(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("beit")
    return export("beit", pictures.write_beit(folder / "checkpoint"), folder / "bundle", reference=False)


@pytest.fixture(scope="module")
def photos(pictures, tmp_path_factory):
    return pictures.write_pictures(tmp_path_factory.mktemp("photos"), 9)


def test_a_picture_classifier_is_measured_without_sound(classifier, photos, no_startup, pictures):
    made = bench(classifier.path, photos, options=BenchOptions(batch_sizes=(1, 4), threads=(1,), rounds=1, samples=9))
    assert made.valid_seconds is None
    assert made.uncounted == ()
    assert made.data.endswith(": all 9 samples")
    first, second = made.configurations[0].results
    for result in (first, second):
        assert result.audio_seconds_per_second is None
        assert result.items_per_second > 0
        assert result.operations_per_second > 0
        assert [rate.name for rate in result.accuracy.rates] == ["top-1", "top-5"]
        assert (result.accuracy.scored, result.accuracy.main_with_dropped) == (9, None)
    assert first.accuracy == second.accuracy
    assert first.accuracy.rates[1].percent == 100.0, "there are three classes"
    with load(classifier.path) as model:
        found = [model.predict([file])[0].best[0].label for file in sorted(photos.rglob("*.png"))]
    right = sum(label == file.parent.name for label, file in zip(found, sorted(photos.rglob("*.png")), strict=True))
    assert first.accuracy.main.percent == pytest.approx(100 * right / 9)


def test_a_layout_without_references_has_no_accuracy(classifier, photos, no_startup):
    options = BenchOptions(batch_sizes=(2,), threads=(1,), rounds=1, samples=4, kind="image-folder")
    (result,) = bench(classifier.path, photos, options=options).configurations[0].results
    assert result.accuracy is None


def test_operations_of_a_picture_classifier_are_those_of_its_layers(classifier, photos, pictures):
    width, tokens, patch = pictures.SIZES["embed_dim"], 1 + (48 // 16) ** 2, 3 * 16 * 16
    attention = 4 * tokens * width * width + 2 * tokens * tokens * width
    block = attention + 2 * tokens * width * pictures.SIZES["mlp_dim"]
    products = (tokens - 1) * patch * width + pictures.SIZES["depth"] * block + width * len(pictures.LABELS)
    with Model(classifier, "onnxruntime", SessionOptions(threads=1)) as model:
        item = load_item(model, Sample("x", ImageFile(next(photos.rglob("*.png")))))
    with operation_counter(classifier) as counter:
        assert counter.per_row([item.features, item.features], 1) == 2 * products
        assert counter.unknown == ()


def test_regions_are_looked_for_once_a_picture_and_counted(question_bundle, asking, tmp_path, monkeypatch):
    """What a processor keeps for the next question must not hide what it cost."""
    find = RegionFinder.find

    def slow(self, pixels):
        time.sleep(0.05)
        return find(self, pixels)

    monkeypatch.setattr(RegionFinder, "find", slow)
    asking.write_data(tmp_path, pictures=2, questions=6)
    with Model(question_bundle, "onnxruntime", SessionOptions(threads=1)) as model:
        workload = make_workload(model, data_pool(model, tmp_path), 6)
    slow_ones = [item for item in workload.items if item.features_seconds >= 0.05]
    assert len(slow_ones) == 2


def test_noise_is_for_sounds(classifier):
    with pytest.raises(UsageError, match="--seconds is for sounds, and the task of this bundle is image-class"):
        bench(classifier.path, seconds=1.0)


def test_references_of_other_classes_are_refused_before_the_rounds(classifier, pictures, tmp_path):
    told = []
    for name in ("ant", "bee", "cow", "dog"):
        pictures.write_pictures(tmp_path / name, 1, labelled=False)
    with pytest.raises(RunError, match="class 3 is none of the network's 3"):
        bench(classifier.path, tmp_path, options=QUICK, progress=told.append)
    assert told == ["opening"]


def test_a_family_without_a_recipe_is_told_so(classifier, photos):
    with pytest.raises(UsageError, match="beit has no published recipe to compare with"):
        bench(classifier.path, photos, options=BenchOptions(baseline="recipe"))


def test_a_fresh_process_gives_memory_and_start(tiny_bundle, data):
    sample = Sample("x", AudioFile(data.parent / "000.wav"))
    with Model(tiny_bundle, "onnxruntime", SessionOptions(threads=1)) as model:
        found = measure_startup(tiny_bundle, ONE, load_item(model, sample), 2)
    assert found.reason == ""
    assert found.first_result_seconds > 0
    assert 20e6 < found.peak_memory_bytes < 2e9


@pytest.mark.parametrize("recipe", [False, True])
def test_the_child_prints_one_object(tiny_bundle, data, capsys, recipe):
    request = {"bundle": str(tiny_bundle.path), "backend": "onnxruntime", "precision": "fp32", "threads": 1}
    source = source_to_json(AudioFile(data.parent / "000.wav"))
    bench_child.main(request | {"batch_size": 2, "recipe": recipe, "source": source})
    assert json.loads(capsys.readouterr().out)["peak_memory_bytes"] > 20e6


def test_a_process_that_fails_says_why(tiny_bundle, data, monkeypatch):
    with Model(tiny_bundle, "onnxruntime", SessionOptions(threads=1)) as model:
        item = load_item(model, Sample("x", AudioFile(data.parent / "000.wav")))
    monkeypatch.setattr(bench_startup, "_CHILD", "inferry.no_such_module")
    found = measure_startup(tiny_bundle, ONE, item, 1)
    assert (found.first_result_seconds, found.peak_memory_bytes) == (None, None)
    assert "no_such_module" in found.reason


def test_the_peak_is_not_the_parents(tmp_path):
    code = "from inferry.pipeline.benchmark.child import peak_memory; print(peak_memory())"
    ballast = np.ones(40_000_000)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ballast.nbytes == 320_000_000
    if sys.platform == "linux":
        assert int(done.stdout) < 250_000_000
