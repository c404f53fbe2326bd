import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from inferry.pipeline.comparison.probing import Side
from inferry.pipeline.optimising.subgraph import cut_out, run_part

X = {"x": np.linspace(0.5, 2, 8, dtype=np.float32).reshape(2, 4)}
BODY = "a = Exp (x) c = Neg (a) d = Sin (c) e = Abs (d) y = Sqrt (e)"


def side(path, body, inputs="float[b, 4] x"):
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => (y) {{ {body} }}'), path)
    return Side(path, X)


def sides(tmp_path, before, after):
    return side(tmp_path / "a.onnx", before), side(tmp_path / "b.onnx", after)


def operators(model):
    return [node.op_type for node in model.graph]


def test_one_node_between_tensors_that_agree(tmp_path):
    part = cut_out(*sides(tmp_path, BODY, BODY.replace("Sin", "Cos")), "y", 1e-5)
    assert (operators(part.before), operators(part.after)) == (["Sin"], ["Cos"])
    assert part.inputs.keys() == {"c"}
    assert np.allclose(part.inputs["c"], -np.exp(X["x"]))
    assert (part.departure.tensor, part.nodes) == ("d", 1)


def test_what_one_side_alone_has_belongs_to_the_part(tmp_path):
    other = "a = Exp (x) c = Neg (a) p = Mul (c, c) d = Add (p, a) e = Abs (d) y = Sqrt (e)"
    part = cut_out(*sides(tmp_path, BODY, other), "y", 1e-5)
    assert (operators(part.before), operators(part.after)) == (["Sin"], ["Mul", "Add"])
    assert part.inputs.keys() == {"a", "c"}


def test_the_files_run_alone_and_differ(tmp_path):
    part = cut_out(*sides(tmp_path, BODY, BODY.replace("Sin", "Cos")), "y", 1e-5)
    for name, model in (("was.onnx", part.before), ("is.onnx", part.after)):
        ir.save(model, tmp_path / name)
    before, after = run_part(tmp_path / "was.onnx", tmp_path / "is.onnx", part.inputs)
    assert np.allclose(before["d"], np.sin(part.inputs["c"]), atol=1e-6)
    assert np.allclose(after["d"], np.cos(part.inputs["c"]), atol=1e-6)


def test_rounding_on_the_way_is_not_the_fault(tmp_path):
    """The pass rewrites a harmless place too; the part is where more is lost than a pass may change."""
    tiny = "small = Constant <value_float = 1.0000002> () a = Exp (x) s = Mul (a, small) c = Neg (s)"
    before = "one = Constant <value_float = 1.0> () a = Exp (x) s = Mul (a, one) c = Neg (s) d = Sin (c) y = Abs (d)"
    part = cut_out(*sides(tmp_path, before, f"{tiny} d = Cos (c) y = Abs (d)"), "y", 1e-5)
    assert part.departure.tensor == "d"
    assert operators(part.after) == ["Cos"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("y = Sin (x)", "y = Sin (x)"), ("a = Exp (x) y = Sin (a)", "a = Exp (x) y = Sin (a)")],
)
def test_forms_that_agree_have_no_part(before, after, tmp_path):
    assert cut_out(*sides(tmp_path, before, after), "y", 1e-5) is None


def test_subgraphs_keep_what_they_read(tmp_path):
    body = """a = Exp (x) c = Neg (a) yes = Constant <value = bool {{1}}> ()
        d = If (yes) <then_branch = then () => (float[2, 4] t) {{ t = {} (c) }},
                      else_branch = other () => (float[2, 4] o) {{ o = Identity (a) }}> y = Abs (d)"""
    part = cut_out(*sides(tmp_path, body.format("Sin"), body.format("Cos")), "y", 1e-5)
    assert part.inputs.keys() >= {"a", "c"}
    assert "If" in operators(part.after)
    for name, model in (("was.onnx", part.before), ("is.onnx", part.after)):
        ir.save(model, tmp_path / name)
    before, after = run_part(tmp_path / "was.onnx", tmp_path / "is.onnx", part.inputs)
    assert not np.allclose(before["d"], after["d"])


def test_a_loop_is_cut_out_whole(tmp_path):
    body = """a = Exp (x) n = Constant <value = int64 {{3}}> () go = Constant <value = bool {{1}}> ()
        d = Loop (n, go, a) <body = b (int64 i, bool on, float[2, 4] s) => (bool again, float[2, 4] r) {{
            again = Identity (on) r = {} (s) }}> y = Abs (d)"""
    part = cut_out(*sides(tmp_path, body.format("Sin"), body.format("Cos")), "y", 1e-5)
    assert "Loop" in operators(part.after)
    assert "a" in part.inputs
    assert not {"i", "on", "s"} & part.inputs.keys()
