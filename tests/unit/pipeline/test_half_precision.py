import json
import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.bundle import Bundle
from inferry.core.errors import ParityError, UsageError
from inferry.pipeline.half_precision import NOTE, HalfEmulation, half_drift, mixed_drift, release

FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2")


@pytest.fixture(scope="module")
def overflowing(tiny_bundle, tmp_path_factory):
    """The tiny wav2vec2 with two nodes before the logits that go beyond the range of half precision and come back."""
    folder = tmp_path_factory.mktemp("overflowing")
    for file in tiny_bundle.path.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    model = ir.load(tiny_bundle.model)
    graph = model.graph
    (node,) = (node for node in graph if "logits" in {value.name for value in node.outputs})
    logits = node.outputs[0]
    factor = ir.Value(name="factor", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([]))
    factor.const_value = ir.Tensor(np.float32(1e6).reshape(()), name="factor")
    graph.register_initializer(factor)
    up = ir.node("Mul", [logits, factor], name="up")
    up.outputs[0].name = "raised"
    down = ir.node("Div", [up.outputs[0], factor], name="down")
    down.outputs[0].type, down.outputs[0].shape = logits.type, logits.shape
    graph.extend([up, down])
    graph.outputs[[value.name for value in graph.outputs].index("logits")] = down.outputs[0]
    logits.name, down.outputs[0].name = "scores", "logits"
    ir.save(model, folder / "model.onnx")
    return Bundle(folder, tiny_bundle.manifest)


@pytest.mark.parametrize("family", FAMILIES)
def test_small_drift_on_the_probes(tiny_bundles, family):
    found = half_drift(tiny_bundles[family])
    assert found.hop.samples == 4
    assert 0 < found.hop.max_abs < 0.1
    assert found.overflows == ()
    assert NOTE in found.lines[0]
    assert "no tensor leaves the range" in found.lines[-1]
    assert found.nodes == len(list(ir.load(tiny_bundles[family].model).graph))


def test_pictures_and_questions(picture_bundle, question_bundle):
    for bundle, figure in ((picture_bundle, "same class as the truth"), (question_bundle, "same answer as the truth")):
        found = half_drift(bundle)
        assert 0 < found.hop.max_abs < 0.1
        assert found.hop.agreement is not None
        assert (found.hop.agreement.name, found.hop.agreement.percent) == (figure, 100)


def test_all_nodes_in_float32_drift_by_nothing(picture_bundle):
    names = [node.name for node in ir.load(picture_bundle.model).graph]
    found = half_drift(picture_bundle, names)
    # The runtime's rewrites of the float32 session round otherwise.
    assert found.hop.max_abs < 1e-5
    assert found.keep == tuple(names)
    assert f"{len(names)} of {len(names)} nodes kept in float32" in found.lines[0]


def test_aipp_before_half_precision(picture_bundle):
    plain, normalised = (half_drift(picture_bundle, aipp=aipp) for aipp in (False, True))
    assert 0 < normalised.hop.max_abs < 0.1
    assert normalised.hop.difference.mean_abs != plain.hop.difference.mean_abs


def test_aipp_is_refused_where_there_are_no_pictures(tiny_bundle):
    with pytest.raises(UsageError, match="this bundle takes a waveform"):
        half_drift(tiny_bundle, aipp=True)


def test_an_overflow_is_named_and_no_answer_survives_it(overflowing):
    found = half_drift(overflowing)
    assert math.isinf(found.hop.max_abs)
    assert found.hop.answers_changed == 4
    assert not found.passed
    assert [(one.node, one.tensor, one.weight) for one in found.overflows] == [
        ("up", "factor", True),
        ("up", "raised", False),
    ]
    assert "first factor at up (Mul): 1e+06" in found.lines[-1]
    row = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert row["first_overflow"]["node"] == "up"
    assert row["hop"]["max_abs"] is None
    assert row["note"] == NOTE


def test_mixed_keeps_what_overflows_and_no_more(overflowing, tiny_bundle):
    found = mixed_drift(overflowing)
    assert found.keep == ("up", "down")
    assert found.hop.max_abs == pytest.approx(half_drift(tiny_bundle).hop.max_abs, rel=0.1)
    assert mixed_drift(tiny_bundle).keep == ()


def test_mixed_keeps_what_the_user_names_too(overflowing):
    found = mixed_drift(overflowing, ["lm_head/Add"])
    assert found.keep == ("lm_head/Add", "up", "down")
    with pytest.raises(UsageError, match="no node nowhere"):
        mixed_drift(overflowing, ["nowhere"])


def test_a_tolerance_keeps_further_nodes(picture_bundle):
    plain = half_drift(picture_bundle).hop.max_abs
    with HalfEmulation(picture_bundle) as emulation:
        keep = emulation.keep_for(plain / 2, searches=24)
        found = emulation.drift(keep, plain / 2)
    assert found.passed
    assert 0 < len(keep) < found.nodes
    assert found.keep == keep


def test_a_tolerance_that_float32_misses_is_an_error(picture_bundle):
    with pytest.raises(ParityError, match="with every node in float32"):
        mixed_drift(picture_bundle, tolerance=1e-12)


def test_no_line_begins_with_what_is_missing(picture_bundle):
    found = half_drift(picture_bundle)
    assert found.lines[1].endswith(" %, samples: 4")
    assert replace(found, hop=replace(found.hop, agreement=None, accuracy=None), float32=None).lines[1] == "samples: 4"


def test_a_data_set_with_references(picture_bundle, pictures, tmp_path):
    data = pictures.write_pictures(tmp_path / "data", 3)
    found = half_drift(picture_bundle, data=data, limit=2)
    assert found.hop.samples == 2
    assert found.float32 is not None
    assert found.hop.accuracy is not None
    assert "in float32" in found.lines[1]
    assert found.to_json()["data"] == str(data)


def test_nothing_to_compare_is_an_error(tiny_bundle, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(ParityError, match="nothing was compared"):
        half_drift(tiny_bundle, data=tmp_path)


def test_float32_without_a_number_is_no_truth(overflowing):
    model = ir.load(overflowing.model)
    model.graph.initializers["factor"].const_value = ir.Tensor(np.float32(np.inf).reshape(()), name="factor")
    folder = overflowing.path.with_name("infinite")
    folder.mkdir()
    for file in overflowing.path.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    ir.save(model, folder / "model.onnx")
    with pytest.raises(ParityError, match="not finite in float32"):
        half_drift(replace(overflowing, path=folder))


def test_unknown_nodes_are_refused(tiny_bundle):
    with pytest.raises(UsageError, match="no node nowhere"):
        half_drift(tiny_bundle, ["nowhere"])


@given(st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_what_is_needed_is_never_released(count, needed):
    names = [str(index) for index in range(count)]
    wanted = {str(index) for index in needed if index < count}
    asked = []

    def passes(some):
        asked.append(tuple(some))
        return wanted <= set(some)

    assert set(release(names, passes, 1000)) == wanted
    asked.clear()
    few = release(names, passes, 3)
    assert wanted <= set(few)
    assert len(asked) <= 3
