import re
from pathlib import Path

import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.ascend.atc_precision import Dtypes, customize_dtypes, op_precision_mode
from inferry.ascend.atc_soc import RESTRICTIONS, soc_family
from inferry.core.errors import UsageError
from inferry.core.graph_facts import GraphFacts

BASE = {"model": "m.onnx", "framework": "5", "output": "m", "soc_version": "Ascend310P3"}


def found(*options):
    """Codes for the base command with these options, `name=value` each."""
    values = BASE | dict(option.split("=", 1) for option in options)
    command = parse_command([f"--{name}={value}" for name, value in values.items()])
    return [problem.code for problem in lint(command, None, None)]


CHIPS = {
    "310P": "Ascend310P3",
    "310B": "Ascend310B4",
    "310": "Ascend310",
    "910B": "Ascend910B3",
    "A3": "Ascend910_9391",
    "910": "Ascend910ProA",
    "950": "Ascend950_1",
    "035": "Ascend035",
}


@pytest.mark.parametrize(("family", "chip"), CHIPS.items())
def test_chips_have_families(family, chip):
    assert soc_family(chip) == family


MISSING = {  # options with a value, and the families that lack it: the documentation's table
    "dynamic_batch_size=1,2": "035",
    "dynamic_image_size=1,1;2,2": "035",
    "dynamic_dims=1;2": "035",
    "insert_op_conf=x": "035",
    "singleop=x": "035",
    "check_report=x": "035",
    "virtual_type=1": "035",
    "mode=1": "035",
    "mode=0": "",
    "mode=30": "310 310P 310B 910 910B A3 950",
    "weight=x": "950 A3 910B 035",
    "op_name_map=x": "950 A3 910B 035",
    "sparsity=1": "950 310P 910 035",
    "core_type=VectorCore": "310 310B 910 910B A3 950 035",
    "core_type=AiCore": "",
    "deterministic=1": "310B 035",
    "deterministic_level=1": "310B 035",
    "ac_parallel_enable=1": "310B 035",
    "enable_single_stream=true": "310B 035",
    "multi_stream_parallel_mode=x": "310B 035",
    "tiling_schedule_optimize=1": "310B 910",
    "compression_optimize_conf=x": "950 035",
    "mdl_bank_path=x": "950 035",
    "op_bank_path=x": "950 035",
    "status_check=1": "950 A3 910B",
    "allow_hf32=true": "310B 310P 910",
    "precision_mode=allow_mix_precision_bf16": "310 310P 910 035",
    "precision_mode=allow_fp32_to_bf16": "310 310P 910 035",
    "precision_mode=allow_mix_precision": "",
    "precision_mode_v2=mixed_bfloat16": "310 310P 910 035",
    "precision_mode_v2=mixed_float16": "",
    "precision_mode_v2=cube_hif8": "310 310P 310B 910 910B A3 035",
    "precision_mode_v2=mixed_hif8": "310 310P 310B 910 910B A3 035",
    "output_type=HIF8": "310 310P 310B 910 910B A3 035",
    "output_type=a:0:FP16;b:0:FP8E5M2": "310 310P 310B 910 910B A3 035",
    "output_type=FP16": "",
}


def test_every_restriction_is_in_the_table():
    assert {rule.option for rule in RESTRICTIONS} == {option.partition("=")[0] for option in MISSING}


@pytest.mark.parametrize(("option", "missing"), MISSING.items())
@pytest.mark.parametrize(("family", "chip"), CHIPS.items())
def test_the_support_table(option, missing, family, chip):
    problems = lint(parse_command([f"--{option}", f"--soc_version={chip}"]), None, None)
    name = option.partition("=")[0]
    refused = [problem.code for problem in problems if f"{chip} does not support --{name}" in problem.found]
    assert refused == (["E10055"] if family in missing.split() else [])


@pytest.mark.parametrize(
    ("option", "missing"),
    [
        ("core_type=VectorCore", "Ascend910B3"),
        ("precision_mode=allow_fp32_to_bf16", "Ascend310P3"),
        ("precision_mode_v2=mixed_bfloat16", "Ascend910ProA"),
        ("sparsity=1", "Ascend310P3"),
        ("tiling_schedule_optimize=1", "Ascend310B1"),
        ("status_check=1", "Ascend910B3"),
        ("mode=30", "Ascend310P3"),
        ("output_type=HIF8", "Ascend310P3"),
        ("insert_op_conf=a", "Ascend035"),
        ("input_shape=a:-1", "Ascend310B4"),
        ("input_shape=a:1~4", "Ascend035"),
    ],
)
def test_what_a_chip_lacks(option, missing):
    assert "E10055" in found(option, f"soc_version={missing}")


@pytest.mark.parametrize(
    ("option", "chip"),
    [
        ("core_type=VectorCore", "Ascend310P3"),
        ("core_type=AiCore", "Ascend910B3"),
        ("precision_mode=allow_fp32_to_bf16", "Ascend910B3"),
        ("precision_mode_v2=mixed_bfloat16", "Ascend310B4"),
        ("sparsity=1", "Ascend910B3"),
        ("tiling_schedule_optimize=1", "Ascend310P3"),
        ("status_check=1", "Ascend310P3"),
        ("output_type=HIF8", "Ascend950_1"),
        ("input_shape=a:-1", "Ascend310P3"),
    ],
)
def test_what_a_chip_has(option, chip):
    assert found(option, f"soc_version={chip}") == []


def row(start):
    """The families in the cells of a row of the table of chips."""
    text = Path(__file__).parents[3].joinpath("docs", "ascend-recipes.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {re.escape(start)}.*$", text, re.MULTILINE)
    return [set(cell.strip().replace("Ascend035", "035").split(", ")) for cell in line.split("|")[2:4]]


GRAPH = GraphFacts((), nodes=frozenset({"a"}), arity={"a": (1, 1)})
BFLOAT16 = Dtypes(("bfloat16",), ("bfloat16",))


@pytest.mark.parametrize(("family", "chip"), CHIPS.items())
@pytest.mark.parametrize(
    ("start", "write"),
    [
        ("`bfloat16` in", lambda chip: customize_dtypes(GRAPH, {"a": BFLOAT16}, soc=chip)),
        (
            "`--op-precision …=",
            lambda chip: op_precision_mode(GRAPH, {"a": "enable_float_32_execution"}, soc=chip),
        ),
    ],
)
def test_the_table_of_chips_is_true(family, chip, start, write):
    accepting, refusing = row(start)
    assert (family in accepting) != (family in refusing)
    if family in accepting:
        assert write(chip).nodes == {"a"}
    else:
        with pytest.raises(UsageError, match=chip):
            write(chip)


def test_gears_are_no_free_shapes():
    assert found("input_shape=a:-1", "dynamic_batch_size=1,2", "soc_version=Ascend310B4") == []
