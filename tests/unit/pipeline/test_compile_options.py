"""What the options of compiling mean, and what of them decides the artifact's key."""

from dataclasses import replace

import onnx
import pytest

from inferry.ascend.gear_set import Gear, GearSet
from inferry.core.compiled import find_compiled
from inferry.core.errors import UsageError
from inferry.pipeline.compile import CompileOptions, compile_bundle
from inferry.pipeline.compiling.precision import PrecisionDetails

P3 = "Ascend310P3"
OPTIONS = CompileOptions(soc=P3, precision="fp16", sizes={"samples": (16_000,)}, batch_sizes=(1, 4))


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "fp32"},
        {"soc": "Ascend910B3"},
        {"batch_sizes": (1, 8)},
        {"sizes": {"samples": (32_000,)}},
        {"split": True},
        {"fusion_off": ("SoftmaxFusionPass",)},
        {"fp16_inputs": True},
        {"details": PrecisionDetails(("Type:Softmax",))},
    ],
)
def test_what_decides_the_om_is_in_its_key(bundle, no_atc, change):
    keys = {compile_bundle(bundle, options).compiled.key for options in (OPTIONS, replace(OPTIONS, **change))}
    assert len(keys) == len(find_compiled(bundle.model, "ascend")) == 2


def test_the_key_follows_what_the_files_say(bundle, no_atc):
    options = [replace(OPTIONS, fusion_off=(name,)) for name in ("AFusionPass", "BFusionPass")]
    first, second = (compile_bundle(bundle, one).compiled for one in options)
    assert first.units[0].command == second.units[0].command
    assert first.key != second.key


def test_the_key_follows_the_graph_itself(bundle, no_atc):
    first = compile_bundle(bundle, OPTIONS).compiled
    model = onnx.load(bundle.model)
    model.producer_name = "someone else"
    onnx.save(model, bundle.model)
    second = compile_bundle(bundle, OPTIONS).compiled
    assert first.key != second.key
    assert first.model_sha256 != second.model_sha256


WRONG = [
    ({"soc": ""}, "no chip is given.*npu-smi"),
    ({"soc": "Hopper"}, "'Hopper' is not known.*Ascend310P3"),
    ({"precision": "int8"}, "'int8' is not known.*fp32, fp16, mixed"),
    ({"backend": "onnxruntime"}, "onnxruntime needs no compiling"),
    ({"backend": "tensorrt"}, "no compiler for the backend 'tensorrt'"),
    ({"aipp": True, "fp16_inputs": True}, "exclude each other"),
    ({"details": PrecisionDetails(("nothing",))}, "the graph has no node 'nothing'"),
    (
        {"details": PrecisionDetails(("Type:Softmax",)), "precision": "fp32"},
        "keep_dtype has no effect beside --precision_mode_v2",
    ),
    ({"fp16_inputs": True, "precision": "fp32"}, "rounds what goes in"),
    ({"sizes": {}}, "no size is given for samples"),
    ({"sizes": {"tokens": (1,)}}, "unknown dimension 'tokens'"),
    ({"batch_sizes": tuple(range(1, 102))}, "101 gears; Ascend310P3 takes at most 100"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_options_that_cannot_be_meant_are_refused(bundle, no_atc, change, message):
    with pytest.raises(UsageError, match=message):
        compile_bundle(bundle, replace(OPTIONS, **change))
    assert find_compiled(bundle.model, "ascend") == ()


def test_fusion_passes_are_switched_off_in_a_file(bundle, no_atc):
    made = compile_bundle(bundle, replace(OPTIONS, fusion_off=("AFusionPass", "BFusionPass"))).compiled
    assert "--fusion_switch_file=fusion_switch.cfg" in made.units[0].command
    text = (made.folder / "fusion_switch.cfg").read_text(encoding="utf-8")
    assert text == "AFusionPass:off\nBFusionPass:off\n"


def test_gears_may_be_given_as_they_are(bundle, no_atc):
    gears = GearSet(bundle.manifest.inputs, (Gear(2, {"samples": 8_000}),))
    made = compile_bundle(bundle, CompileOptions(P3, gears=gears))
    assert made.gears == gears
    assert "--input_shape=input_values:2,8000;input_lengths:2" in made.compiled.units[0].command


def test_half_precision_inputs_are_named_and_described(bundle, no_atc):
    made = compile_bundle(bundle, replace(OPTIONS, fp16_inputs=True)).compiled
    assert "--input_fp16_nodes=input_values" in made.units[0].command
    assert [spec.dtype for spec in made.inputs] == ["float16", "int64"]
    assert [spec.dims for spec in made.inputs] == [spec.dims for spec in bundle.manifest.inputs]


def test_sounds_have_no_aipp(bundle, no_atc):
    with pytest.raises(UsageError, match="AIPP prepares pictures"):
        compile_bundle(bundle, replace(OPTIONS, aipp=True))
