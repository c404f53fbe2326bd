"""Chains of operators in float64 that are found to stay within float32 do so, for numbers of every size."""

import random

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper, parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.integer_ranges import IntegerRanges
from inferry.passes.narrow_doubles import NarrowDoubles
from inferry.passes.real_ranges import GREATEST, SMALLEST, RealRanges

UNARY = ("Sqrt", "Exp", "Log", "Tanh", "Sigmoid", "Abs", "Neg", "Reciprocal", "Relu", "Floor")
BINARY = ("Mul", "Add", "Sub", "Div", "Max", "Min")
NUMBERS = (0.5, 2.0, 1e-5, 1000.25, -3.0, 1e15, 1e-12, 0.1)
POWERS = (2.0, 0.5, 3.0, -1.0)
SIZES = 10.0 ** np.linspace(-30, 30, 121)
X = np.concatenate([SIZES, -SIZES, [0.0]]).astype(np.float32)


def chain(seed):
    """Up to five operators after a Cast to float64, and a Cast back."""
    draw = random.Random(seed)
    values, lines, weights = ["d"], ["d = Cast <to = 11> (x)"], {}
    for place in range(draw.randint(1, 5)):
        name, first, weight = f"v{place}", draw.choice(values), f"c{place}"
        kind = draw.choice(("unary", "unary", "weight", "weight", "both", "power"))
        if kind == "unary":
            lines.append(f"{name} = {draw.choice(UNARY)} ({first})")
        elif kind == "both":
            lines.append(f"{name} = {draw.choice(BINARY)} ({first}, {draw.choice(values)})")
        else:
            weights[weight] = draw.choice(POWERS if kind == "power" else NUMBERS)
            lines.append(f"{name} = {'Pow' if kind == 'power' else draw.choice(BINARY)} ({first}, {weight})")
        values.append(name)
    body = " ".join([*lines, f"y = Cast <to = 1> ({values[-1]})"])
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (float[n] y) {{ {body} }}')
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(one), key) for key, one in weights.items())
    return proto


def typed(proto):
    model = ir.from_proto(proto)
    ShapeInferencePass()(model)
    return model


def answer(proto):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, {"x": X})[0]


def test_what_is_narrowed_becomes_infinite_nowhere():
    narrowed = 0
    for seed in range(250):
        proto = chain(seed)
        outcome = NarrowDoubles().apply(typed(proto))
        if not outcome.declined:
            narrowed += 1
            finite = np.isfinite(answer(proto)), np.isfinite(answer(ir.to_proto(outcome.model)))
            np.testing.assert_array_equal(*finite, err_msg=str(proto.graph.node))
    assert narrowed > 50


@pytest.mark.parametrize(
    ("line", "low", "high", "small"),
    [
        ("v = Identity (d)", -GREATEST, GREATEST, SMALLEST),
        ("v = Abs (d)", 0, GREATEST, SMALLEST),
        ("v = Tanh (d)", -1, 1, 0),
        ("t = Sigmoid (d) v = Exp (t)", 1, np.e, 1),
        ("t = Sigmoid (d) a = Add (t, t) v = Neg (a)", -2, 0, 0),
        ("s = Shape (x) i = Cast <to = 11> (s) v = Sqrt (i)", 0, 2**12, 1),
    ],
)
def test_ranges(line, low, high, small):
    body = f"d = Cast <to = 11> (x) {line}"
    model = typed(
        parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (double[m] v) {{ {body} }}')
    )
    found = RealRanges(model, IntegerRanges(model))[model.graph.outputs[0]]
    assert found is not None
    assert (found.low, found.high, found.small) == pytest.approx((low, high, small))
