"""The simulated atc and ais_bench refuse what the real ones refuse, and compute what they are told."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

BATCHES = {"input_shape": "values:-1,5;lengths:-1", "dynamic_batch_size": "1,4"}
DIMS = {"input_shape": "values:-1,-1;lengths:-1", "dynamic_dims": "1,5,1;4,8,4", "input_format": "ND"}
SIZES = {"input_shape": "pixels:2,3,-1,-1", "dynamic_image_size": "4,6;6,4", "input_format": "NCHW"}
STATIC = {"input_shape": "values:2,5;lengths:2"}
AIPP = """aipp_op {
  aipp_mode: static  related_input_rank: 0  input_format: RGB888_U8
  src_image_size_w: 6  src_image_size_h: 4  crop: false  csc_switch: false
  mean_chn_0: 123 mean_chn_1: 116 mean_chn_2: 103  min_chn_0: 0.675 min_chn_1: 0.28 min_chn_2: 0.53
  var_reci_chn_0: 0.0171 var_reci_chn_1: 0.0175 var_reci_chn_2: 0.0174 }
"""


@pytest.fixture
def atc(cann, npu, tmp_path, capsys):
    """Compile one of the simulator's graphs: `atc(graph, **options)` gives the code and what was printed."""

    def run(graph="sound", **options):
        npu.write_graph(graph, tmp_path / "model.onnx")
        words = {"model": "model.onnx", "framework": "5", "output": "model", "soc_version": "Ascend310P3", **options}
        code = cann.atc([f"--{key}={value}" for key, value in words.items() if value is not None], tmp_path)
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def bench(cann, tmp_path, capsys):
    """Run the om: `bench(**options)` gives the code, what was printed and the summary."""

    def run(**options):
        words = {"model": tmp_path / "model.om", "output": tmp_path / "out", "output_dirname": "r", **options}
        pairs = [(f"--{key}", str(value)) for key, value in words.items() if value is not None]
        code = cann.ais_bench([word for pair in pairs for word in pair])
        file = tmp_path / "out" / "r_summary.json"
        return code, capsys.readouterr().out, json.loads(file.read_text()) if file.is_file() else None

    return run


def write_inputs(folder, arrays, name):
    """One folder of files for an input."""
    target = folder / name
    target.mkdir(mode=0o750)
    for index, array in enumerate(arrays):
        np.asarray(array).tofile(target / f"{index:06}.bin")
        (target / f"{index:06}.bin").chmod(0o640)
    return str(target)


def sounds(folder, count, length):
    values = np.random.default_rng(0).standard_normal((count, length)).astype(np.float32)
    return values, ",".join(
        (write_inputs(folder, values, "0"), write_inputs(folder, np.full(count, length, np.int64), "1"))
    )


@pytest.mark.parametrize(
    ("graph", "options"),
    [("sound", STATIC), ("sound", BATCHES), ("sound", DIMS), ("picture", SIZES)],
    ids=["static", "batch", "dims", "image"],
)
def test_a_good_command_makes_an_om(atc, tmp_path, graph, options):
    code, text = atc(graph, **options)
    assert (code, text.count("ATC run success")) == (0, 1)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".om"] == ["model.om"]


