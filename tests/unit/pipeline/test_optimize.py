import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import parser

from inferry.core.errors import BackendError, UsageError
from inferry.passes.registry import PASSES
from inferry.passes.rewriting import Outcome
from inferry.pipeline.optimising.cases import Case
from inferry.pipeline.optimize import optimize

CASTS = """<ir_version: 8, opset_import: ["": 17]> g (int32[b, t] x) => (y) {
    a = Cast <to = 7> (x)
    b = Cast <to = 1> (a)
    y = Identity (b)
}"""


class Planted:
    """A pass that does what a test wants."""

    name = "planted"

    def __init__(self, change):
        self._change = change

    def apply(self, model):
        self._change(model)
        return Outcome(model, 1)


@pytest.fixture
def plant(monkeypatch):
    return lambda change: monkeypatch.setitem(PASSES, "planted", Planted(change))


@pytest.fixture
def source(tmp_path):
    onnx.save(parser.parse_model(CASTS), tmp_path / "in.onnx")
    return tmp_path / "in.onnx"


def test_the_ledger_says_what_was_done(source, tmp_path):
    before = source.read_bytes()
    ledger = optimize(source, tmp_path / "new" / "out.onnx", ["merge-casts", "clean-up", "merge-slices"])
    assert [(one.name, one.result, one.nodes_before, one.nodes_after) for one in ledger.entries] == [
        ("merge-casts", "kept", 3, 2),
        ("clean-up", "kept", 2, 1),
        ("merge-slices", "nothing to change", 1, 1),
    ]
    assert [one.difference for one in ledger.entries] == [0, 0, None]
    assert ledger.ok
    assert ledger.cases == ("b=1, t=4", "b=2, t=7", "b=3, t=16")
    assert ledger.signature["seed"] == 0
    assert [node.op_type for node in ir.load(tmp_path / "new" / "out.onnx").graph] == ["Cast"]
    assert source.read_bytes() == before
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out.onnx"]


def drop_type(model):
    model.graph[0].attributes["to"] = ir.AttrInt64("to", ir.DataType.INT8)


def cut(model):
    model.graph.outputs[0].name = "z"


def crash(_):
    raise IndexError("list index out of range")


def unknown_operator(model):
    model.graph[2].op_type = "NoSuchOperator"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_type, "cannot open|differs"),
        (cut, "its outputs are z, not y"),
        (crash, "IndexError: list index out of range"),
        (unknown_operator, "cannot open"),
    ],
)
def test_a_pass_that_breaks_is_rolled_back_and_the_next_one_goes_on(change, message, plant, source, tmp_path):
    plant(change)
    ledger = optimize(source, tmp_path / "out.onnx", ["planted", "merge-casts"])
    planted, merged = ledger.entries
    assert planted.result == "rolled back"
    assert any(part in planted.problem for part in message.split("|"))
    assert (planted.nodes_before, planted.nodes_after) == (3, 3)
    assert merged.result == "kept"
    assert ledger.difference == 0
    assert not ledger.ok
    assert [node.op_type for node in ir.load(tmp_path / "out.onnx").graph] == ["Cast", "Identity"]


def test_small_steps_may_not_add_up(plant, tmp_path):
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[b, 4] x) => (y) <float w = {1}> { y = Mul (x, w) }'
    onnx.save(parser.parse_model(text), tmp_path / "in.onnx")

    def drift(model):
        weight = model.graph.initializers["w"]
        weight.const_value = ir.Tensor(weight.const_value.numpy() + np.float32(7e-6), name="w")

    plant(drift)
    ledger = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["planted", "planted"])
    assert [one.result for one in ledger.entries] == ["kept", "rolled back"]
    assert [one.difference for one in ledger.entries] == pytest.approx([7e-6, 7e-6], rel=0.1)
    assert ledger.difference == pytest.approx(7e-6, rel=0.1)
    assert ledger.entries[1].node == ""  # no single step of the two breaks it


LAYER_NORM = "wav2vec2.encoder.layers.1.final_layer_norm.weight"


def spoil(model):
    weight = model.graph.initializers[LAYER_NORM]
    weight.const_value = ir.Tensor(weight.const_value.numpy() * np.float32(1.1), name=LAYER_NORM)


def run_kept(folder):
    """The outputs of the two kept files, each opened by itself."""
    inputs = dict(np.load(folder / "inputs.npz"))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    files = [folder / name for name in ("before.onnx", "after.onnx")]
    return [onnxruntime.InferenceSession(file, options).run(None, inputs) for file in files]


