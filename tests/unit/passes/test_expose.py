import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from inferry.core.errors import UsageError
from inferry.passes.expose import expose_tensors

MIDDLE = "wav2vec2.encoder.layers.0/Add"


def run(path, inputs):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.fixture
def inputs(tiny):
    return {"input_values": tiny.sound(3000, 1)[None], "input_lengths": np.array([3000], np.int64)}


def test_a_tensor_from_the_middle_and_an_old_output(tiny, tiny_bundle, inputs, tmp_path):
    model = ir.load(tiny_bundle.model)
    count = len(list(model.graph))
    ir.save(expose_tensors(model, [MIDDLE, "logits"]), tmp_path / "probe.onnx")
    found = run(tmp_path / "probe.onnx", inputs)
    assert list(found) == [MIDDLE, "logits"]
    assert found[MIDDLE].dtype == np.float32
    assert found[MIDDLE].shape[::2] == (1, tiny.TRANSFORMER["hidden_size"])
    np.testing.assert_array_equal(found["logits"], run(tiny_bundle.model, inputs)["logits"])
    assert len(list(model.graph)) == count
    assert [value.name for value in model.graph.outputs] == ["logits", "output_lengths"]


def test_only_what_is_needed_is_kept(tiny_bundle):
    model = ir.load(tiny_bundle.model)
    first = next(iter(model.graph)).outputs[0].name
    made = expose_tensors(model, [first])
    assert len(list(made.graph)) == 1
    assert len(made.graph.initializers) < len(model.graph.initializers)
    assert [value.name for value in made.graph.inputs] == ["input_values", "input_lengths"]


def test_external_weights_stay_where_they_are(tiny_bundle, inputs, tmp_path):
    ir.save(ir.load(tiny_bundle.model), tmp_path / "large.onnx", external_data="large.data")
    size = (tmp_path / "large.data").stat().st_size
    ir.save(expose_tensors(ir.load(tmp_path / "large.onnx"), [MIDDLE]), tmp_path / "probe.onnx")
    assert (tmp_path / "large.data").stat().st_size == size
    weights = ir.load(tmp_path / "probe.onnx").graph.initializers.values()
    assert any(isinstance(weight.const_value, ir.ExternalTensor) for weight in weights)
    assert np.isfinite(run(tmp_path / "probe.onnx", inputs)[MIDDLE]).all()


@pytest.mark.parametrize(("names", "message"), [((), "nothing"), (("logits", "nowhere"), "nowhere")])
def test_unknown_names_are_refused(tiny_bundle, names, message):
    with pytest.raises(UsageError, match=f"no node of this graph makes {message}"):
        expose_tensors(ir.load(tiny_bundle.model), names)
