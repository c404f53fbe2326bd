"""What each pass makes of a graph and what it declines; that answers stay is for test_traps.py."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.errors import UsageError
from inferry.passes.legal_opset import LegalOpset
from inferry.passes.registry import PASSES, TARGETS, get_pass, get_target
from inferry.pipeline.optimize import optimize


def parsed(body, inputs="float[b, t, 6] x", outputs="y", weights="", opset='"": 17'):
    text = f"<ir_version: 8, opset_import: [{opset}]> g ({inputs}) => ({outputs}) <{weights}> {{ {body} }}"
    model = ir.from_proto(parser.parse_model(text))
    ShapeInferencePass()(model)
    return model


def kinds(outcome):
    return [node.op_type for node in outcome.model.graph]


def reasons(outcome):
    return [one.reason for one in outcome.declined]


def test_clean_up():
    body = "a = Relu (x) b = Relu (x) c = Identity (b) d = Neg (a) y = Add (a, c) z = Constant <value_float = 2.0> ()"
    outcome = PASSES["clean-up"].apply(parsed(body))
    assert kinds(outcome) == ["Relu", "Add"]
    assert outcome.matches >= 4
    assert PASSES["clean-up"].apply(outcome.model).matches == 0


def test_constants_fold_in_a_chain():
    body = "n = Shape (w) m = Gather (n, i) y = Add (x, m)"
    model = parsed(body, "int64[b, 2] x", weights="float[7, 2] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5}, int64 i = {0}")
    outcome = PASSES["fold-constants"].apply(model)
    assert (outcome.matches, kinds(outcome)) == (2, ["Add"])
    assert [value.const_value.numpy().tolist() for value in outcome.model.graph.initializers.values()] == [7]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a = ConstantOfShape (big) y = Add (x, a)", "gives more than 65,536 elements"),
        ("a = StringNormalizer (s) b = Shape (a) y = Expand (x, b)", "cannot compute it|no plain numbers"),
    ],
)
def test_what_cannot_be_folded(body, reason):
    model = parsed(body, "float[1] x", weights='int64[1] big = {65537}, string[1] s = {"a"}')
    outcome = PASSES["fold-constants"].apply(model)
    assert len(outcome.declined) == 1
    assert any(part in reasons(outcome)[0] for part in reason.split("|"))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [("", [2, 3, 4]), ("<start = 1>", [3, 4]), ("<end = -1>", [2, 3]), ("<start = -9, end = 9>", [2, 3, 4])],
)
def test_fixed_shapes_fold(attributes, expected):
    body = f"a = Relu (x) s = Shape {attributes} (a) y = Add (s, n)"
    outcome = PASSES["fold-constants"].apply(parsed(body, "float[2, 3, 4] x, int64[k] n"))
    assert (outcome.matches, kinds(outcome)) == (1, ["Add"])
    assert outcome.model.graph[0].inputs[0].const_value.numpy().tolist() == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s = Shape (x) k = Gather (s, i) y = Add (k, n)", 4),
        ("s = Shape <end = 2> (x) k = Gather (s, i) y = Add (k, n)", 3),
        ("s = Shape (x) k = Gather (s, two) y = Add (k, n)", [3, 4]),
        ("k = Shape <start = 1> (x) y = Add (k, n)", [3, 4]),
        ("s = Shape (x) k = Gather (s, first) y = Add (k, n)", None),
        ("s = Shape (x) k = Gather (s, beyond) y = Add (k, n)", None),
    ],
)
def test_fixed_sizes_beside_a_dynamic_one_fold(body, expected):
    weights = "int64 i = {-1}, int64[2] two = {1, 2}, int64[1] first = {0}, int64[1] beyond = {3}"
    model = parsed(body, "float[b, 3, 4] x, int64[k] n", weights=weights)
    outcome = PASSES["fold-constants"].apply(model)
    assert outcome.matches == (expected is not None)
    found = outcome.model.graph[-1].inputs[0].const_value
    assert (None if found is None else found.numpy().tolist()) == expected


def test_shapes_with_a_dynamic_size_do_not_fold():
    outcome = PASSES["fold-constants"].apply(parsed("s = Shape <end = 1> (x) y = Neg (s)"))
    assert (outcome.matches, outcome.declined) == (0, ())


def test_a_node_that_holds_graphs_does_not_fold():
    branches = "then_branch = a () => (float[1] p) {p = Identity (w)}, else_branch = b () => (float[1] q) {q = Neg (w)}"
    body = f"y = If (yes) <{branches}> z = Relu (x)"
    outcome = PASSES["fold-constants"].apply(parsed(body, weights="bool yes = {1}, float[1] w = {2}"))
    assert "holds a graph" in reasons(outcome)


def test_random_numbers_and_stored_weights_do_not_fold():
    body = "a = RandomNormalLike (w) q = DequantizeLinear (c, s) b = Add (x, a) y = Mul (b, q)"
    model = parsed(body, "float[2] x", weights="float[2] w = {1, 2}, int8[2] c = {1, 2}, float s = {0.5}")
    assert PASSES["fold-constants"].apply(model).matches == 0


def test_clamping_leaves_infinities_and_what_fits():
    model = parsed(
        "a = Mul (x, w) y = Add (a, v)", "float[3] x", weights="float[3] w = {1, 2, 3}, float[3] v = {0, 0, 0}"
    )
    values = np.array([-1e9, -np.inf, 65504], np.float32)
    model.graph.initializers["v"].const_value = ir.Tensor(values, name="v")
    outcome = PASSES["clamp-constants"].apply(model)
    assert outcome.matches == 1
    assert outcome.model.graph.initializers["v"].const_value.numpy().tolist() == [-65504, -np.inf, 65504]
    assert values[0] == np.float32(-1e9)


@pytest.mark.parametrize(
    ("index", "axis", "made"),
    [
        ("int64 i = {-1}", 2, ["Gather"]),
        ("int64[2] i = {0, -2}", 2, ["Gather"]),
        ("int64 i = {-1}", 1, ["Slice", "Squeeze"]),
        ("int32 i = {-2}", 1, ["Slice", "Squeeze"]),
        ("int64[1] i = {-3}", 1, ["Slice"]),
    ],
)
def test_negative_indices(index, axis, made):
    outcome = PASSES["positive-gather"].apply(parsed(f"y = Gather <axis = {axis}> (x, i)", weights=index))
    assert (outcome.matches, kinds(outcome)) == (1, made)
    assert outcome.model.graph.outputs[0].name == "y"
    if made == ["Gather"]:
        assert outcome.model.graph[0].inputs[1].const_value.numpy().min() >= 0
        assert "i" not in outcome.model.graph.initializers


@pytest.mark.parametrize(
    ("index", "opset", "reason"),
    [
        ("int64[2] i = {-1, -2}", 17, "has several indices along an axis without a fixed size"),
        ("int64 i = {-1}", 10, "would need Slice and Squeeze of opset 11, the model has 10"),
    ],
)
def test_negative_indices_that_stay(index, opset, reason):
    model = parsed("y = Gather <axis = 1> (x, i)", weights=index, opset=f'"": {opset}')
    outcome = PASSES["positive-gather"].apply(model)
    assert (outcome.matches, reasons(outcome), kinds(outcome)) == (0, [reason], ["Gather"])


def test_indices_that_fit_become_narrow():
    body = "c = Cast <to = 7> (n) a = Gather (x, i) b = Gather (x, c) d = Gather (x, m) y = Concat <axis = 0> (a, b, d)"
    model = parsed(body, "float[9, 6] x, int32[k] n, int64[k] m", weights="int64[2] i = {0, -1}")
    outcome = PASSES["narrow-indices"].apply(model)
    assert (outcome.matches, kinds(outcome)) == (2, ["Gather", "Gather", "Gather", "Concat"])
    assert [node.inputs[1].dtype for node in list(outcome.model.graph)[:3]] == [
        *(ir.DataType.INT32, ir.DataType.INT32, ir.DataType.INT64)
    ]
    assert outcome.model.graph[0].inputs[1].const_value.numpy().tolist() == [0, -1]


def test_an_index_beyond_32_bits_stays():
    outcome = PASSES["narrow-indices"].apply(parsed("y = Gather (x, i)", weights="int64[1] i = {4294967296}"))
    assert (outcome.matches, reasons(outcome)) == (0, ["has an index beyond 32 bits"])


LOSSLESS = [("int32", 7, 1), ("float16", 1, 10), ("int32", 11, 1), ("bool", 6, 1), ("uint8", 6, 3), ("int16", 1, 10)]
LOSSY = [("int64", 6, 7), ("float", 10, 1), ("int64", 11, 7), ("int32", 1, 6), ("float", 9, 1), ("int32", 12, 7)]


@pytest.mark.parametrize(("source", "middle", "last"), LOSSLESS)
def test_casts_that_merge(source, middle, last):
    model = parsed(f"a = Cast <to = {middle}> (x) y = Cast <to = {last}> (a)", f"{source}[3] x")
    outcome = PASSES["merge-casts"].apply(model)
    assert len(outcome.model.graph) == 1
    assert (outcome.matches, outcome.declined) == (1, ())


@pytest.mark.parametrize(("source", "middle", "last"), LOSSY)
def test_casts_that_stay(source, middle, last):
    model = parsed(f"a = Cast <to = {middle}> (x) y = Cast <to = {last}> (a)", f"{source}[3] x")
    outcome = PASSES["merge-casts"].apply(model)
    assert kinds(outcome) == ["Cast", "Cast"]
    assert "which can change a value" in reasons(outcome)[0]


def test_a_cast_from_an_unknown_type_stays():
    model = parsed("b = Relu (x) a = Cast <to = 7> (b) y = Cast <to = 1> (a)", "float[3] x")
    model.graph[0].outputs[0].type = None
    assert reasons(PASSES["merge-casts"].apply(model)) == ["follows a Cast from an unknown type"]


def test_slices_along_one_axis_and_with_moving_limits_stay():
    limits = "int64[1] one = {1}, int64[1] end = {5}, int64[1] last = {-1}, int64[1] two = {2}"
    body = "a = Slice (x, one, end, {}) y = Slice (a, one, end, {})"
    one_axis = PASSES["merge-slices"].apply(parsed(body.format("two", "last"), weights=limits))
    assert reasons(one_axis) == ["cuts along an axis that the Slice before it cuts along"]
    moving = parsed(
        "a = Slice (x, one, n, one) y = Slice (a, one, end, two)", "float[b, t, 6] x, int64[1] n", weights=limits
    )
    assert reasons(PASSES["merge-slices"].apply(moving)) == [
        "follows a Slice, and one of the two has limits that are not constant"
    ]
    merged = PASSES["merge-slices"].apply(parsed(body.format("one", "last"), weights=limits))
    assert kinds(merged) == ["Slice"]
    assert [value.const_value.numpy().tolist() for value in merged.model.graph[0].inputs[1:]] == [
        *([1, 1], [5, 5], [1, -1], [1, 1])
    ]


def test_concats_keep_their_order():
    body = "a = Concat <axis = 1> (v, x) y = Concat <axis = -1> (w, a, v)"
    outcome = PASSES["merge-concats"].apply(parsed(body, "float[b, t] v, float[b, t] w, float[b, t] x"))
    assert [value.name for value in outcome.model.graph[0].inputs] == ["w", "v", "x", "v"]


def batch_norm(attributes="", scale="s", outputs="y"):
    weights = "float[3] s = {1, 2, 3}, float[3] v = {4, 5, 6}, float[3, 6, 1] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}"
    body = f"c = Conv (x, w) {outputs} = BatchNormalization {attributes} (c, {scale}, s, s, v)"
    return parsed(body, "float[b, 6, t] x, float[3] n", weights=weights)


def test_a_batch_norm_becomes_part_of_the_weights():
    outcome = PASSES["fold-batch-norm"].apply(batch_norm())
    assert (outcome.matches, kinds(outcome)) == (1, ["Conv"])
    assert len(outcome.model.graph.initializers) == 2


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_both_convolutions_take_up_a_batch_norm(operator, group, tmp_path):
    random = np.random.default_rng(3)
    shape = (6, 4 // group, 3, 3) if operator == "ConvTranspose" else (4, 6 // group, 3, 3)
    names = ("w", "bias", "scale", "shift", "mean", "variance")
    arrays = [random.standard_normal(shape), *(random.uniform(0.5, 2, 4) for _ in names[1:])]
    body = f"c = {operator} <group = {group}> (x, w, bias) y = BatchNormalization (c, scale, shift, mean, variance)"
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g (float[b, 6, h, 5] x) => (y) {{ {body} }}')
    for name, array in zip(names, arrays, strict=True):
        proto.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(proto, tmp_path / "in.onnx")
    ledger = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", ["fold-batch-norm"])
    assert ledger.kept == ("fold-batch-norm",)
    assert [node.op_type for node in ir.load(tmp_path / "out.onnx").graph] == [operator]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (batch_norm("<training_mode = 1>", outputs="y, m, q"), "is in training"),
        (batch_norm(scale="n"), "follows a Conv, and one of the two has no constant scale"),
        (parsed("y = BatchNormalization (x, n, n, n, n)", "float[b, 3, t] x, float[3] n"), "follows no convolution"),
    ],
)
def test_a_batch_norm_that_stays(model, reason):
    outcome = PASSES["fold-batch-norm"].apply(model)
    assert (outcome.matches, reasons(outcome)) == (0, [reason])


@pytest.mark.parametrize(("opset", "expected"), [(9, 11), (11, None), (18, None), (20, 18)])
def test_opsets_are_brought_into_range(opset, expected):
    outcome = LegalOpset().apply(parsed("y = Relu (x)", opset=f'"": {opset}'))
    assert outcome.matches == (expected is not None)
    assert outcome.model.graph.opset_imports[""] == (expected or opset)
    assert LegalOpset().problems(outcome.model) == []


def test_an_opset_that_cannot_be_converted():
    outcome = LegalOpset().apply(parsed("y = Gelu (x)", opset='"": 20'))
    assert outcome.matches == 0
    assert "has opset 20, which ONNX's converter cannot turn into 18" in reasons(outcome)[0]
    assert LegalOpset().problems(outcome.model) == [
        "has version 20 of ai.onnx, the target reads 11 to 18",
        "has Gelu, for which no parser of the target is known (E19010)",
    ]


def test_other_domains_are_named():
    model = parsed("y = com.microsoft.Gelu (x)", opset='"": 17, "com.microsoft": 1')
    expected = ["has operators of com.microsoft, for which the target has no parser (E19010)"]
    assert LegalOpset().problems(model) == expected
    assert reasons(LegalOpset().apply(model)) == expected


def test_two_versions_of_a_domain():
    model = parsed("y = Relu (x)")
    inner = ir.Graph([], [], nodes=[], opset_imports={"": 16})
    function = ir.Function("local", "twice", graph=inner, attributes=[])
    model.functions[function.identifier()] = function
    assert LegalOpset().problems(model) == ["has two versions of the domain ai.onnx (E16005): in twice"]
    inner.opset_imports[""] = 17
    assert LegalOpset().problems(model) == []


def test_the_registry():
    assert all(name == one.name for name, one in PASSES.items())
    assert {name for target in TARGETS.values() for name in target.passes} <= set(PASSES)
    assert get_target("onnxruntime").opsets is None
    assert get_target("ascend310p").opsets == LegalOpset(11, 18)
    with pytest.raises(UsageError, match="unknown pass 'fold'; available: clamp-constants, clean-up"):
        get_pass("fold")
    with pytest.raises(UsageError, match="unknown target 'npu'; available: ascend310p, onnxruntime"):
        get_target("npu")