@pytest.mark.parametrize(
    ("code", "graph", "options"),
    [
        ("E10007", "sound", {"framework": None}),
        ("E10054", "sound", {"soc_version": None}),
        ("E10001", "sound", {**STATIC, "soc_version": "Atlas"}),
        ("E10001", "sound", {**STATIC, "output": "my model"}),
        ("E10001", "sound", {**STATIC, "model": "other.onnx"}),
        ("E10009", "sound", {**BATCHES, "dynamic_dims": "1;2"}),
        ("E10004", "sound", {**BATCHES, "input_shape": None}),
        ("E10002", "sound", {"input_shape": "values"}),
        ("E10014", "sound", {"input_shape": "values:2,x;lengths:2"}),
        ("E10040", "sound", {**DIMS, "input_shape": "values:-1,1~8;lengths:-1"}),
        ("E10016", "sound", {"input_shape": "sounds:2,5;lengths:2"}),
        ("E10049", "sound", {"input_shape": "values:2;lengths:2"}),
        ("EZ9999", "picture", {"input_shape": "pixels:2,1,4,4"}),
        ("E10004", "sound", {"input_shape": "values:2,5"}),
        ("E10003", "sound", {**BATCHES, "dynamic_batch_size": "1;4"}),
        ("E10035", "sound", {**BATCHES, "dynamic_batch_size": "4"}),
        ("E10036", "sound", {**BATCHES, "dynamic_batch_size": ",".join(map(str, range(1, 102)))}),
        ("E10039", "sound", {**BATCHES, "dynamic_batch_size": "4,4"}),
        ("E10012", "sound", {**BATCHES, "input_shape": "values:-1,5;lengths:"}),
        ("E10018", "sound", {**BATCHES, "input_shape": "values:-1,-1;lengths:-1"}),
        ("E10031", "sound", {**BATCHES, "input_shape": "values:2,-1;lengths:2"}),
        ("E10019", "picture", {**SIZES, "input_shape": "pixels:-1,3,-1,6"}),
        ("E10020", "picture", {**SIZES, "dynamic_image_size": "4,6,6;4,6,4"}),
        ("E10003", "picture", {**SIZES, "input_format": "ND"}),
        ("E10003", "picture", {**SIZES, "input_format": None}),
        ("E10001", "sound", {**DIMS, "dynamic_dims": "1,5,1; 4,8,4"}),
        ("E10003", "sound", {**DIMS, "input_format": "NCHW"}),
        ("E10003", "sound", {**DIMS, "input_format": None}),
        ("E10001", "sound", {**STATIC, "input_format": "NHWC"}),
        ("E10002", "sound", {"input_shape": "values:2,5;lengths:2;"}),
        ("E10011", "sound", {"input_shape": "values:0,5;lengths:2"}),
        ("E10001", "sound", {**STATIC, "precision_mode": "fp16"}),
        ("E10001", "sound", {**STATIC, "precision_mode_v2": "force_fp16"}),
        ("E10001", "sound", {**STATIC, "jit_compile": "3"}),
        ("E10001", "sound", {**STATIC, "optypelist_for_implmode": "Gelu"}),
        ("unknown", "sound", {**STATIC, "deterministic": "1"}),
        ("E10003", "sound", {**DIMS, "dynamic_dims": "1,5;4,8"}),
        ("E10058", "sound", {**DIMS, "dynamic_dims": ""}),
        ("E10056", "sound", {**STATIC, "precision_mode": "force_fp32", "precision_mode_v2": "origin"}),
        ("E10001", "sound", {**STATIC, "precision_mode_v2": "fp8"}),
        ("E10016", "sound", {**STATIC, "input_fp16_nodes": "sounds"}),
        ("unknown", "sound", {**STATIC, "precision": "fp16"}),
    ],
)
def test_what_atc_refuses_is_refused(atc, tmp_path, code, graph, options):
    returned, text = atc(graph, **options)
    assert returned != 0
    assert "ATC run failed, Please check the detail log" in text
    assert f"\n{code}: " in text
    assert not (tmp_path / "model.om").exists()


@pytest.mark.parametrize(
    ("code", "options", "text"),
    [
        ("E10001", {"modify_mixlist": "file"}, '{"black-list": {"to-add": ["Add"]}}'),
        ("E10001", {"modify_mixlist": "file", "precision_mode_v2": "mixed_float16"}, '{"grey-list": {}}'),
        ("E10001", {"op_precision_mode": "file"}, "[ByOpType]\nAdd=exact\n"),
        ("E10001", {"insert_op_conf": "file"}, AIPP.replace("123", "123.675")),
        ("E10001", {"insert_op_conf": "file"}, AIPP.replace("src_image_size_w: 6", "src_image_size_w: 8")),
        ("E10001", {"insert_op_conf": "file"}, AIPP.replace("crop: false", "crop: true")),
        ("E10001", {"insert_op_conf": "file", "input_fp16_nodes": "pixels"}, AIPP),
        ("E10001", {"insert_op_conf": "file", "input_format": "ND"}, AIPP),
    ],
)
def test_files_that_atc_refuses_are_refused(atc, tmp_path, code, options, text):
    (tmp_path / "file").write_text(text)
    returned, printed = atc("picture", input_shape="pixels:2,3,4,6", **options)
    assert returned != 0
    assert f"\n{code}: " in printed


def test_aipp_and_dynamic_dims_exclude_each_other(atc, tmp_path):
    (tmp_path / "file").write_text(AIPP)
    options = {"input_shape": "pixels:-1,3,4,6", "dynamic_dims": "1;2", "input_format": "ND"}
    assert atc("picture", **options)[0] == 0
    returned, printed = atc("picture", **options, insert_op_conf="file")
    assert returned != 0
    assert "\nE10001: [--insert_op_conf] is not allowed with [--dynamic_dims]" in printed


