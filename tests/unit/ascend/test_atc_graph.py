import dataclasses

import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_graph import graph_problems
from inferry.core.graph_facts import GraphFacts, InputFacts

IDS = InputFacts("ids", ("batch", "length"), "INT64")
IMAGE = InputFacts("image", (1, 3, None, None), "FLOAT")
FREE = InputFacts("free", None, "FLOAT")
X = InputFacts("x", ("n",), "FLOAT")
SCALAR = InputFacts("s", (), "FLOAT")
FIXED = InputFacts("fixed", (1, 4), "FLOAT")
GRAPH = GraphFacts(
    inputs=(IDS, IMAGE),
    outputs=("logits",),
    nodes=frozenset({"/Conv"}),
    opsets=frozenset({("", 17)}),
    operators=frozenset({("", "Conv")}),
)
SHAPED = "--input_shape=ids:1,16;image:1,3,224,224"


def problems(*arguments, **changes):
    return graph_problems(parse_command(arguments), dataclasses.replace(GRAPH, **changes))


def codes(*arguments, **changes):
    return [problem.code for problem in problems(*arguments, **changes)]


@pytest.mark.parametrize(
    ("arguments", "changes", "code"),
    [
        (["--input_shape=id:1,16;ids:1,16;image:1,3,2,2"], {}, "E10016"),
        (["--input_shape=/Conv:1;ids:1,16;image:1,3,2,2"], {}, "E10017"),
        (["--input_shape=ids:1;image:1,3,2,2"], {}, "E10049"),
        (["--input_shape=ids:;image:1,3,2,2"], {}, "E10049"),
        (["--input_shape=-1,16;1,3"], {}, "E10049"),
        (["--input_shape=ids:1,16;image:1,4,2,2"], {}, "usage"),
        (["--input_shape=ids:1,16;image:1,-1,2,2"], {}, "usage"),
        (["--input_shape=ids:1,16;image:1,1~4,2,2"], {}, "usage"),
        (["--input_shape=-1,16;1,4,2,2"], {}, "usage"),
        (["--input_shape=fixed:1,5"], {"inputs": (FIXED,)}, "usage"),
        (["--input_shape=-1,16;1,3,2,2;1"], {}, "E10002"),
        (["--input_shape=ids:1,16"], {}, "E10004"),
        (["--input_shape=-1,16"], {}, "E10004"),
        (["--dynamic_dims=1;2", "--input_shape=x:-1"], {"inputs": (X, SCALAR)}, "E10004"),
        ([], {}, "E10004"),
        ([SHAPED, "--input_fp16_nodes=image;imag"], {}, "E10016"),
        ([SHAPED, "--input_fp16_nodes=/Conv"], {}, "E10017"),
        ([SHAPED, "--out_nodes=/Con:0"], {}, "E10016"),
        ([SHAPED, "--out_nodes=logit"], {}, "E10016"),
        ([SHAPED, "--out_nodes=/Conv:1"], {"arity": {"/Conv": (2, 1)}}, "E10003"),
        ([SHAPED], {"operators": frozenset({("", "QuantizeLinear")})}, "E19010"),
        ([SHAPED], {"opsets": frozenset({("", 17), ("", 18)})}, "E16005"),
        ([SHAPED], {"opsets": frozenset({("", 10)})}, "E16002"),
        ([SHAPED], {"opsets": frozenset({("", 19)})}, "E16002"),
        ([SHAPED], {"operators": frozenset({("com.microsoft", "FastGelu")})}, "E19010"),
        ([SHAPED], {"operators": frozenset({("", "Scan")})}, "E19010"),
        ([SHAPED], {"empty": ("cut",)}, "E10055"),
        ([], {"inputs": (InputFacts("fixed", (1,), "DOUBLE"),)}, "E10055"),
        (
            ["--dynamic_batch_size=1,2", "--input_shape=ids:-1,16;image:1,3,2,2"],
            {"operators": frozenset({("", "AscendQuant"), ("", "AscendDequant")})},
            "E10055",
        ),
        (
            ["--dynamic_batch_size=1,2", "--input_shape=ids:-1,16;image:1,3,2,2"],
            {"operators": frozenset({("", "NonZero")})},
            "E10055",
        ),
    ],
)
def test_rules_trip(arguments, changes, code):
    assert codes(*arguments, **changes) == [code]


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ([SHAPED], {}),
        (["--input_shape=ids:-1,1~16;image:1,3,-1,-1"], {}),
        (["--input_shape=-1,16;1,3,224,224"], {}),
        (["--input_shape_range=ids:[1~2,16];image:[1,3,-1,-1]"], {}),
        ([], {"inputs": (FIXED,)}),
        (["--input_shape=fixed:1,4"], {"inputs": (FIXED,)}),
        (["--input_shape=fixed:2,4"], {"inputs": (FIXED,)}),
        (["--input_shape=free:2,4,8"], {"inputs": (FREE,)}),
        (["--input_shape=s:"], {"inputs": (SCALAR,)}),
        (["--dynamic_dims=1;2", "--input_shape=x:-1;s:"], {"inputs": (X, SCALAR)}),
        (["--dynamic_batch_size=1,2", "--input_shape=x:-1"], {"inputs": (X, SCALAR)}),
        (["--mode=6"], {}),
        ([SHAPED, "--input_fp16_nodes=image"], {}),
        ([SHAPED, "--out_nodes=/Conv:0"], {}),
        ([SHAPED, "--out_nodes=logits"], {}),
        ([SHAPED, "--out_nodes=/Conv:0"], {"arity": {"/Conv": (2, 1)}}),
        ([SHAPED, "--out_nodes=x:0"], {"outputs": ("x:0",)}),
        ([SHAPED], {"opsets": frozenset({("", 11), ("local", 1)})}),
        ([SHAPED], {"opsets": frozenset({("", 18)})}),
        ([SHAPED], {"operators": frozenset({("", "AscendQuant"), ("", "NonZero")})}),
        ([SHAPED], {"operators": frozenset({("", "Erf"), ("", "Trilu")})}),
        (["--dynamic_batch_size=1,2", "--input_shape=ids:-1,16;image:1,3,2,2"], {}),
    ],
)
def test_rules_pass(arguments, changes):
    assert codes(*arguments, **changes) == []


def test_the_nearest_input_and_the_true_shape_are_named():
    unknown, missing = problems("--input_shape=image:1,3,2,2;idss:1,16")
    assert unknown.fix == "the nearest is ids"
    assert "ids" in missing.found
    (rank,) = problems("--input_shape=ids:1,16,1;image:1,3,2,2")
    assert rank.fix == "the graph's are batch,length"
