"""``inferry bench`` as a user runs it."""

import json

import pytest
from typer.testing import CliRunner

from inferry.cli.bench import show_benchmark
from inferry.cli.main import app
from inferry.core.machine import available_threads
from inferry.metrics.timings import Quantiles
from inferry.pipeline import bench as bench_module
from inferry.pipeline.benchmark.results import Benchmark, Ceiling, ConfigurationResult, Ranking, Result, Stages, Startup
from inferry.pipeline.export import export


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"), 6)


def run(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_tables_ratios_ceiling_and_signature(tiny_bundle, data, tmp_path):
    arguments = [
        "--data",
        data,
        "--batch-sizes",
        "2",
        "--threads",
        "1,1",
        "--rounds",
        "2",
        "--output",
        tmp_path / "out",
    ]
    done = run(tiny_bundle.path, *arguments)
    assert done.exit_code == 0, done.output
    for words in ("WER %", "audio s/s", "p99 ms", "peak MB", "first result s", "round by round", "signature:"):
        assert words in done.output
    assert done.output.count("not settled") == 2
    assert "ceiling, billion operations a second: fp32" in done.output
    (configuration, _) = json.loads((tmp_path / "out/bench.json").read_text())["configurations"]
    assert configuration["results"][0]["first_result_seconds"] > 0
    assert configuration["results"][0]["peak_memory_bytes"] > 0


def test_a_batch_sweep_of_a_picture_classifier(pictures, tmp_path):
    checkpoint, photos = pictures.write_beit(tmp_path / "beit"), pictures.write_pictures(tmp_path / "photos", 5)
    bundle = export("beit", checkpoint, tmp_path / "bundle", reference=False)
    arguments = [
        "--data",
        photos,
        "--batch-sizes",
        "1,4",
        "--rounds",
        "1",
        "--samples",
        "5",
        "--output",
        tmp_path / "out",
    ]
    done = run(bundle.path, *arguments)
    assert done.exit_code == 0, done.output
    for words in ("top-1 %", "items/s", "peak MB", "ms of work for each item", "first result s"):
        assert words in done.output
    assert "audio" not in done.output
    assert "of sound" not in done.output
    assert "no memory and start" not in done.output
    (configuration,) = json.loads((tmp_path / "out/bench.json").read_text())["configurations"]
    assert [result["batch_size"] for result in configuration["results"]] == [1, 4]
    for result in configuration["results"]:
        assert result["first_result_seconds"] > 0
        assert [rate["name"] for rate in result["accuracy"]["rates"]] == ["top-1", "top-5"]
    refused = run(bundle.path, "--seconds", "1")
    assert refused.exit_code == 2
    assert "--seconds is for sounds" in refused.stderr


def test_questions_about_pictures_are_measured(question_bundle, asking, tmp_path):
    asking.write_data(tmp_path / "data", pictures=2, questions=6)
    arguments = ["--data", tmp_path / "data", "--batch-sizes", "2", "--rounds", "1", "--samples", "6", "--json"]
    done = run(question_bundle.path, *arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["samples"], found["uncounted_operators"]) == (6, [])
    (result,) = found["configurations"][0]["results"]
    assert result["accuracy"]["rates"][0]["name"] == "VQA score"
    assert result["accuracy"]["main_with_dropped"] is None
    assert result["operations_per_second"] > 0
    assert result["startup_problem"] == ""


def test_json_is_one_document(tiny_bundle):
    done = run(tiny_bundle.path, "--seconds", "0.2", "--batch-sizes", "1,2", "--rounds", "1", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [result["batch_size"] for result in found["configurations"][0]["results"]] == [1, 2]
    assert found["ratios"] == []


def test_the_recipe_says_what_it_drops(tiny_bundles, tiny, tmp_path):
    tiny.soundfile.write(tmp_path / "long.wav", tiny.sound(7 * tiny.RATE, 1), tiny.RATE)
    rows = [{"id": "long", "audio": "long.wav", "text": "AB"}]
    tiny.soundfile.write(tmp_path / "short.wav", tiny.sound(3000, 1), tiny.RATE)
    data = tiny.write_manifest(tmp_path, [*rows, {"id": "short", "audio": "short.wav", "text": "CA"}])
    arguments = ["--data", data, "--batch-sizes", "1", "--baseline", "recipe", "--rounds", "1"]
    done = run(tiny_bundles["deepspeech2"].path, *arguments)
    assert done.exit_code == 0, done.output
    assert "dropped as too long: 1 (long)" in done.output
    assert "WER if they count too: " in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "neither is given: name a data set with --data PATH"),
        (["--seconds", "1", "--batch-sizes", "1,x"], "x is no whole number"),
        (["--seconds", "1", "--batch-sizes", "1,,2"], "has an empty part"),
        (["--seconds", "1", "--batch-sizes", "0"], "0 is no whole number of 1 or more"),
        (["--seconds", "1", "--threads", "1,9999"], f"this process may use 1 to {available_threads()} threads"),
        (["--seconds", "1", "--baseline", "speed"], "available: recipe"),
        (["--seconds", "0.0001"], "--seconds 0.0001 does not do"),
        (["--seconds", "1", "--backend", "abacus"], "unknown backend"),
    ],
)
def test_usage_errors_have_exit_code_2(tiny_bundle, arguments, says):
    done = run(tiny_bundle.path, *arguments)
    assert done.exit_code == 2
    assert says in done.stderr


