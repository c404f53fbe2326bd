import json
from pathlib import Path

import numpy as np
import pytest

from inferry.ascend.job_inputs import write_inputs
from inferry.ascend.job_summary import Latency, SampleFiles, check_summary, read_summary, summary_path
from inferry.core.errors import RunError
from inferry.core.specs import TensorSpec

TIMES = [2.0, 4.0, 3.0]
FULL = {"min": 2.0, "max": 4.0, "mean": 3.0, "median": 3.0, "percentile(99%)": 3.98, "count": 3}
SHORT = {"mean": 3.0, "count": 3}


def content(**changes):
    entry = {"infiles": ["in/00_x/000000.bin", "in/01_n/000000.bin"], "outfiles": ["out/000000_0.bin"]}
    whole = {
        "filesinfo": {"0": entry},
        "args": ["/usr/ais_bench/__main__.py", "--model", "x.om"],
        "NPU_compute_time": FULL,
        "H2D_latency": FULL,
        "D2H_latency": FULL,
        "npu_compute_time_list": TIMES,
        "throughput": 1000 / 3,
        "pid": 12,
    }
    return whole | changes


def several():
    spans = [[10.0, 12.0], [11.0, 15.0], [15.0, 18.0]]
    rows = {"NPU_compute_time": SHORT, "H2D_latency": SHORT, "D2H_latency": SHORT}
    return content(filesinfo={}, npu_compute_time_list=spans, **rows)


def written(folder, value):
    path = folder / "result_summary.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_it_lies_beside_the_folder():
    assert summary_path(Path("out/2026_01_02-03_04_05")) == Path("out/2026_01_02-03_04_05_summary.json")


def test_one_thread(tmp_path):
    summary = read_summary(written(tmp_path, content()))
    timings = summary.timings
    assert timings.compute == Latency(mean=3.0, count=3, min=2.0, max=4.0, median=3.0, p99=3.98)
    assert timings.h2d == timings.d2h == timings.compute
    assert timings.durations == (2.0, 4.0, 3.0)
    assert timings.intervals == ()
    assert timings.throughput == pytest.approx(333.333, abs=1e-3)
    files = SampleFiles(("in/00_x/000000.bin", "in/01_n/000000.bin"), ("out/000000_0.bin",))
    assert summary.files == (files,)
    assert summary.args[1:] == ("--model", "x.om")


def test_several_threads(tmp_path):
    summary = read_summary(written(tmp_path, several()))
    assert summary.timings.compute == Latency(mean=3.0, count=3)
    assert summary.timings.intervals == ((10.0, 12.0), (11.0, 15.0), (15.0, 18.0))
    assert summary.timings.durations == (2.0, 4.0, 3.0)
    assert summary.files == ()


def test_the_newer_name_of_the_percentile(tmp_path):
    newer = {"P99" if key.startswith("percentile") else key: value for key, value in FULL.items()}
    assert read_summary(written(tmp_path, content(NPU_compute_time=newer))).timings.compute.p99 == 3.98


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (content(throughput=float("nan")), "it holds NaN, so a measurement failed"),
        (content(NPU_compute_time=FULL | {"mean": float("inf")}), "it holds Infinity"),
        (json.dumps(content()).replace("3.98", "1e999"), "it holds inf"),
        (json.dumps(content()).replace("333.3333333333333", "1e999"), "it holds inf"),
        (json.dumps(content()).replace("[2.0", "[1e999"), "it holds inf"),
        (content(npu_compute_time_list=[2.0]), "it counts 3 executions and lists 1"),
        (content(npu_compute_time_list=[[5.0, 4.0]], NPU_compute_time=SHORT | {"count": 1}), "ends before it begins"),
        (content(filesinfo={"1": {"infiles": [], "outfiles": []}}), "not numbered from 0"),
        (content(filesinfo={"0": {"infiles": []}}), "KeyError"),
        ({"pid": 1, "npu_compute_time_list": [1.0]}, "KeyError"),
        (content(npu_compute_time_list=None), "TypeError"),
        ([], "TypeError"),
        ("{", "JSONDecodeError"),
    ],
)
def test_broken_summaries(tmp_path, value, message):
    with pytest.raises(RunError, match=message):
        read_summary(written(tmp_path, value))


def test_a_missing_summary(tmp_path):
    with pytest.raises(RunError, match=r"No such file or directory\. It lies beside ais_bench's output folder"):
        read_summary(tmp_path / "result_summary.json")


@pytest.fixture
def manifest(tmp_path):
    specs = [TensorSpec("x", "float32", ("batch", 1)), TensorSpec("n", "int64", ("batch",))]
    return write_inputs(tmp_path / "in", specs, [("a", {"x": np.zeros(1, np.float32), "n": np.array(1)})])


