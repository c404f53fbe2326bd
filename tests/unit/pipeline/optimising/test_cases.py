import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.errors import UsageError
from inferry.pipeline.optimising.cases import LADDER, made_up_cases, precision_of


def parsed(inputs, body="y = Identity (x)", weights=""):
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => (y) <{weights}> {{ {body} }}'
    return ir.from_proto(parser.parse_model(text))


def test_sizes_climb_and_shared_names_agree():
    cases = list(made_up_cases(parsed("float[batch, t] x, int64[batch, t] mask, float[batch, 3, u] z"), 0))
    assert len(cases) == len(LADDER)
    assert [case.inputs["x"].shape for case in cases[:5]] == [(1, 4), (2, 7), (3, 16), (1, 33), (2, 64)]
    assert all(case.inputs["mask"].shape == case.inputs["x"].shape for case in cases)
    assert [case.inputs["z"].shape[2] for case in cases[:5]] == [5, 8, 17, 34, 96]
    assert cases[1].sizes == "batch=2, t=7, u=8"


def test_dimensions_without_a_name_are_independent():
    cases = list(made_up_cases(parsed("float[?, ?] x, float[?, ?] z"), 0))
    assert [(case.inputs["x"].shape, case.inputs["z"].shape) for case in cases[:2]] == [
        ((1, 4), (1, 5)),
        ((2, 7), (2, 8)),
    ]


def test_the_same_seed_gives_the_same_numbers():
    model = parsed("float[b, 100] x")
    first, again, other = (next(iter(made_up_cases(model, seed))).inputs["x"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() < -1


def test_every_other_case_is_uniform():
    second = list(made_up_cases(parsed("float[b, 100] x"), 0))[1].inputs["x"]
    assert second.min() >= 0
    assert second.max() < 1


def test_indices_stay_within_the_table():
    body = "i = Cast <to = 7> (x) j = Unsqueeze (i, a) k = Gather (table, j) y = Neg (k)"
    weights = "float[3, 1] table = {1, 2, 3}, int64[1] a = {0}"
    for case in made_up_cases(parsed("int32[b, t] x", body, weights), 0):
        assert case.inputs["x"].dtype == np.int32
        assert case.inputs["x"].min() >= 0
        assert case.inputs["x"].max() <= 2
    assert case.inputs["x"].max() == 2


def test_lengths_fit_and_masks_never_hide_all():
    cases = list(
        made_up_cases(parsed("float[b, t] x, float[b, u] z, int64[b] lengths, int64[b, t] mask, bool[b, t] seen"), 0)
    )
    for case in cases:
        lengths, size = case.inputs["lengths"], case.inputs["x"].shape[1]
        assert lengths.max() == size
        assert lengths.min() >= size // 2
        for name in ("mask", "seen"):
            assert case.inputs[name][:, 0].all()
            assert set(np.unique(case.inputs[name])) <= {0, 1}
    assert not cases[-1].inputs["mask"].all()


def test_masks_hide_the_ends_of_rows_as_padding_does():
    cases = list(
        made_up_cases(parsed("float[b, t] x, bool[b, t] seen, int64[b, t] mask, float[b, 1, t] float_mask"), 0)
    )
    for case in cases[1::2]:
        for name in ("seen", "mask", "float_mask"):
            rows = case.inputs[name].astype(int).reshape(-1, case.inputs[name].shape[-1])
            assert (np.diff(rows, axis=-1) <= 0).all()
            assert rows.min() == 0
            assert rows[:, 0].all()
            assert rows[0].all() == (len(rows) > 1)
    assert any((np.diff(case.inputs["mask"], axis=-1) > 0).any() for case in cases[::2])


def test_fixed_sizes_are_the_only_ones():
    model = parsed("float[batch, t] x, float[batch, 3, u] z")
    cases = list(made_up_cases(model, 0, {"t": 50}))
    assert {case.inputs["x"].shape[1] for case in cases} == {50}
    assert [case.inputs["z"].shape for case in cases[:3]] == [(1, 3, 4), (2, 3, 7), (3, 3, 16)]
    whole = list(made_up_cases(model, 0, {"batch": 2, "t": 5, "u": 6}))
    assert [case.sizes for case in whole] == ["batch=2, t=5, u=6"] * 3
    assert not np.array_equal(whole[0].inputs["x"], whole[2].inputs["x"])


@pytest.mark.parametrize(
    ("body", "precision"),
    [
        ("h = Cast <to = 10> (x) a = Neg (h) y = Cast <to = 1> (a)", "float16"),
        ("h = Constant <value = float16[1] {1}> () a = Cast <to = 1> (h) y = Add (x, a)", "float32"),
        ("y = Neg (x)", "float32"),
    ],
)
def test_the_precision_is_that_of_what_is_computed(body, precision):
    model = parsed("float[b, 3] x", body)
    ShapeInferencePass()(model)
    assert precision_of(model) == precision


def test_pixels_take_all_values():
    cases = list(made_up_cases(parsed("uint8[1, 64, 64] x, int8[64, 64] z"), 0))
    assert len(cases) == 3
    assert (cases[0].inputs["x"].min(), cases[0].inputs["x"].max()) == (0, 255)
    assert (cases[0].inputs["z"].min(), cases[0].inputs["z"].max()) == (-128, 127)


def test_inputs_with_a_default_are_left_to_it():
    case = next(iter(made_up_cases(parsed("float[b] x, float[2] w", weights="float[2] w = {1, 2}"), 0)))
    assert list(case.inputs) == ["x"]


def test_inputs_too_large_for_memory_are_left_out():
    cases = list(made_up_cases(parsed("float[1, 3, height, width] x"), 0))
    assert [case.inputs["x"].shape[2] for case in cases] == [4, 7, 16, 33, 64, 128, 192, 400, 1000]


@pytest.mark.parametrize("bad", ["string[2] x", "seq(float[2]) x", "float x"])
def test_what_cannot_be_made_up(bad):
    model = parsed(bad)
    if bad == "float x":
        model.graph.inputs[0].shape = None
    with pytest.raises(UsageError, match=r"input x is .* no inputs can be made up for it"):
        list(made_up_cases(model, 0))
