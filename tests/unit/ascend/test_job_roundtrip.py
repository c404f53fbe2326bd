"""Written, run by the simulator, read: the outputs are those of a direct run."""

import shutil

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from inferry.ascend.job_inputs import verify_inputs, write_inputs
from inferry.ascend.job_manifest import read_manifest
from inferry.ascend.job_outputs import read_outputs
from inferry.ascend.job_rules import input_problems
from inferry.ascend.job_summary import check_summary, read_summary, summary_path
from inferry.core.specs import TensorSpec
from inferry.core.tolerances import LOGITS

OUTPUTS = (
    TensorSpec("sum", "float32", ("batch", 3)),
    TensorSpec("next", "int32", ("batch",)),
    TensorSpec("kept", "bool", ("batch", 3)),
)
ROUNDED = {"BIN": 0.0, "NPY": 0.0, "TXT": 6e-7}
"""What a format loses: a text holds six decimals."""


def specs(x="float32"):
    return [TensorSpec("x", x, ("batch", 3)), TensorSpec("n", "int32", ("batch",))]


def write_graph(path, x="float32"):
    """sum = x + n, next = n + n, kept = x > n; each row alone."""
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(x))
    make, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    kinds = onnx.TensorProto
    nodes = [
        node("Cast", ["x"], ["wide"], to=kinds.FLOAT),
        node("Cast", ["n"], ["count"], to=kinds.FLOAT),
        node("Unsqueeze", ["count", "one"], ["column"]),
        node("Add", ["wide", "column"], ["sum"]),
        node("Add", ["n", "n"], ["next"]),
        node("Greater", ["wide", "column"], ["kept"]),
    ]
    inputs = [make("x", element, ["batch", 3]), make("n", kinds.INT32, ["batch"])]
    outputs = [make("sum", kinds.FLOAT, ["batch", 3]), make("next", kinds.INT32, ["batch"])]
    outputs.append(make("kept", kinds.BOOL, ["batch", 3]))
    one = onnx.numpy_helper.from_array(np.array([1], np.int64), "one")
    graph = onnx.helper.make_graph(nodes, "rows", inputs, outputs, [one])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def rows(count):
    generator = np.random.default_rng(3)
    return [
        (f"set/b.{i:02d} é", {"x": generator.standard_normal(1 + i % 3).astype(np.float32), "n": np.array(i)})
        for i in range(count)
    ]


def expected(arrays, x="float32"):
    padded = np.zeros(3, np.float32)
    padded[: len(arrays["x"])] = arrays["x"].astype(x)
    n = np.float32(arrays["n"])
    return {"sum": padded + n, "next": np.int32(2 * n), "kept": padded > n}


def model_of(ais_bench, folder, batch, x="float32"):
    return ais_bench.OfflineModel(write_graph(folder / "rows.onnx", x), {"x": (batch, 3), "n": (batch,)})


def argument(manifest, job):
    return ",".join(map(str, manifest.folders(job)))


def require_same(found, given, fmt="BIN", x="float32"):
    assert [sample for sample, _ in found] == [sample for sample, _ in given]
    for (_, arrays), (_, inputs) in zip(found, given, strict=True):
        for name, value in expected(inputs, x).items():
            np.testing.assert_allclose(arrays[name], value, rtol=0, atol=ROUNDED[fmt])
            assert arrays[name].dtype == value.dtype