def test_the_smallest_part_that_shows_a_fault_is_kept(plant, tiny_bundle, tmp_path):
    plant(spoil)
    (entry,) = optimize(tiny_bundle.model, tmp_path / "out.onnx", ["planted"]).entries
    (reader,) = (use.node for use in ir.load(tiny_bundle.model).graph.initializers[LAYER_NORM].uses())
    assert entry.result == "rolled back"
    assert entry.node == reader.name
    folder = tmp_path / "out.onnx.failed" / "planted"
    assert entry.failure.folder == folder
    assert sorted(file.name for file in folder.iterdir()) == ["README.txt", "after.onnx", "before.onnx", "inputs.npz"]
    (before,), (after,) = run_kept(folder)
    assert np.abs(before - after).max() > 0.05 * np.abs(before).max()
    assert [len(ir.load(folder / name).graph) for name in ("before.onnx", "after.onnx")] == [1, 1]
    assert entry.failure.nodes == 1
    said = (folder / "README.txt").read_text()
    assert "The pass planted was rolled back: output logits differs" in said
    assert str(reader.name) in said


def test_a_part_reaches_back_to_the_tensors_that_agree(plant, tmp_path):
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[b, 4] x) => (y) {
        a = Exp (x) c = Neg (a) d = Abs (c) e = Sqrt (d) y = Sin (e) }"""
    onnx.save(parser.parse_model(text), tmp_path / "in.onnx")

    def rewrite(model):
        """Other nodes between a and e, and a fault in them."""
        graph = model.graph
        exp, *old, last = graph
        two = ir.node("Add", [exp.outputs[0], exp.outputs[0]], outputs=[ir.Value(name="new")])
        root = ir.node("Sqrt", two.outputs, outputs=[ir.Value(name="made")])
        graph.insert_before(last, [two, root])
        last.replace_input_with(0, root.outputs[0])
        graph.remove(old, safe=True)
        root.outputs[0].name = "e"

    plant(rewrite)
    (entry,) = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["planted"]).entries
    folder = entry.failure.folder
    assert list(np.load(folder / "inputs.npz")) == ["a"]
    assert entry.failure.tensor == "e"
    assert entry.failure.node == ""  # it may be the new node before it
    assert [[node.op_type for node in ir.load(folder / f).graph] for f in ("before.onnx", "after.onnx")] == [
        ["Neg", "Abs", "Sqrt"],
        ["Add", "Sqrt"],
    ]
    (before,), (after,) = run_kept(folder)
    assert after == pytest.approx(before * np.sqrt(2), rel=1e-5)


def test_the_whole_model_is_kept_where_names_are_not_shared(plant, tmp_path):
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[b, 4] x) => (y) { a = Exp (x) y = Sin (a) }'
    onnx.save(parser.parse_model(text), tmp_path / "in.onnx")

    def rename(model):
        model.graph[1].op_type = "Cos"
        model.graph.outputs[0].name = "z"

    plant(rename)
    (entry,) = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["planted"]).entries
    assert entry.failure.whole == "the outputs cannot be compared"
    assert entry.failure.nodes is None
    assert "before.onnx is the whole model before the pass" in (entry.failure.folder / "README.txt").read_text()
    (before,), (after,) = run_kept(entry.failure.folder)
    assert not np.allclose(before, after)


def test_nothing_stale_is_left_of_an_earlier_failure(plant, source, tmp_path):
    plant(drop_type)
    failed = tmp_path / "out.onnx.failed"
    first = optimize(source, tmp_path / "out.onnx", ["planted", "planted"])
    assert [entry.failure.folder.name for entry in first.entries] == ["planted", "planted-2"]
    assert sorted(folder.name for folder in failed.iterdir()) == ["planted", "planted-2"]
    optimize(source, tmp_path / "out.onnx", ["planted"])
    assert [folder.name for folder in failed.iterdir()] == ["planted"]
    optimize(source, tmp_path / "out.onnx", ["clean-up"])
    assert not failed.exists()


def test_what_is_not_ours_is_never_removed(source, tmp_path):
    (tmp_path / "out.onnx.failed" / "notes").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"out\.onnx\.failed holds what Inferry did not write"):
        optimize(source, tmp_path / "out.onnx", ["clean-up"])
    assert (tmp_path / "out.onnx.failed" / "notes").is_dir()


@pytest.mark.parametrize(("change", "files"), [(crash, 2), (unknown_operator, 3)])
def test_what_is_kept_where_nothing_runs(change, files, plant, source, tmp_path):
    plant(change)
    (entry,) = optimize(source, tmp_path / "out.onnx", ["planted"]).entries
    assert entry.failure.whole
    kept = sorted(file.name for file in entry.failure.folder.iterdir())
    assert kept == ["README.txt", "after.onnx", "before.onnx"][:: 1 if files == 3 else 2]
    assert "inputs.npz" not in (entry.failure.folder / "README.txt").read_text()


def test_the_words_of_the_runtime_are_one_line_without_a_path_that_is_gone(plant, source, tmp_path):
    plant(unknown_operator)
    (entry,) = optimize(source, tmp_path / "out.onnx", ["planted"]).entries
    assert entry.problem.startswith("ONNX Runtime cannot open model.onnx: ")
    assert "\n" not in entry.problem
    assert str(tmp_path) not in entry.problem


def test_the_other_name_of_onnx_s_own_domain(tmp_path):
    text = """<ir_version: 8, opset_import: ["ai.onnx": 17]> g (float[b, 4] x) => (float[b, 4] y) {
        a = Identity (x) y = ai.onnx.Neg (a) }"""
    onnx.save(parser.parse_model(text), tmp_path / "in.onnx")
    ledger = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", target="ascend310p")
    assert ledger.ok
    assert ledger.kept == ("clean-up",)
    assert ir.load(tmp_path / "out.onnx").graph.opset_imports == {"": 17}


def test_inputs_are_kept_of_what_opens_and_does_not_run(plant, source, tmp_path):
    def refuse_most_sizes(model):
        shape = ir.Value(name="shape", const_value=ir.tensor(np.array([4], np.int64), name="shape"))
        model.graph.register_initializer(shape)
        node = ir.node("Reshape", [model.graph[0].inputs[0], shape], outputs=[ir.Value(name="fixed")])
        model.graph.insert_before(model.graph[0], node)
        model.graph[1].replace_input_with(0, node.outputs[0])

    plant(refuse_most_sizes)
    (entry,) = optimize(source, tmp_path / "out.onnx", ["planted"]).entries
    assert entry.failure.whole == "what the pass made does not run"
    with pytest.raises(Exception, match="Reshape"):
        run_kept(entry.failure.folder)
    assert "print(file, ort.InferenceSession(file" in (entry.failure.folder / "README.txt").read_text()


def test_a_part_of_a_model_with_external_weights_stands_alone(plant, tmp_path):
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[b, 64] x) => (y) <float[1, 1] w = {1}> {
        a = MatMul (x, w) n = Neg (a) y = Sin (n) }"""
    model = ir.from_proto(parser.parse_model(text))
    model.graph.initializers["w"].shape = ir.Shape(weights.shape)
    model.graph.initializers["w"].const_value = ir.Tensor(weights, name="w")
    ir.save(model, tmp_path / "in.onnx", external_data="in.onnx.data")

    def double(model):
        weight = model.graph.initializers["w"]
        weight.const_value = ir.Tensor(weight.const_value.numpy() * np.float32(2), name="w")

    plant(double)
    (entry,) = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["planted"]).entries
    (before,), (after,) = run_kept(entry.failure.folder)
    assert after == pytest.approx(2 * before, rel=1e-5)