def test_an_interruption_says_that_nothing_was_written(tiny_bundle, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_module, "run_rounds", interrupted)
    done = run(tiny_bundle.path, "--seconds", "0.2", "--output", tmp_path / "out")
    assert done.exit_code == 130
    assert "nothing was written" in done.stderr
    assert not (tmp_path / "out").exists()


def result(batch_size, *, settled=True, startup=None, share=0.5):
    return Result(
        batch_size=batch_size,
        rounds=7,
        settled=settled,
        latency_ms=Quantiles(1.0, 2.0, 3.0),
        items_per_second=40.0,
        audio_seconds_per_second=None,
        padding_efficiency=1.0,
        stages=Stages(0.001, 0.002, 0.003, 0.004),
        startup=startup or Startup(1.25, 123_000_000),
        operations_per_second=5e9,
        fraction_of_ceiling=share,
        accuracy=None,
    )


def test_what_is_missing_or_doubtful_is_said(capsys):
    results = (
        result(1, settled=False),
        result(8, startup=Startup(None, None, "it ended with code -9"), share=1.02),
        result(16, settled=False),
        result(32),
    )
    ceiling = Ceiling(10e9, None)
    one = ConfigurationResult("x fp32", "x", "fp32", 1, False, results, Ranking(8, (8,)), ceiling, {})
    made = Benchmark(
        configurations=(one,),
        ratios=(),
        ceiling=ceiling,
        bundle="bundle",
        bundle_bytes=3_000_000,
        data="photos: all 9 samples",
        samples=9,
        valid_seconds=None,
        left_out=("a[1]: no sound", *(f"{index}: bad" for index in range(6))),
        uncounted=("com.microsoft.Attention",),
        signature={"machine": "m"},
    )
    show_benchmark(made)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "photos: all 9 samples; the bundle has 3.0 MB"
    assert "fastest batch size: 8" in lines
    assert "no memory and start measured at batch size 8: it ended with code -9" in lines
    assert "x fp32, by batch size: 1: 50%; 8: 102%; 16: 50%; 32: 50% of a large product's 10 GFLOP/s" in lines
    assert "ceiling, billion operations a second: fp32 10" in lines
    assert "operations of these are not counted: com.microsoft.Attention" in lines
    assert "more than 100%: something else ran beside the large product; try more --rounds" in lines
    assert "not settled: x fp32, batch size 1, 16: more --rounds, or a quieter machine" in lines
    assert "never filled: batch size 16, 32: a round has 9 samples" in lines
    assert "left out: a[1]: no sound" in lines
    assert "  … 7 left out in all" in lines
    assert any(line.startswith("ms of work for each item") for line in lines)