@pytest.mark.parametrize("fmt", ["BIN", "NPY", "TXT"])
@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
def test_every_batch_size_and_format(ais_bench, tmp_path, batch, fmt):
    given = rows(7)
    write_inputs(tmp_path / "job", specs(), given)
    manifest = verify_inputs(tmp_path / "job")
    model = model_of(ais_bench, tmp_path, batch)
    folder = ais_bench.run(model, argument(manifest, tmp_path / "job"), tmp_path / "out", outfmt=fmt)
    require_same(list(read_outputs(folder, manifest, OUTPUTS)), given, fmt)
    summary = read_summary(summary_path(folder))
    check_summary(summary, manifest, batch)
    runs = -(-7 // batch)
    assert summary.timings.compute.count == len(summary.timings.durations) == runs
    assert summary.timings.compute.mean == pytest.approx(np.mean(summary.timings.durations))
    assert summary.timings.throughput == pytest.approx(1000 * batch / summary.timings.compute.mean)
    assert len(summary.files) == 7


@pytest.mark.parametrize("fmt", ["BIN", "NPY", "TXT"])
def test_half_precision_inputs(ais_bench, tmp_path, fmt):
    given = rows(4)
    manifest = write_inputs(tmp_path / "job", specs("float16"), given)
    model = model_of(ais_bench, tmp_path, 2, "float16")
    folder = ais_bench.run(model, argument(manifest, tmp_path / "job"), tmp_path / "out", outfmt=fmt)
    require_same(list(read_outputs(folder, manifest, OUTPUTS)), given, fmt, "float16")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_pipeline_lists_no_files(ais_bench, tmp_path, threads):
    given = rows(3)
    manifest = write_inputs(tmp_path / "job", specs(), given)
    model = model_of(ais_bench, tmp_path, 1)
    taken = argument(manifest, tmp_path / "job")
    folder = ais_bench.run(model, taken, tmp_path / "out", pipeline=True, threads=threads)
    require_same(list(read_outputs(folder, manifest, OUTPUTS)), given)
    summary = read_summary(summary_path(folder))
    check_summary(summary, manifest, 1)
    assert summary.files == ()
    assert len(summary.timings.intervals) == (3 if threads > 1 else 0)
    assert (summary.timings.compute.p99 is None) == (threads > 1)


def test_a_loop_is_timed_and_written_once(ais_bench, tmp_path):
    given = rows(3)
    manifest = write_inputs(tmp_path / "job", specs(), given)
    model = model_of(ais_bench, tmp_path, 2)
    folder = ais_bench.run(model, argument(manifest, tmp_path / "job"), tmp_path / "out", loop=5)
    require_same(list(read_outputs(folder, manifest, OUTPUTS)), given)
    assert read_summary(summary_path(folder)).timings.compute.count == 10


def test_files_instead_of_folders(ais_bench, tmp_path):
    given = rows(3)
    manifest = write_inputs(tmp_path / "job", specs(), given)
    files = [str(one / f"{row.stem}.bin") for one in manifest.folders(tmp_path / "job") for row in manifest.rows]
    folder = ais_bench.run(model_of(ais_bench, tmp_path, 2), ",".join(files), tmp_path / "out")
    require_same(list(read_outputs(folder, manifest, OUTPUTS)), given)
    with pytest.raises(ais_bench.AisBenchError, match="fileslist not match"):
        ais_bench.run(model_of(ais_bench, tmp_path, 2), ",".join(files[1:]), tmp_path / "out")


def test_a_job_survives_a_move(ais_bench, tmp_path):
    given = rows(3)
    write_inputs(tmp_path / "job", specs(), given)
    shutil.make_archive(str(tmp_path / "job"), "tar", tmp_path / "job")
    shutil.unpack_archive(tmp_path / "job.tar", tmp_path / "there", filter="tar")
    manifest = read_manifest(tmp_path / "there")
    assert input_problems(manifest.folders(tmp_path / "there")) == ()
    folder = ais_bench.run(model_of(ais_bench, tmp_path, 2), argument(manifest, tmp_path / "there"), tmp_path / "out")
    require_same(list(read_outputs(folder, manifest, OUTPUTS)), given)


def test_the_simulator_is_as_strict_as_ais_bench(ais_bench, tmp_path):
    manifest = write_inputs(tmp_path / "job", specs(), rows(3))
    one, two = manifest.folders(tmp_path / "job")
    model = model_of(ais_bench, tmp_path, 1)
    for taken, message in [
        (f"{one}", "1 folders, the model has 2 inputs"),
        (f"{two},{one}", "arg0 tensorsize:12 filesize:4 not match|n: tensorsize:4 filesize:36 not match"),
        (f"{one},{two / '000000.bin'}", "all files or all folders"),
        (",".join([str(one / "000000.bin")] * 1025), "too many"),
    ]:
        with pytest.raises(ais_bench.AisBenchError, match=message):
            ais_bench.run(model, taken, tmp_path / "out")
    with pytest.raises(ais_bench.AisBenchError, match="pipeline one file is one tensor"):
        ais_bench.run(model_of(ais_bench, tmp_path, 2), f"{one},{two}", tmp_path / "out", pipeline=True)
    with pytest.raises(ais_bench.AisBenchError, match="save out files error"):
        ais_bench.run(model_of(ais_bench, tmp_path, 2), f"{one},{two}", tmp_path / "out", axis=1)


def test_names_with_dots_lose_outputs(ais_bench, tmp_path):
    """Why no name of ours holds a dot: the second of these files overwrites the first one's outputs."""
    manifest = write_inputs(tmp_path / "job", specs(), rows(2))
    for folder in manifest.folders(tmp_path / "job"):
        for index in range(2):
            (folder / f"00000{index}.bin").rename(folder / f"a.{index}.bin")
    folder = ais_bench.run(model_of(ais_bench, tmp_path, 1), argument(manifest, tmp_path / "job"), tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["a_0.bin", "a_1.bin", "a_2.bin"]
    assert any("2 files are called a.*" in text for text in input_problems(manifest.folders(tmp_path / "job")))


GEAR = {"samples": 4000, "time": 60, "boxes": 7, "tokens": 9}
"""Sizes that the dynamic dimensions of the five families are compiled for."""


def compiled(spec):
    return TensorSpec(spec.name, spec.dtype, ("batch", *(GEAR.get(str(dim), dim) for dim in spec.dims[1:])))


def sample_of(inputs, seed):
    """Random features of a true size within the gear; masks and lengths say it."""
    generator = np.random.default_rng(seed)
    sizes = {dim: size - generator.integers(0, 1 + size // 3) for dim, size in GEAR.items()}
    main = {"spectrogram": sizes["time"]}.get(inputs[0].name, sizes["samples"])

    def array(spec):
        shape = tuple(sizes.get(dim, dim) for dim in spec.dims[1:])
        if spec.name == "input_lengths":
            return np.array(main)
        if spec.dtype == "bool":
            return np.ones(shape, bool)
        if spec.dtype == "int64":
            return generator.integers(0, 2, shape)
        return generator.random(shape, np.float32)

    return {spec.name: array(spec) for spec in inputs}


@pytest.fixture(scope="module")
def bundles(tiny_bundles, picture_bundle, question_bundle):
    return tiny_bundles | {"beit": picture_bundle, "vilbert-vqa": question_bundle}


@pytest.mark.parametrize("family", ["wav2vec2", "data2vec-audio", "deepspeech2", "beit", "vilbert-vqa"])
def test_all_families(ais_bench, bundles, tmp_path, family):
    bundle = bundles[family]
    inputs, outputs = bundle.manifest.inputs, bundle.manifest.outputs
    given = [(f"sample {seed}", sample_of(inputs, seed)) for seed in range(3)]
    manifest = write_inputs(tmp_path / "job", [compiled(spec) for spec in inputs], given)
    model = ais_bench.OfflineModel(bundle.model, {spec.name: (2, *compiled(spec).dims[1:]) for spec in inputs})
    folder = ais_bench.run(model, argument(manifest, tmp_path / "job"), tmp_path / "out")
    check_summary(read_summary(summary_path(folder)), manifest, 2)
    session = ort.InferenceSession(str(bundle.model), providers=["CPUExecutionProvider"])
    for (_, found), (_, arrays) in zip(read_outputs(folder, manifest, outputs), given, strict=True):
        alone = session.run(None, {name: value[None] for name, value in arrays.items()})
        for spec, (value,) in zip(outputs, alone, strict=True):
            # The gear pads; what the sample alone has is the beginning.
            cut = found[spec.name][tuple(slice(size) for size in value.shape)]
            np.testing.assert_allclose(cut, value, rtol=0, atol=LOGITS["fp32"])