def test_sizes_are_fixed_first_and_every_case_has_them(tmp_path):
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[b, t] x) => (float[b, t] y) { y = Neg (x) }'
    onnx.save(parser.parse_model(text), tmp_path / "in.onnx")
    ledger = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["clean-up"], sizes={"b": 2, "t": 5})
    assert [entry.name for entry in ledger.entries] == ["fix-shapes", "clean-up"]
    assert ledger.cases == ("b=2, t=5",)
    graph = ir.load(tmp_path / "out.onnx").graph
    assert [list(value.shape) for value in (*graph.inputs, *graph.outputs)] == [[2, 5], [2, 5]]
    part = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["clean-up"], sizes={"t": 5})
    assert part.cases == ("b=1, t=5", "b=2, t=5", "b=3, t=5")


@pytest.mark.parametrize(("dtype", "result"), [("float16", "kept"), ("float32", "rolled back")])
def test_a_network_that_computes_in_fp16_is_proven_at_its_precision(dtype, result, plant, tmp_path):
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[b, 64] x) => (float[b, 64] y) <float w = {1}> {
        h = CastLike (x, w) a = Mul (h, w) y = Cast <to = 1> (a) }"""
    model = ir.from_proto(parser.parse_model(text))
    model.graph.initializers["w"].const_value = ir.Tensor(np.array(1, dtype), name="w")
    model.graph.initializers["w"].dtype = ir.DataType.from_numpy(np.dtype(dtype))
    ir.save(model, tmp_path / "in.onnx")

    def drift(model):
        old = model.graph.initializers["w"].const_value.numpy()
        model.graph.initializers["w"].const_value = ir.Tensor(old * old.dtype.type(1.001), name="w")

    plant(drift)
    (entry,) = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["planted"]).entries
    assert entry.result == result
    assert entry.difference == pytest.approx(1e-3, rel=0.2)


def test_real_inputs_in_place_of_made_up_ones(source, tmp_path):
    case = Case("my sample", {"x": np.array([[1, 2, 3]], np.int32)})
    assert optimize(source, tmp_path / "out.onnx", [], cases=[case]).cases == ("my sample",)


def test_a_domain_that_is_imported_twice_is_written_once(source, tmp_path):
    proto = onnx.load(source)
    proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx", 17))
    onnx.save(proto, source)
    assert optimize(source, tmp_path / "out.onnx", target="ascend310p").ok
    assert len(onnx.load(tmp_path / "out.onnx").opset_import) == 1


def test_what_the_target_would_still_refuse(tmp_path):
    text = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> g (float[b, 4] x) => (y) {
        y = com.microsoft.Gelu (x) }"""
    onnx.save(parser.parse_model(text), tmp_path / "in.onnx")
    ledger = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", target="ascend310p")
    assert ledger.problems == ("has operators of com.microsoft, for which the target has no parser (E19010)",)
    assert not ledger.ok
    assert optimize(tmp_path / "in.onnx", tmp_path / "out.onnx").ok


