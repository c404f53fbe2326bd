"""Small graphs for the tests of fused forms, and the proof that a pass changes none of their answers."""

import re
from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import numpy_helper, parser
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.tolerances import REWRITE
from inferry.passes.rewriting import Outcome, Pass
from inferry.pipeline.optimising.cases import made_up_cases
from inferry.pipeline.optimising.ledger import Ledger
from inferry.pipeline.optimize import optimize

SIZES = {"b": 2, "t": 5, "s": 7}


@pytest.fixture(scope="session")
def parsed() -> Callable[..., ir.Model]:
    """`parsed(body, inputs, weights)`: a model from ONNX's text form, those weights that it names, shapes inferred."""

    def parsed(
        body: str,
        inputs: str = "float[b, t, 6] x",
        weights: Mapping[str, object] | None = None,
        outputs: str = "y",
        opset: int = 17,
    ) -> ir.Model:
        text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
        proto = parser.parse_model(text)
        words = set(re.findall(r"\w+", body))
        for name, array in (weights or {}).items():
            if name in words:
                proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        model = ir.from_proto(proto)
        ShapeInferencePass()(model)
        return model

    return parsed


def answers(proto: onnx.ModelProto, seed: int, sizes: Mapping[str, int]) -> list[np.ndarray]:
    """Of the runtime without its own rewrites, for normal inputs of these sizes."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(seed)
    feeds = {}
    for value in session.get_inputs():
        shape = [dim if isinstance(dim, int) else sizes[dim] for dim in value.shape]
        dtype = {"tensor(float16)": np.float16, "tensor(bool)": np.bool_}.get(value.type, np.float32)
        feeds[value.name] = random.standard_normal(shape).astype(dtype)
    return session.run(None, feeds)


@pytest.fixture(scope="session")
def proven() -> Callable[[ir.Model, Pass], Outcome]:
    """`proven(model, one)`: applies a pass; answers stay at two sizes, and a second time nothing is left to change."""

    def proven(model: ir.Model, one: Pass) -> Outcome:
        before = ir.to_proto(model)
        outcome = one.apply(model)
        after = ir.to_proto(outcome.model)
        onnx.checker.check_model(after)
        for seed, sizes in enumerate((SIZES, {"b": 1, "t": 3, "s": 2})):
            for want, have in zip(answers(before, seed, sizes), answers(after, seed, sizes), strict=True):
                assert (have.shape, have.dtype) == (want.shape, want.dtype)
                tolerance = REWRITE[str(want.dtype)] * float(np.abs(want.astype(np.float64)).max())
                np.testing.assert_allclose(have, want, rtol=0, atol=tolerance)
        ShapeInferencePass()(outcome.model)
        assert one.apply(outcome.model).matches == 0
        return outcome

    return proven


@pytest.fixture(scope="session")
def same_answers() -> Callable[[onnx.ModelProto, ir.Model, Mapping[str, np.ndarray]], float]:
    """`same_answers(before, after, feeds)`: dtypes, shapes and whole numbers are equal; the greatest difference."""

    def opened(proto: onnx.ModelProto) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def same_answers(before: onnx.ModelProto, after: ir.Model, feeds: Mapping[str, np.ndarray]) -> float:
        onnx.checker.check_model(ir.to_proto(after), full_check=True)
        first, second = opened(before), opened(ir.to_proto(after))
        assert [one.name for one in first.get_outputs()] == [one.name for one in second.get_outputs()]
        greatest = 0.0
        for want, have in zip(first.run(None, dict(feeds)), second.run(None, dict(feeds)), strict=True):
            assert (have.shape, have.dtype) == (want.shape, want.dtype)
            if want.dtype.kind != "f":
                np.testing.assert_array_equal(have, want)
            greatest = max(greatest, float(np.abs(have.astype(np.float64) - want).max(initial=0)))
        return greatest

    return same_answers


@pytest.fixture
def through_target(tmp_path) -> Callable[..., Ledger]:
    """`through_target(proto, target)`: all passes of a target; answers stay on inputs that they were not proven on.

    With `external=True` the weights lie beside the model, and the result must not need that file.
    """

    def opened(name: str) -> ort.InferenceSession:
        return ort.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"])

    def through_target(proto: onnx.ModelProto, target: str = "ascend310p", *, external: bool = False) -> Ledger:
        (tmp_path / "in").mkdir()
        onnx.save(proto, tmp_path / "trap.onnx")
        data = {"external_data": "weights.bin", "size_threshold_bytes": 16} if external else {}
        ir.save(ir.from_proto(proto), tmp_path / "in" / "trap.onnx", **data)
        ledger = optimize(tmp_path / "in" / "trap.onnx", tmp_path / "done.onnx", target=target)
        assert (tmp_path / "in" / "weights.bin").is_file() == external
        (tmp_path / "in").rename(tmp_path / "away")
        first, second = opened("trap.onnx"), opened("done.onnx")
        assert [one.name for one in first.get_inputs()] == [one.name for one in second.get_inputs()]
        assert [one.name for one in first.get_outputs()] == [one.name for one in second.get_outputs()]
        for case in list(made_up_cases(ir.load(tmp_path / "trap.onnx"), seed=77))[1:4]:
            for want, have in zip(first.run(None, dict(case.inputs)), second.run(None, dict(case.inputs)), strict=True):
                assert (have.dtype, have.shape) == (want.dtype, want.shape)
                scale = np.abs(want.astype(np.float64)).max(initial=0)
                tolerance = REWRITE.get(str(want.dtype), 0) * scale
                np.testing.assert_allclose(have.astype(np.float64), want.astype(np.float64), rtol=0, atol=tolerance)
        return ledger

    return through_target