def test_dims_are_set_in_the_order_of_the_command(atc, bench, tmp_path):
    assert atc(**{**DIMS, "input_shape": "lengths:-1;values:-1,-1", "dynamic_dims": "1,1,5;4,4,8"})[0] == 0
    _, folders = sounds(tmp_path, 1, 5)
    code, text, _ = bench(input=folders, dymDims="values:1,5;lengths:1")
    assert (code != 0, "is no gear" in text) == (True, True)
    assert bench(input=folders, dymDims="lengths:1;values:1,5")[0] == 0


def test_the_opset_is_checked(cann, npu, tmp_path, capsys):
    model = onnx.load(npu.write_graph("sum", tmp_path / "model.onnx"))
    words = ["--model=model.onnx", "--framework=5", "--output", "model", "-soc_version=Ascend310P3"]
    words += ["--input-shape", "values:2,3"]
    for version, code in ((17, 0), (19, 255)):
        model.opset_import[0].version = version
        onnx.save(model, tmp_path / "model.onnx")
        assert cann.atc(words, tmp_path) == code
    assert "E19010" in capsys.readouterr().out


def test_half_precision_rounds_every_step(atc, bench, tmp_path):
    atc(**STATIC, precision_mode_v2="fp16", input_fp16_nodes="values", output_type="FP16")
    values = np.array([[0.1, 1.001, 40_000, -40_000, 3]] * 2, np.float16)
    folders = f"{write_inputs(tmp_path, values, '0')},{write_inputs(tmp_path, np.array([5, 5]), '1')}"
    code, _, summary = bench(input=folders)
    assert code == 0
    found = np.fromfile(summary["filesinfo"]["0"]["outfiles"][0], np.float16)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, values[0] + values[0])
    assert np.isinf(found[2])


@pytest.fixture
def named_node(cann, tmp_path, capsys):
    """Compile a graph whose one node is called `keep`, with a file `kept`."""

    def run(mode, kept):
        model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
            sum (float[2] values) => (float[2] total) { [keep] total = Add(values, values) }""")
        onnx.save(model, tmp_path / "model.onnx")
        (tmp_path / "kept").write_text(f"{kept}\n")
        words = "--model=model.onnx --framework=5 --output=model --soc_version=Ascend310P3 --keep_dtype=kept"
        assert cann.atc([*words.split(), f"--precision_mode_v2={mode}"], tmp_path) == 0
        capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("options", "exact"),
    [
        (("fp16", ""), False),
        (("fp16", "keep"), True),
        (("fp16", "OpType::Add"), True),
        (("origin", ""), True),
        (("mixed_float16", ""), True),
    ],
)
def test_precision_is_what_was_asked_for(named_node, bench, tmp_path, options, exact):
    named_node(*options)
    values = np.array([0.1, 1.001], np.float32)
    _, _, summary = bench(input=write_inputs(tmp_path, [values], "0"))
    found = np.fromfile(summary["filesinfo"]["0"]["outfiles"][0], np.float32)
    assert np.array_equal(found, values + values) == exact
    np.testing.assert_allclose(found, values + values, rtol=2e-3)


def test_graphs_within_graphs_are_rounded_too(cann, bench, tmp_path, capsys):
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
        branches (float[2] values) => (float[2] total) {
          zero = Constant<value = float {0.0}>()
          sum = ReduceSum<keepdims=0>(values)
          positive = Greater(sum, zero)
          total = If (positive) <
            then_branch = then () => (float[2] more) { more = Add(values, values) },
            else_branch = other () => (float[2] less) { less = Neg(values) }>
        }""")
    onnx.save(model, tmp_path / "model.onnx")
    words = "--model=model.onnx --framework=5 --output=model --soc_version=Ascend310P3"
    assert cann.atc(words.split(), tmp_path) == 0
    capsys.readouterr()
    values = np.array([0.1, 1.001], np.float32)
    _, _, summary = bench(input=write_inputs(tmp_path, [values], "0"))
    half = values.astype(np.float16)
    np.testing.assert_array_equal(np.fromfile(summary["filesinfo"]["0"]["outfiles"][0], np.float32), half + half)


def test_aipp_takes_bytes_and_computes_in_half_precision(atc, bench, tmp_path):
    (tmp_path / "aipp.cfg").write_text(AIPP)
    assert atc("picture", input_shape="pixels:2,3,4,6", insert_op_conf="aipp.cfg", precision_mode_v2="origin")[0] == 0
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), np.uint8)
    _, _, summary = bench(input=write_inputs(tmp_path, pixels, "0"))
    half = (pixels.astype(np.float16) - np.float16([123, 116, 103]) - np.float16([0.675, 0.28, 0.53])) * np.float16(
        [0.0171, 0.0175, 0.0174]
    )
    for index in range(2):
        found = np.fromfile(summary["filesinfo"][str(index)]["outfiles"][0], np.float32)
        np.testing.assert_allclose(found, half[index].astype(np.float32).mean((0, 1)), rtol=1e-5)


