"""What becomes of the operator Gelu where a target's opsets end before it."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from inferry.passes.expand_gelu import ExpandGelu
from inferry.passes.fuse_gelu import FuseGelu

EXACT = ["Div", "Erf", "Add", "Mul", "Mul"]
TANH = ["Mul", "Mul", "Mul", "Add", "Mul", "Tanh", "Add", "Mul", "Mul"]


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize(
    ("attributes", "made"), [("", EXACT), ('<approximate = "none">', EXACT), ('<approximate = "tanh">', TANH)]
)
def test_both_forms(attributes, made, dtype, parsed, proven):
    outcome = proven(parsed(f"y = Gelu {attributes} (x)", f"{dtype}[b, t, 6] x", opset=20), ExpandGelu())
    assert (outcome.matches, outcome.declined) == (1, ())
    assert [node.op_type for node in outcome.model.graph] == made
    assert FuseGelu().apply(outcome.model).matches == 0


def test_in_a_branch(parsed):
    branches = "then_branch = t () => (p) { p = Gelu (x) }, else_branch = e () => (q) { q = Neg (x) }"
    outcome = ExpandGelu().apply(parsed(f"y = If (c) <{branches}>", "float[b, 6] x, bool c", opset=20))
    assert outcome.matches == 1
    assert "Gelu" not in [node.op_type for node in outcome.model.graph.all_nodes()]


def test_an_unknown_type_stays():
    model = ir.from_proto(
        parser.parse_model('<ir_version: 9, opset_import: ["": 20]> g (float[b] x) => (y) { a = Neg (x) y = Gelu (a) }')
    )
    (declined,) = ExpandGelu().apply(model).declined
    assert declined.reason == "has an unknown type, which its constants would need"


@pytest.mark.parametrize("external", [False, True])
def test_a_network_of_opset_20_reaches_the_target(external, through_target):
    """Its opset is converted, and its weights are found where they are."""
    graph = "g (float[b, 32] x) => (float[b, 32] y) { a = MatMul (x, w) y = Gelu (a) }"
    proto = parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]> {graph}')
    weight = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    ledger = through_target(proto, external=external)
    assert ledger.ok
    assert {"expand-gelu", "legal-opset"} <= {*ledger.kept}
