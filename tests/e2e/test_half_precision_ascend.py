"""What the emulation of half precision says is what a bundle compiled for the simulated NPU computes, bit by bit."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.samples import Audio
from inferry.passes.emulate_half import emulate_half
from inferry.pipeline.compiling.precision import PrecisionDetails
from inferry.pipeline.model import load

SAMPLES = 3200


def emulated(bundle, keep, inputs):
    """The logits of one sample alone."""
    model = ir.load(bundle.model)
    ShapeInferencePass()(model)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    proto = ir.to_proto(emulate_half(model, keep)).SerializeToString()
    session = ort.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {name: array[None] for name, array in inputs.items()})[0][0]


@pytest.mark.parametrize("keep", [(), ("lm_head/MatMul", "lm_head/Add")])
@pytest.mark.usefixtures("installed_acl")
def test_the_om_computes_what_is_emulated(compile_for_npu, tiny, tiny_bundle, keep):
    compiled = compile_for_npu(
        tiny_bundle,
        precision="fp16",
        sizes={"samples": (SAMPLES,)},
        batch_sizes=(1,),
        details=PrecisionDetails(keep_fp32=keep),
    )
    sound = Audio(tiny.sound(SAMPLES, 1), 16_000)
    with load(compiled.path, backend="ascend", precision="fp16") as model:
        (found,) = model.infer([sound])
    with load(compiled.path) as model:
        features = model.processor.process(model.processor.source(sound))
        (exact,) = model.infer([sound])
    np.testing.assert_array_equal(found["logits"], emulated(compiled, keep, features.inputs))
    assert 0 < np.abs(found["logits"] - exact["logits"]).max() < 0.1
