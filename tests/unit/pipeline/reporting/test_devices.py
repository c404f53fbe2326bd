"""What an NPU's machine measured, as the report's table has it."""

import pytest

from inferry.core.errors import RunError
from inferry.core.files import to_json_text
from inferry.core.runs import open_run
from inferry.core.scores import Rate
from inferry.pipeline.reporting.devices import devices_of
from inferry.report.accuracy import Accuracy
from inferry.report.speed import Measurement, Speed

HEADLINE = ("WER", "CER")
SCORED = Accuracy(
    tuple(
        Rate(name, percent, None, None, "", "")
        for name, percent in (("WER", 3.4), ("CER", 1.25), ("CER without spaces", 1.5))
    ),
    "",
)
RATES = ", ".join(one.replace(" ", "\N{NO-BREAK SPACE}") for one in ("WER 3.40 %", "CER 1.25 %"))
SIGNATURE = {"device": "Ascend310P3", "precision": "fp16", "om": "model.om"}


def times(gear, batch, median=2.5):
    compute = {"mean": 3.0, "median": median}
    words = ["ais_bench", "--model", "model.om"]
    return {"gear": gear, "batch": batch, "compute_ms": compute, "samples_per_second": 1600.0, "arguments": words}


@pytest.fixture
def found(write_run, tmp_path):
    """Devices of a run with this timings.json."""
    run = open_run(write_run(tmp_path / "run", "speech-recognition", "data/test-clean", []))

    def devices(timings, speed="not measured", accuracy=SCORED):
        return devices_of(run, timings, accuracy, speed, HEADLINE)

    return devices


def test_each_gear_has_a_row_and_the_signature_says_how_it_was_run(found):
    devices = found({"npu": [times("samples16000_b4", 4), times("items_b1", 1, None)], "signature": SIGNATURE})
    long, items = devices.rows
    assert (long.device, long.shape, long.batch_size, long.data) == (
        "Ascend310P3 fp16",
        "samples16000",
        4,
        "test-clean",
    )
    assert (long.milliseconds, long.items_per_second, long.scope, long.elsewhere) == (2.5, 1600.0, "NPU alone", True)
    assert long.accuracy == RATES, "the page has the other rates above"
    assert (items.shape, items.milliseconds) == ("", 3.0), "with several threads there is no median"
    assert ("om", "model.om") in devices.signature
    assert ("ais_bench, samples16000_b4", "ais_bench --model model.om") in devices.signature


@pytest.mark.parametrize(
    ("gear", "shape"), [("items_b4", ""), ("items_b4_part2", "part2"), ("b_b44_b4", "b_b44"), ("time9_b4", "time9")]
)
def test_shapes_are_named_without_the_batch_size(found, gear, shape):
    (row,) = found({"npu": [times(gear, 4)]}).rows
    assert row.shape == shape


def test_the_rates_stand_only_at_batch_sizes_that_gave_the_same_answers(found):
    npu = [times("short_b1", 1), times("short_b2", 2), times("short_b4", 4), times("long_b4", 4)]
    batches = [
        {"batch": 2, "compared": 6, "differing": 0, "first": None},
        {"batch": 4, "compared": 6, "differing": 1, "first": "a"},
    ]
    said = [row.accuracy for row in found({"npu": npu, "batches": batches}).rows]
    # What is scored of the long shape is what its batch of 4 gave.
    assert said == [RATES, RATES, "1 of 6 answers differ", RATES]


def test_a_benchmark_of_this_machine_stands_below(found):
    numbers = dict.fromkeys(Measurement.__dataclass_fields__)
    fast = Measurement(
        **numbers | {"configuration": "batched", "baseline": False, "batch_size": 8, "p50": 7.0}
        | {"items_per_second": 90.0, "rates": {"WER": 3.4, "other": 1.0}}
    )  # fmt: skip
    old = Measurement(**numbers | {"configuration": "as the recipe", "baseline": True})
    fields = dict.fromkeys(Speed.__dataclass_fields__)
    speed = Speed(**fields | {"measurements": (fast, old), "signature": {"machine": "EPYC, 4 threads"}})
    npu, here = found({"npu": [times("items_b1", 1)]}, speed).rows
    assert npu.elsewhere
    assert (here.device, here.batch_size, here.elsewhere) == ("EPYC batched", 8, False)
    assert (here.milliseconds, here.items_per_second, here.accuracy) == (
        7.0,
        90.0,
        "WER\N{NO-BREAK SPACE}3.40\N{NO-BREAK SPACE}%",
    )


def test_without_either_the_run_itself_is_a_row(found):
    timings = {"wall_seconds": 2.0, "samples": 10, "quarantined": 2, "plan": "samples|shapes:9x4|batch:4|x"}
    signature = {"machine": "EPYC, 4 threads", "backend": "onnxruntime", "precision": "fp32"}
    (row,) = found({**timings, "signature": signature}).rows
    assert (row.device, row.batch_size, row.items_per_second) == ("EPYC onnxruntime fp32", 4, 4.0)
    assert (row.scope, row.elsewhere) == ("whole run", False)
    npu = {"machine": "EPYC, 4 threads", "device": "Ascend310P3 0", "backend": "ascend", "precision": "fp16"}
    (row,) = found({**timings, "signature": npu}).rows
    assert row.device == "Ascend310P3 0 ascend fp16"
    assert found({}).rows == ()


@pytest.mark.parametrize("lost", ["gear", "batch", "compute_ms", "samples_per_second", "arguments"])
def test_broken_timings_name_the_command_that_writes_them_again(found, lost):
    row = times("items_b1", 1)
    del row[lost]
    with pytest.raises(RunError, match="inferry postprocess, after removing"):
        found({"npu": [row]})


def test_a_report_shows_them(write_run, gather, tmp_path):
    timings = {"npu": [times("items_b1", 1)], "signature": SIGNATURE}
    folder = write_run(
        tmp_path / "run", "speech-recognition", "data", [], texts={"timings.json": to_json_text(timings)}
    )
    (part,), _ = gather(folder)
    assert [row.device for row in part.devices.rows] == ["Ascend310P3 fp16"]
