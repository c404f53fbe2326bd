"""What compiling writes and measures in half precision."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from inferry.core.errors import UsageError
from inferry.pipeline.compile import CompileOptions, compile_bundle
from inferry.pipeline.compiling.precision import PrecisionDetails
from inferry.pipeline.compiling.running import LOG

OPTIONS = CompileOptions("Ascend310P3", precision="fp16", sizes={"samples": (16_000,)}, batch_sizes=(1, 4))


@pytest.fixture
def node(bundle):
    """The name of the last node."""
    return onnx.load(bundle.model).graph.node[-1].name


def test_nodes_that_stay_in_float32_are_written_into_a_file(bundle, node, cann, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{cann.install(tmp_path)}:{os.environ['PATH']}")
    made = compile_bundle(bundle, replace(OPTIONS, details=PrecisionDetails((node, "Type:Softmax")))).compiled
    assert made.is_complete, (made.folder / LOG).read_text(encoding="utf-8")
    assert "--keep_dtype=keep_dtype.cfg" in made.units[0].command
    text = (made.folder / "keep_dtype.cfg").read_text(encoding="utf-8")
    assert text == f"{node}\nOpType::SoftmaxV2\n"


def test_mixed_keeps_what_leaves_the_range_of_half_precision(bundle, cann, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{cann.install(tmp_path)}:{os.environ['PATH']}")
    model = onnx.load(bundle.model)
    name = next(node.input[1] for node in model.graph.node if node.name == "lm_head/MatMul")
    weight = next(one for one in model.graph.initializer if one.name == name)
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1e6), weight.name))
    onnx.save(model, bundle.model)
    made = compile_bundle(bundle, replace(OPTIONS, precision="mixed", details=PrecisionDetails(("lm_head/Add",))))
    assert made.compiled.is_complete, (made.compiled.folder / LOG).read_text(encoding="utf-8")
    assert "--precision_mode_v2=fp16" in made.compiled.units[0].command
    kept = (made.compiled.folder / "keep_dtype.cfg").read_text(encoding="utf-8").split()
    assert "lm_head/MatMul" in kept
    assert set(kept) == {"lm_head/Add", *made.drift.keep}
    assert len(kept) == len(set(kept))


def test_half_precision_is_measured_on_the_users_own_data(bundle, no_atc, tiny, tmp_path):
    data = tiny.write_data(tmp_path / "data", 3)
    mixed = replace(OPTIONS, precision="mixed")
    asked = compile_bundle(bundle, replace(mixed, data=data, limit=2))
    assert (asked.drift.data, asked.drift.hop.samples, asked.notes) == (str(data), 2, ())
    half = compile_bundle(bundle, replace(OPTIONS, data=data), emulate=True)
    assert (half.drift.data, half.drift.hop.samples) == (str(data), 3)
    assert ["--data" in note for note in compile_bundle(bundle, mixed).notes] == [True]


def test_half_precision_is_emulated_where_that_is_asked_for(bundle, no_atc):
    assert compile_bundle(bundle, OPTIONS).drift is None
    assert compile_bundle(bundle, replace(OPTIONS, precision="fp32"), emulate=True).drift is None
    made = compile_bundle(
        bundle, replace(OPTIONS, details=PrecisionDetails(("lm_head/Add", "Type:Softmax"))), emulate=True
    )
    assert "lm_head/Add" in made.drift.keep
    assert len(made.drift.keep) > 1
    assert made.to_json()["drift"]["note"] == "emulated on this CPU, not measured on an NPU"


@pytest.mark.parametrize(
    ("change", "emulate"),
    [
        ({"precision": "fp32"}, True),
        ({"precision": "fp16"}, False),
        ({"precision": "mixed", "details": PrecisionDetails(mix_list=("black+Softmax",))}, True),
    ],
)
@pytest.mark.parametrize("given", [{"data": Path("sounds")}, {"limit": 3}, {"kind": "audio-folder"}])
def test_a_data_set_that_nobody_looks_at_is_refused(bundle, no_atc, change, emulate, given):
    with pytest.raises(UsageError, match="nothing is measured here"):
        compile_bundle(bundle, replace(OPTIONS, **change, **given), emulate=emulate)


def lines(made, name):
    return (made.compiled.folder / name).read_text().splitlines()


def test_single_nodes_and_operators_get_their_files(bundle, node):
    details = PrecisionDetails(
        op_precision=("Type:Softmax=high_precision", f"{node}=keep_fp16"), dtypes=("Type:Add=float32,float32:float32",)
    )
    made = compile_bundle(bundle, replace(OPTIONS, details=details))
    command = made.compiled.units[0].command
    assert {"--op_precision_mode=op_precision_mode.ini", "--customize_dtypes=customize_dtypes.cfg"} <= set(command)
    assert lines(made, "op_precision_mode.ini") == [
        *("[ByOpType]", "SoftmaxV2=high_precision", "[ByNodeName]", f"{node}=keep_fp16")
    ]
    assert lines(made, "customize_dtypes.cfg") == ["OpType::Add:InputDtype:float32,float32,OutputDtype:float32"]


def test_atcs_own_lists_stand_in_the_place_of_what_was_measured(bundle):
    details = PrecisionDetails(mix_list=("black+Softmax", "white-Sub"))
    made = compile_bundle(bundle, replace(OPTIONS, precision="mixed", details=details))
    assert "--precision_mode_v2=mixed_float16" in made.compiled.units[0].command
    assert json.loads((made.compiled.folder / "modify_mixlist.json").read_text()) == {
        "black-list": {"to-add": ["SoftmaxV2"], "to-remove": []},
        "white-list": {"to-add": [], "to-remove": ["Sub"]},
    }
    assert made.drift is None
    assert any("nothing was emulated" in note for note in made.notes)


@pytest.mark.parametrize(
    ("precision", "details", "message"),
    [
        ("fp16", {"mix_list": ("black+Softmax",)}, "--precision is fp16"),
        ("mixed", {"mix_list": ("grey+Softmax",)}, "is not black+OPERATOR"),
        ("mixed", {"mix_list": ("black+",)}, "is not black+OPERATOR"),
        ("fp16", {"op_precision": ("Type:Softmax",)}, "is not NAME=high_precision"),
        ("fp16", {"op_precision": ("Type:Softmax=fast",)}, "the values are"),
        ("fp16", {"op_precision": ("Type:Softmax=keep_fp16",) * 2}, "names Type:Softmax twice"),
        ("fp16", {"dtypes": ("Type:Add=float32",)}, "types of the outputs are missing"),
        ("fp32", {"dtypes": ("Type:Add=float32:float32",)}, "has no effect"),
    ],
)
def test_what_cannot_be_meant_is_refused(bundle, precision, details, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        compile_bundle(bundle, replace(OPTIONS, precision=precision, details=PrecisionDetails(**details)))