def entry(infiles, outfiles=("out/000000_0.bin", "out/000000_1.bin")):
    return {"infiles": list(infiles), "outfiles": list(outfiles)}


def once(files, *words, count=1):
    """A summary of `count` executions."""
    times = {"NPU_compute_time": {"mean": 2.0, "count": count}, "npu_compute_time_list": [2.0] * count}
    return content(filesinfo=files, args=["ais_bench", *words], **times)


GOOD = ("in/00_x/000000.bin", "in/01_n/000000.bin")


def test_its_files_are_those_of_the_job(tmp_path, manifest):
    check_summary(read_summary(written(tmp_path, once({"0": entry(GOOD)}))), manifest, 1)
    check_summary(read_summary(written(tmp_path, several())), manifest, 1)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"0": entry(GOOD), "1": entry(GOOD)}, "ais_bench read 2 samples, the job has 1"),
        ({"0": entry(GOOD[::-1])}, "sample 0: ais_bench read in/01_n/000000.bin, in/00_x/000000.bin, not 000000"),
        ({"0": entry(["in/00_x/000001.bin", GOOD[1]])}, "sample 0: ais_bench read in/00_x/000001.bin"),
        ({"0": entry(GOOD, ["out/000001_0.bin"])}, "ais_bench wrote out/000001_0.bin for 000000"),
    ],
)
def test_the_files_of_another_job(tmp_path, manifest, files, message):
    with pytest.raises(RunError, match=message):
        check_summary(read_summary(written(tmp_path, once(files))), manifest, 1)


@pytest.fixture
def five(tmp_path):
    specs = [TensorSpec("x", "float32", ("batch", 3)), TensorSpec("n", "int64", ("batch",))]
    return write_inputs(
        tmp_path / "five", specs, [(str(one), {"x": np.zeros(3, np.float32), "n": np.array(1)}) for one in range(5)]
    )


FIVE = {
    str(one): entry(
        [f"in/00_x/{one:06d}.bin", f"in/01_n/{one:06d}.bin"], [f"out/{one:06d}_0.bin", f"out/{one:06d}_1.bin"]
    )
    for one in range(5)
}


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ((), 3),
        (("--loop", "4"), 12),
        (("--loop=4", "--dymBatch=2"), 12),
        (("-db", "2"), 3),
        (("--dym-batch", "4", "--dym-batch", "2"), 3),
        (("--dymBatch", "0"), 3),
        (("--dymDims", "x:2,3;n:2"), 3),
        (("-dd=n:2;x:2,3",), 3),
    ],
)
def test_a_summary_of_this_gear(tmp_path, five, words, count):
    check_summary(read_summary(written(tmp_path, once(FIVE, *words, count=count))), five, 2)


@pytest.mark.parametrize(
    ("words", "count", "message"),
    [
        ((), 5, "the model ran 5 times; 5 samples in batches of 2 take 3"),
        ((), 2, "the model ran 2 times"),
        (("--loop", "4"), 3, "the model ran 3 times; 5 samples in batches of 2 with --loop 4 take 12"),
        (("--loop=many",), 3, "--loop many, which is no number"),
        *(
            ((*spelt,), 3, "told the batch size 4, the gear has 2")
            for spelt in [
                ("--dymBatch", "4"),
                ("--dymBatch=4",),
                ("--dym-batch", "4"),
                ("--dym_batch=4",),
                ("-db", "4"),
                ("--dymBatch=2", "--dymBatch=4"),
            ]
        ),
        *(
            ((*spelt,), 3, "told the sizes x:2,4;n:2, the gear has x:2,3;n:2")
            for spelt in [
                ("--dymDims", "x:2,4;n:2"),
                ("--dymDims=x:2,4;n:2",),
                ("--dym-dims", "x:2,4;n:2"),
                ("--dym_dims=x:2,4;n:2",),
                ("-dd", "x:2,4;n:2"),
            ]
        ),
        (("--dymDims", "x:4,3;n:4"), 3, "told the sizes x:4,3;n:4"),
        (("--dymDims", "x:2,3"), 3, "told the sizes x:2,3, "),
        (("--dymDims", "x"), 3, "told the sizes x, "),
    ],
)
def test_a_summary_of_another_gear(tmp_path, five, words, count, message):
    with pytest.raises(RunError, match=message):
        check_summary(read_summary(written(tmp_path, once(FIVE, *words, count=count))), five, 2)


def test_the_gear_is_checked_where_no_samples_are_listed(tmp_path, five):
    with pytest.raises(RunError, match="told the batch size 4"):
        check_summary(read_summary(written(tmp_path, once({}, "-db", "4", count=5))), five, 1)
