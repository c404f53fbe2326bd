"""Operators that atc is not known to parse, and recurrent layers that its parser would misread."""

import onnx_ir as ir
import pytest
from onnx import parser

from inferry.passes.legal_operators import operator_problems
from inferry.passes.legal_opset import LegalOpset


def model_of(body, inputs="float[t, b, 6] x", opsets='"": 17'):
    text = f"<ir_version: 8, opset_import: [{opsets}]> g ({inputs}) => (y) {{ {body} }}"
    return ir.from_proto(parser.parse_model(text))


def test_what_the_families_use_is_listed(tiny_bundles, picture_bundle, question_bundle):
    bundles = [*tiny_bundles.values(), picture_bundle, question_bundle]
    files = [bundle.path / name for bundle in bundles for name in ("model.onnx", *bundle.manifest.parts.values())]
    assert [operator_problems(ir.load(file)) for file in files] == [[]] * 6


def test_unlisted_operators_are_named_once_wherever_they_are():
    branches = (
        "then_branch = t () => (p) { p = Mish (x) }, else_branch = e () => (q) { r = RNN (x, x, x) q = Mish (x) }"
    )
    model = model_of(f"y = If (c) <{branches}>", "float[b] x, bool c")
    assert operator_problems(model) == ["has Mish, RNN, for which no parser of the target is known (E19010)"]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("y = LSTM <hidden_size = 5, clip = 1.0> (x, w, r)", "has clip, which the target does not read"),
        ("y = GRU <hidden_size = 5> (x, w, r)", "resets before the product, where the target's GRU does so after it"),
    ],
)
def test_misread_layers(layer, reason):
    model = model_of(layer, "float[t, b, 6] x, float[1, 20, 6] w, float[1, 20, 5] r")
    assert operator_problems(model) == [f"has a node y that {reason}"]
    assert LegalOpset().problems(model) == operator_problems(model)


def test_other_domains_are_not_judged_twice():
    model = model_of("y = com.microsoft.Mish (x)", opsets='"": 17, "com.microsoft": 1')
    assert operator_problems(model) == []
    assert len(LegalOpset().problems(model)) == 1
