"""Small graphs in which a careless pass goes wrong, through every target's passes: the answers must stay."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from inferry.passes.registry import TARGETS
from inferry.pipeline.optimising.cases import made_up_cases
from inferry.pipeline.optimize import optimize

FLOAT, HALF, INT, BOOL = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL
node = helper.make_node


def info(name, kind=FLOAT, dims=None):
    return helper.make_tensor_value_info(name, kind, dims)


def model(nodes, inputs, outputs, weights=None, *, opset=17, ir_version=8, extra=(), functions=()):
    made = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "trap", inputs, outputs, made)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in extra)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions))


def ints(*values):
    return np.array(values, np.int64)


def shared_initializer():
    """One index serves a Gather along a fixed axis and an addition."""
    nodes = [node("Gather", ["x", "last"], ["g"], "g", axis=1), node("Add", ["n", "last"], ["m"], "m")]
    return model(
        nodes, [info("x", FLOAT, ["b", 5]), info("n", INT, ["b"])], [info("g"), info("m", INT)], {"last": ints(-1)}
    )


def shared_mask():
    """A large negative number is a mask here and an output there."""
    nodes = [node("Mul", ["x", "big"], ["y"], "y")]
    return model(nodes, [info("x", FLOAT, ["b", 4])], [info("y")], {"big": np.float32(-1e9)})


def name_clash():
    """The names that a pass would give to what it makes are taken."""
    nodes = [
        node("Gather", ["x", "i"], ["g_Slice_1"], "g", axis=1),
        node("Relu", ["g_start_1"], ["g_Squeeze_1"], "g_Slice_2"),
        node("Neg", ["g_Slice_1"], ["g_end_1"], "g_axis_1"),
    ]
    inputs = [info("x", FLOAT, ["b", "t"]), info("g_start_1", FLOAT, ["b"])]
    return model(nodes, inputs, [info("g_end_1"), info("g_Squeeze_1")], {"i": np.array(-1, np.int64)})


def subgraph():
    """Both branches of an If read weights and values of the outer graph, one hands an outer value out."""
    then = helper.make_graph([node("Identity", ["h"], ["then_out"], "same")], "then", [], [info("then_out")])
    nodes = [
        node("Constant", [], ["c"], "c", value=numpy_helper.from_array(ints(-1))),
        node("Gather", ["h", "c"], ["e"], "e", axis=1),
        node("Concat", ["e", "h"], ["f"], "f", axis=1),
        node("Concat", ["f", "h"], ["f2"], "f2", axis=-1),
        node("Slice", ["f2", "one", "end", "one"], ["else_out"], "s"),
    ]
    otherwise = helper.make_graph(nodes, "else", [], [info("else_out")])
    outer = [
        node("Relu", ["x"], ["h"], "h"),
        node("ReduceSum", ["x"], ["total"], "total", keepdims=0),
        node("Greater", ["total", "zero"], ["positive"], "positive"),
        node("If", ["positive"], ["y"], "if", then_branch=then, else_branch=otherwise),
    ]
    weights = {"zero": np.float32(0), "one": ints(1), "end": ints(99)}
    return model(outer, [info("x", FLOAT, ["b", "t"])], [info("y")], weights)


def loop():
    """A Loop carries a value and gathers from its end."""
    body_nodes = [
        node("Identity", ["go"], ["go_out"], "go"),
        node("Gather", ["state", "last"], ["end"], "end", axis=1),
        node("Add", ["state", "end"], ["state_out"], "add"),
    ]
    inputs = [info("i", INT, []), info("go", BOOL, []), info("state", FLOAT, ["b", "t"])]
    body = helper.make_graph(
        body_nodes, "body", inputs, [info("go_out", BOOL, []), info("state_out", FLOAT, ["b", "t"])]
    )
    nodes = [node("Loop", ["times", "", "x"], ["y"], "loop", body=body)]
    weights = {"times": np.array(3, np.int64), "last": ints(-1)}
    return model(nodes, [info("x", FLOAT, ["b", "t"])], [info("y")], weights)


def dynamic_shapes():
    """A Reshape to sizes that are computed, of which a part is constant."""
    nodes = [
        node("Shape", ["x"], ["shape"], "shape"),
        node("Gather", ["shape", "i"], ["batch"], "batch"),
        node("Shape", ["w"], ["w_shape"], "w_shape"),
        node("Gather", ["w_shape", "i"], ["rows"], "rows"),
        node("Concat", ["batch", "rows", "rest"], ["target"], "target", axis=0),
        node("Reshape", ["x", "target"], ["y"], "y"),
    ]
    weights = {"w": np.ones((2, 3), np.float32), "i": ints(-2), "rest": ints(-1)}
    return model(nodes, [info("x", FLOAT, ["b", 6])], [info("y")], weights)


def half():
    """Casts through float16 lose digits; casts to where one came from lose none."""
    nodes = [
        node("Cast", ["x"], ["a"], "a", to=HALF),
        node("Cast", ["a"], ["lossy"], "lossy", to=FLOAT),
        node("Cast", ["h"], ["b"], "b", to=FLOAT),
        node("Cast", ["b"], ["same"], "same", to=HALF),
        node("Mul", ["same", "w"], ["y"], "y"),
    ]
    inputs = [info("x", FLOAT, ["n", 3]), info("h", HALF, ["n", 3])]
    return model(nodes, inputs, [info("lossy"), info("y", HALF)], {"w": np.float16([3, 2, 1])})


def cast_chains():
    """Widening, narrowing and doing nothing, in a row and in a fan."""
    nodes = [
        node("Cast", ["n"], ["wide"], "wide", to=TensorProto.DOUBLE),
        node("Cast", ["n32"], ["wide32"], "wide32", to=INT),
        node("Cast", ["wide"], ["rounded"], "rounded", to=INT),
        node("Cast", ["wide32"], ["f"], "f", to=FLOAT),
        node("Cast", ["wide32"], ["u"], "u", to=BOOL),
        node("Cast", ["f"], ["again"], "again", to=FLOAT),
    ]
    inputs = [info("n", INT, ["k", "t"]), info("n32", TensorProto.INT32, ["k", "t"])]
    return model(nodes, inputs, [info("rounded", INT), info("u", BOOL), info("again")])


def several_outputs():
    """The middle of a chain of Slices and that of a Concat are outputs too; an input is one directly."""
    nodes = [
        node("Slice", ["x", "one", "end", "one"], ["s"], "s1"),
        node("Slice", ["s", "one", "end", "zero"], ["t"], "s2"),
        node("Concat", ["t", "t"], ["c"], "c1", axis=0),
        node("Concat", ["c", "t"], ["d"], "c2", axis=0),
        node("Identity", ["x"], ["same"], "i"),
    ]
    weights = {"one": ints(1), "end": ints(2**62), "zero": ints(0)}
    return model(nodes, [info("x", FLOAT, [3, "t"])], [info(name) for name in ("s", "c", "d", "same")], weights)


def slices():
    """Four in a row: other axes, the same axis under another name, backwards."""
    nodes = [
        node("Slice", ["x", "one", "end", "one"], ["a"], "a"),
        node("Slice", ["a", "minus3", "end", "zero"], ["b"], "b"),
        node("Slice", ["b", "one", "end", "last"], ["c"], "c"),
        node("Slice", ["c", "last", "begin", "one", "last"], ["d"], "d"),
    ]
    weights = {
        "one": ints(1),
        "end": ints(2**62),
        "zero": ints(0),
        "last": ints(-1),
        "minus3": ints(-3),
        "begin": ints(-(2**62)),
    }
    return model(nodes, [info("x", FLOAT, [4, "t", 5])], [info("d")], weights)


def concats():
    """Nested along one axis with either sign, along another, and one that is read twice."""
    nodes = [
        node("Concat", ["x", "w"], ["a"], "a", axis=1),
        node("Concat", ["a", "x"], ["b"], "b", axis=-1),
        node("Concat", ["x", "x"], ["c"], "c", axis=0),
        node("Concat", ["c", "c"], ["d"], "d", axis=1),
        node("ReduceMean", ["d"], ["e"], "e", keepdims=1),
        node("Add", ["b", "e"], ["y"], "y"),
    ]
    return model(nodes, [info("x", FLOAT, [2, "t"])], [info("y")], {"w": np.ones((2, 2), np.float32)})


def batch_norm():
    """Of three, one can be folded: the second Conv is read twice and shares its weight, the third has none before."""
    names = ["scale", "bias", "mean", "var"]
    nodes = [
        node("Conv", ["x", "w"], ["a"], "conv_a", pads=[1, 1]),
        node("BatchNormalization", ["a", *names], ["p"], "bn_a", epsilon=1e-3),
        node("Conv", ["p", "w"], ["b"], "conv_b", pads=[1, 1]),
        node("BatchNormalization", ["b", *names], ["q"], "bn_b"),
        node("Add", ["b", "q"], ["r"], "r"),
        node("BatchNormalization", ["r", *names], ["y"], "bn_c"),
    ]
    random = np.random.default_rng(0)
    weights = {name: random.uniform(0.5, 2, 3).astype(np.float32) for name in names}
    weights["w"] = random.standard_normal((3, 3, 3)).astype(np.float32)
    return model(nodes, [info("x", FLOAT, ["b", 3, "t"])], [info("y")], weights)


def default_input():
    """A weight that is an input of the graph too is only a default: nothing may be made of its value."""
    nodes = [node("Add", ["w", "w"], ["d"], "d"), node("Mul", ["x", "d"], ["y"], "y")]
    inputs = [info("x", FLOAT, ["b", 2]), info("w", FLOAT, [2])]
    return model(nodes, inputs, [info("y")], {"w": np.float32([1, 1e6])})


def constant_output():
    """An output that depends on nothing."""
    nodes = [node("Add", ["a", "a"], ["y"], "y"), node("Relu", ["x"], ["z"], "z")]
    return model(nodes, [info("x", FLOAT, ["b"])], [info("y"), info("z")], {"a": np.float32([1, 2])})


def old_opset():
    """Opset 9: Slice holds its limits as attributes."""
    nodes = [
        node("Slice", ["x"], ["a"], "a", axes=[1], starts=[1], ends=[9]),
        node("Slice", ["a"], ["y"], "y", axes=[0], starts=[0], ends=[1]),
    ]
    return model(nodes, [info("x", FLOAT, ["b", "t"])], [info("y")], opset=9, ir_version=4)


def attribute_axes():
    """Opset 12: Squeeze holds its axes as an attribute."""
    nodes = [node("Gather", ["x", "i"], ["y"], "g", axis=-1)]
    return model(
        nodes, [info("x", FLOAT, ["b", "t"])], [info("y")], {"i": np.array(-2, np.int64)}, opset=12, ir_version=6
    )


def optional_inputs():
    """A Clip without a lower limit, a Resize without a region: what is left out keeps its place."""
    nodes = [
        node("Clip", ["x", "", "high"], ["c"], "c"),
        node("Resize", ["c", "", "scales"], ["y"], "y", mode="nearest"),
    ]
    weights = {"high": np.float32(0.5), "scales": np.float32([1, 1, 2])}
    return model(nodes, [info("x", FLOAT, ["b", 1, "t"])], [info("y")], weights)


def mask():
    """A mask beyond float16 before a Softmax: clamping it changes nothing."""
    nodes = [
        node("Cast", ["mask"], ["m"], "m", to=FLOAT),
        node("Sub", ["one", "m"], ["inverse"], "inverse"),
        node("Mul", ["inverse", "lowest"], ["bias"], "bias"),
        node("Add", ["x", "bias"], ["scores"], "scores"),
        node("Softmax", ["scores"], ["y"], "y", axis=-1),
    ]
    weights = {"one": np.float32(1), "lowest": np.finfo(np.float32).min}
    return model(nodes, [info("x", FLOAT, ["b", "t"]), info("mask", INT, ["b", "t"])], [info("y")], weights)


def embedding():
    """Token ids must stay within the table, lengths within the sequence."""
    nodes = [
        node("Gather", ["table", "ids"], ["e"], "e"),
        node("Sub", ["lengths", "one"], ["places"], "places"),
        node("Unsqueeze", ["places", "axes"], ["column"], "column"),
        node("Unsqueeze", ["column", "axes"], ["index"], "index"),
        node("GatherElements", ["e", "index"], ["y"], "y", axis=1),
    ]
    weights = {
        "table": np.random.default_rng(1).standard_normal((50, 3)).astype(np.float32),
        "one": ints(1),
        "axes": ints(1),
    }
    return model(nodes, [info("ids", INT, ["b", "t"]), info("lengths", INT, ["b"])], [info("y")], weights)


COUNTED = (
    *("legal-opset", "fold-constants", "fold-batch-norm", "merge-casts", "merge-slices", "merge-concats"),
    *("positive-gather", "narrow-indices", "narrow-integers", "narrow-doubles", "unroll-loops", "clamp-constants"),
    *("conv1d-to-conv2d", "pad-sequence"),
)
TRAPS = {
    shared_initializer: {"positive-gather": (1, 0), "narrow-indices": (1, 0), "narrow-integers": (0, 1)},
    shared_mask: {"clamp-constants": (1, 0)},
    name_clash: {"positive-gather": (1, 0)},
    subgraph: {"merge-concats": (1, 0), "positive-gather": (1, 0)},
    loop: {"unroll-loops": (1, 0), "positive-gather": (3, 0)},
    dynamic_shapes: {"fold-constants": (2, 0), "positive-gather": (1, 0), "narrow-indices": (1, 0)},
    half: {"merge-casts": (1, 1)},
    cast_chains: {"merge-casts": (2, 2), "narrow-doubles": (0, 1)},
    several_outputs: {"merge-slices": (0, 1), "merge-concats": (0, 1)},
    slices: {"merge-slices": (2, 1)},
    concats: {"merge-concats": (1, 1)},
    batch_norm: {"fold-batch-norm": (1, 2), "conv1d-to-conv2d": (2, 0)},
    default_input: {"clamp-constants": (0, 1)},
    constant_output: {"fold-constants": (0, 1)},
    old_opset: {"legal-opset": (1, 0), "merge-slices": (1, 0)},
    attribute_axes: {"positive-gather": (1, 0)},
    optional_inputs: {},
    mask: {"clamp-constants": (1, 0)},
    embedding: {"narrow-integers": (1, 0)},
}
"""What these passes change and decline on the way to an Ascend."""


def answers(path, cases):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(None, dict(case.inputs)), strict=True)) for case in cases]


def require_same(before, after, cases):
    """Within 1e-5 of the scale, on inputs other than those that the passes were proven on."""
    for expected, found in zip(answers(before, cases), answers(after, cases), strict=True):
        assert list(expected) == list(found)
        for name, array in expected.items():
            assert (array.dtype, array.shape) == (found[name].dtype, found[name].shape)
            scale = np.abs(array.astype(np.float64)).max(initial=0)
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5 * scale if array.dtype.kind == "f" else 0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("trap", TRAPS, ids=lambda one: one.__name__)
def test_no_answer_changes(trap, target, tmp_path):
    proto = trap()
    onnx.save(proto, tmp_path / "trap.onnx")
    ledger = optimize(tmp_path / "trap.onnx", tmp_path / "done.onnx", target=target)
    cases = list(made_up_cases(ir.load(tmp_path / "trap.onnx"), seed=77))[1:4]
    require_same(tmp_path / "trap.onnx", tmp_path / "done.onnx", cases)
    if target == "ascend310p":
        found = {
            name: (sum(one.matches for one in entries), max(len(one.declined) for one in entries))
            for name in COUNTED
            if (entries := [one for one in ledger.entries if one.name == name])
        }
        assert {name: counts for name, counts in found.items() if any(counts)} == TRAPS[trap]
    rolled_back = [entry.name for entry in ledger.rolled_back]
    # Clamping a factor changes the product, and that is found out.
    assert rolled_back == (["clamp-constants"] if trap is shared_mask and target == "ascend310p" else []), ledger
    assert [entry.node for entry in ledger.rolled_back] == ["y"] * len(rolled_back)
    assert len(ledger.cases) == 3


@pytest.mark.parametrize("trap", [batch_norm, embedding, dynamic_shapes], ids=lambda one: one.__name__)
def test_external_weights(trap, tmp_path):
    (tmp_path / "in").mkdir()
    loaded = ir.from_proto(trap())
    ir.save(loaded, tmp_path / "in" / "trap.onnx", external_data="weights.bin", size_threshold_bytes=16)
    (tmp_path / "out").mkdir()
    optimize(tmp_path / "in" / "trap.onnx", tmp_path / "out" / "done.onnx", target="ascend310p")
    assert {file.name for file in (tmp_path / "in").iterdir()} == {"trap.onnx", "weights.bin"}
    (tmp_path / "in" / "weights.bin").rename(tmp_path / "weights.bin")  # the result must not need it
    onnx.save(trap(), tmp_path / "plain.onnx")
    cases = list(made_up_cases(loaded, seed=5))[:3]
    require_same(tmp_path / "plain.onnx", tmp_path / "out" / "done.onnx", cases)


def test_all_families(tiny_bundles, picture_bundle, question_bundle, tmp_path):
    bundles = [*tiny_bundles.values(), picture_bundle, question_bundle]
    files = [bundle.path / name for bundle in bundles for name in ("model.onnx", *bundle.manifest.parts.values())]
    assert len(files) == 6
    for number, file in enumerate(files):
        done = tmp_path / f"{number}.onnx"
        ledger = optimize(file, done, target="ascend310p")
        assert ledger.ok, ledger
        assert ledger.difference == 0
        session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        assert [value.name for value in session.get_inputs()] == [value.name for value in ir.load(done).graph.inputs]
        other = [case for case in made_up_cases(ir.load(file), seed=9) if case.sizes in ledger.cases]
        require_same(file, done, other)