def test_external_weights_are_never_written_over(tmp_path):
    weight = ir.Tensor(np.ones((64, 64), np.float32), name="w")
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g (float[b, 64] x) => (y) <float[1, 1] w = {1}> { y = MatMul (x, w) }'
    )
    model = ir.from_proto(parser.parse_model(text))
    model.graph.initializers["w"].shape = ir.Shape(weight.shape)
    model.graph.initializers["w"].const_value = weight
    ir.save(model, tmp_path / "in.onnx", external_data="out.onnx.data")
    with pytest.raises(UsageError, match=r"reads its weights from .*out\.onnx\.data: choose another output"):
        optimize(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert optimize(tmp_path / "in.onnx", tmp_path / "other.onnx").ok
    assert (tmp_path / "other.onnx.data").stat().st_size == 4 * 64 * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "missing.onnx"}, "there is no ONNX file .*missing.onnx$"),
        ({"model": "."}, "is not a bundle: no manifest.json in it"),
        ({"output": "folder"}, r"in\.onnx is an ONNX file.*--output names one, not .*folder"),
        ({"sizes": {"b": 1, "time": 3}}, "--sizes: time is no dynamic dimension of an input; available: b, t"),
        ({"sizes": {"b": 0}}, "--sizes: b cannot be 0: a size is at least 1"),
        ({"output": "in.onnx"}, "is the model itself: choose another output"),
        ({"passes": ["unknown"]}, "unknown pass 'unknown'; available: "),
        ({"target": "unknown"}, "unknown target 'unknown'; available: "),
        ({"model": "text.onnx"}, "text.onnx cannot be read as an ONNX file"),
    ],
)
def test_calls_that_cannot_be_meant(change, message, source, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "folder").mkdir()
    given = {"model": "in.onnx", "output": "out.onnx"} | change
    paths = {name: tmp_path / given.pop(name) for name in ("model", "output")}
    with pytest.raises(UsageError, match=message):
        optimize(**paths, **given)
    assert not (tmp_path / "out.onnx").exists()


def test_a_model_that_the_runtime_refuses(tmp_path):
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[b] x) => (y) { y = NoSuchOperator (x) }'
    onnx.save(parser.parse_model(text), tmp_path / "in.onnx")
    with pytest.raises(BackendError, match="cannot open"):
        optimize(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["in.onnx"]