def test_ais_bench_fills_the_gear_and_writes_what_is_documented(atc, bench, tmp_path):
    atc(**BATCHES)
    values, folders = sounds(tmp_path, 6, 5)
    code, text, summary = bench(input=folders, dymBatch=4, loop=3, warmup_count=2, display_all_summary=1)
    assert code == 0
    files = sorted(file.name for file in (tmp_path / "out" / "r").iterdir())
    assert files == [f"00000{index}_{output}.bin" for index in range(6) for output in (0, 1)]
    for index in range(6):
        row = summary["filesinfo"][str(index)]
        assert [Path(file).parent.name for file in row["infiles"]] == ["0", "1"]
        np.testing.assert_allclose(np.fromfile(row["outfiles"][0], np.float32), 2 * values[index], rtol=2e-3)
    assert summary["NPU_compute_time"]["count"] == len(summary["npu_compute_time_list"]) == 6
    assert summary["throughput"] == pytest.approx(4000 / summary["NPU_compute_time"]["mean"])
    assert re.search(r"\[INFO\] NPU_compute_time \(ms\): min = \S+, max = \S+, mean = \S+, median = \S+, percent", text)
    assert re.search(r"\[INFO\] throughput 1000\*batchsize\.mean\(4\)/NPU_compute_time\.mean\(\S+\): \S+", text)
    assert "H2D_latency" in text


@pytest.mark.parametrize(
    ("options", "run", "message"),
    [
        (STATIC, {"dymBatch": 2}, "the om is static"),
        (BATCHES, {}, "none is set"),
        (BATCHES, {"dymBatch": 2}, "is no gear"),
        (BATCHES, {"dymDims": "values:1,5;lengths:1"}, "the om is batch"),
        (DIMS, {"dymDims": "values:1,100000;lengths:1"}, "one to five digits"),
        (DIMS, {"dymDims": "values:1,5;lengths:"}, "one to five digits"),
        (DIMS, {"dymDims": "values:1,5"}, "the om takes"),
        (DIMS, {"dymDims": "values:1:5;lengths:1"}, "one colon"),
        (DIMS, {"dymDims": "values:1,8;lengths:1"}, "is no gear"),
        (STATIC, {"model": "model.onnx"}, "is no om file"),
        (STATIC, {"output": None}, "needs output"),
    ],
)
def test_what_ais_bench_refuses_is_refused(atc, bench, options, run, message):
    atc(**options)
    code, text, summary = bench(**run)
    assert code != 0
    assert "[ERROR]" in text
    assert message in text
    assert summary is None


def test_ais_bench_refuses_sizes_that_do_not_match(atc, bench, tmp_path):
    atc(**DIMS)
    _, folders = sounds(tmp_path, 2, 7)
    code, text, _ = bench(input=folders, dymDims="values:4,8;lengths:4")
    assert code != 0
    assert "not match" in text


@pytest.mark.parametrize("words", [["--dymBatch", "5000"], ["--loop", "0"], ["--outfmt", "JSON"], ["--dymbatch", "1"]])
def test_ais_bench_refuses_values_beyond_their_ranges(cann, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cann.ais_bench(["--model", "model.om", *words])
    assert stopped.value.code == 2
    capsys.readouterr()


def test_without_input_one_sample_is_made_up(atc, bench, tmp_path):
    atc("picture", **SIZES)
    code, _, summary = bench(**{"dym-hw": "6,4", "outfmt": "NPY", "output-dirname": "r", "output_dirname": None})
    assert code == 0
    assert summary["filesinfo"] == {}
    assert np.load(tmp_path / "out" / "r" / "pure_infer_data_0.npy").shape == (2, 3)


def test_the_programs_are_executables(cann, npu, tmp_path):
    programs = cann.install(tmp_path)
    npu.write_graph("sum", tmp_path / "model.onnx")
    command = (
        f"{programs}/atc --model=model.onnx --framework=5 --output=m --soc_version=Ascend310P3 --input_shape=values:2,3"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [programs / "ais_bench", "-om", "m.om"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "[INFO] throughput" in done.stdout
    assert subprocess.run([programs / "atc"], check=False, capture_output=True).returncode == 255
