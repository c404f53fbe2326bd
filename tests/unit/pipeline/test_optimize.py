import numpy as np
import onnx
import onnx_ir as ir
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


def test_the_node_that_a_pass_breaks_is_named(plant, tiny_bundle, tmp_path):
    name = "wav2vec2.encoder.layers.1.final_layer_norm.weight"

    def spoil(model):
        weight = model.graph.initializers[name]
        weight.const_value = ir.Tensor(weight.const_value.numpy() * np.float32(1.1), name=name)

    plant(spoil)
    (entry,) = optimize(tiny_bundle.model, tmp_path / "out.onnx", ["planted"]).entries
    (reader,) = (use.node for use in ir.load(tiny_bundle.model).graph.initializers[name].uses())
    assert entry.result == "rolled back"
    assert entry.node == reader.name


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
        ({"model": "."}, "a bundle's is model.onnx"),
        ({"output": "in.onnx"}, "is the model itself: choose another output"),
        ({"passes": ["unknown"]}, "unknown pass 'unknown'; available: "),
        ({"target": "unknown"}, "unknown target 'unknown'; available: "),
        ({"model": "text.onnx"}, "text.onnx cannot be read as an ONNX file"),
    ],
)
def test_calls_that_cannot_be_meant(change, message, source, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
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
