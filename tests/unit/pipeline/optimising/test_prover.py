import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from inferry.core.errors import BackendError, ParityError
from inferry.pipeline.optimising.cases import Case, made_up_cases
from inferry.pipeline.optimising.prover import CASES, Prover, compare


def written(path, body, inputs="float[b, t] x"):
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => (y) {{ {body} }}'
    onnx.save(parser.parse_model(text), path)
    return path


def prover_of(path):
    return Prover(path, made_up_cases(ir.load(path), 0))


def arrays(*values, dtype=np.float32):
    return [{"y": np.array(value, dtype)} for value in values]


def test_the_first_cases_that_run_are_kept(tmp_path):
    body = "n = Constant <value_ints = [1, 1, 20]> () w = ConstantOfShape <value = float[1] {1}> (n) y = Conv (x, w)"
    prover = prover_of(written(tmp_path / "m.onnx", body, "float[b, 1, t] x"))
    assert [case.inputs["x"].shape[2] for case in prover.cases] == [33, 64, 128]
    assert list(prover.skipped) == ["b=1, t=4", "b=2, t=7", "b=3, t=16"]
    assert len(prover.original) == CASES
    assert prover.signature["backend"] == "onnxruntime"


def test_a_model_that_never_runs_proves_nothing(tmp_path):
    body = "n = Constant <value_ints = [1, 1, 99999]> () w = ConstantOfShape (n) y = Conv (x, w)"
    with pytest.raises(
        ParityError, match=r"runs on no made-up inputs.*--sizes, or give real inputs.*The last try, at "
    ):
        prover_of(written(tmp_path / "m.onnx", body, "float[b, 1, t] x"))


def test_sizes_may_be_too_large_to_prove_anything(tmp_path):
    file = written(tmp_path / "m.onnx", "y = Neg (x)", "float[b, 99999999] x")
    with pytest.raises(ParityError, match="inputs of these sizes are too large to prove a pass on; name smaller"):
        prover_of(file)


def test_outputs_without_a_finite_number_prove_nothing(tmp_path):
    with pytest.raises(ParityError, match="output y has no finite number"):
        prover_of(written(tmp_path / "m.onnx", "z = Sub (x, x) y = Div (z, z)"))


def test_two_files_on_the_same_inputs(tmp_path):
    prover = prover_of(written(tmp_path / "a.onnx", "y = Add (x, x)"))
    same = written(tmp_path / "b.onnx", "two = Constant <value_float = 2.0> () y = Mul (x, two)")
    other = written(tmp_path / "c.onnx", "two = Constant <value_float = 2.001> () y = Mul (x, two)")
    assert compare(prover.original, prover.run(same)).problem == ""
    proof = compare(prover.original, prover.run(other))
    assert proof.difference == pytest.approx(5e-4, rel=1e-2)
    assert "output y differs by 5.0e-04 of its scale, allowed are 1e-05" in proof.problem
    with pytest.raises(BackendError, match="cannot open"):
        prover.run(written(tmp_path / "d.onnx", "y = Add (x, missing)"))


def test_real_cases_come_first_and_all_of_them_count(tmp_path):
    model = written(tmp_path / "m.onnx", "y = Neg (x)")
    real = [Case(f"real {size}", {"x": np.ones((1, size), np.float32)}) for size in range(1, 6)]
    prover = Prover(model, made_up_cases(ir.load(model), 0), real=real)
    assert [case.sizes for case in prover.cases] == [
        *(f"real {size}" for size in range(1, 6)),
        *("b=1, t=4", "b=2, t=7", "b=3, t=16"),
    ]


@pytest.mark.parametrize(
    ("dtype", "difference", "passes"),
    [
        (np.float32, 1e-3, {"float32": False, "float16": True}),
        (np.float32, 4e-3, {"float32": False, "float16": False}),
        (np.float16, 1e-3, {"float32": True, "float16": True}),
        (np.int64, 1e-2, {"float32": False, "float16": False}),
    ],
)
def test_the_coarsest_precision_counts(dtype, difference, passes):
    before, after = arrays(1000, dtype=dtype), arrays(1000 * (1 + difference), dtype=dtype)
    for precision, passed in passes.items():
        assert (compare(before, after, precision).problem == "") is passed


@pytest.mark.parametrize(
    ("a", "b", "dtype", "difference", "equal"),
    [
        ([1, 2], [1, 2.00001], np.float32, 5e-6, True),
        ([1, 2], [1, 2.0001], np.float32, 5e-5, False),
        ([1, 2], [1, 2.002], np.float16, 1e-3, True),
        ([1, 2], [1, 2.02], np.float16, 1e-2, False),
        ([100, 200], [100, 201], np.int64, 5e-3, False),
        ([True, False], [True, True], np.bool_, math.inf, False),
        ([1, math.nan], [1, math.nan], np.float32, 0, True),
        ([1, math.inf], [1, math.inf], np.float32, 0, True),
        ([1, math.inf], [1.000001, math.inf], np.float32, 1e-6, True),
        ([1, math.inf], [1, -math.inf], np.float32, math.inf, False),
        ([1, 2], [1, math.nan], np.float32, math.inf, False),
        ([0, 0], [0, 1e-30], np.float32, math.inf, False),
        ([], [], np.float32, 0, True),
    ],
)
def test_how_far_outputs_may_be_apart(a, b, dtype, difference, equal):
    proof = compare(arrays(a, dtype=dtype), arrays(b, dtype=dtype))
    assert proof.difference == pytest.approx(difference, rel=0.1)
    assert (proof.problem == "") is equal


def test_the_worst_case_counts():
    assert compare(arrays([1.0], [1.0]), arrays([1.0], [2.0])).difference == 1


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ([{"z": np.zeros(2)}], "its outputs are z, not y"),
        (arrays([1, 2, 3]), "output y is float32 (3,) instead of float32 (2,)"),
        (arrays([1, 2], dtype=np.float64), "output y is float64"),
    ],
)
def test_outputs_of_another_form(after, message):
    proof = compare(arrays([1, 2]), after)
    assert proof.difference == math.inf
    assert message in proof.problem
