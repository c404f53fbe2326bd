import pytest

from inferry.backends.ascend_gears import Gear
from inferry.backends.ascend_model import (
    Kind,
    Om,
    Origin,
    Port,
    growing_axes,
    output_specs,
    read_origin,
    sizes_of,
    write_origin,
)
from inferry.core.errors import BackendError
from inferry.core.specs import TensorSpec

ORIGIN = Origin(
    (TensorSpec("pixels", "float32", ("batch", 3, "height", 8)),),
    (TensorSpec("logits", "float32", ("batch", 4)), TensorSpec("boxes", "int64", ("batch", 2))),
    "fp16",
)


def om(kind=Kind.STATIC, inputs=("pixels",), outputs=("logits", "boxes")):
    ports = tuple(Port(name, "float16", (-1, 3, 8, 8), 8) for name in inputs)
    return Om(kind, ports, tuple(Port(name, "float16", (2, 4), 8) for name in outputs), (Gear((), ((1, 3, 8, 8),)),))


def test_the_description_comes_back(tmp_path):
    path = tmp_path / "model.om"
    assert read_origin(path) is None
    write_origin(path, ORIGIN)
    assert read_origin(path) == ORIGIN


def test_symbolic_axes_grow():
    assert growing_axes(om(), ORIGIN) == (frozenset({0, 2}),)
    assert growing_axes(om(), None) == (frozenset(),)
    assert growing_axes(om(Kind.BATCH), None) == (frozenset({0}),)


def test_inputs_of_another_graph_are_refused():
    with pytest.raises(BackendError, match=r"\['image'\], its graph's \['pixels'\]"):
        growing_axes(om(inputs=("image",)), ORIGIN)


def test_outputs_are_matched_by_name_then_by_order():
    logits, boxes = ORIGIN.outputs
    assert output_specs(om(outputs=("boxes", "logits")), ORIGIN) == (boxes, logits)
    assert output_specs(om(outputs=("output_0_Gemm", "output_1_Cast")), ORIGIN) == (logits, boxes)
    with pytest.raises(BackendError, match="the om's outputs are"):
        output_specs(om(outputs=("logits",)), ORIGIN)


def test_only_the_counted_sizes_are_taken():
    assert sizes_of({"name": "", "dimCount": 2, "dims": [4, 5, 0, 0]}) == (4, 5)
