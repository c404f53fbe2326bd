"""What is said about a fault: no more than was found."""

import json
import math
from dataclasses import replace

from inferry.pipeline.comparison.bisection import Departure
from inferry.pipeline.comparison.fault import _found

SHARP = Departure("encoder/Add", "Add", "encoder/Add", 0.5, 2.0, inputs_relative=0.0, sharp=True)


def sentence(**changes):
    return _found("optimised", "a", "Head.", replace(SHARP, **changes)).sentence


def test_a_sharp_departure():
    assert sentence() == (
        "Head. It comes in at the node encoder/Add (Add): its output is off by up to 0.5 where its values reach 2,"
        " its inputs agree."
    )
    assert "its inputs agree to 2e-07 of theirs" in sentence(inputs_relative=2e-7)
    assert sentence(changes=("its attributes differ",)).endswith(" In this node, its attributes differ.")


def test_rounding_that_grows_is_called_so():
    text = sentence(sharp=False, inputs_relative=1e-3)
    assert "No single node departs sharply, rounding grows along the way; encoder/Add (Add) adds most" in text


def test_a_node_is_named_only_where_it_is_certain():
    fault = _found("optimised", "a", "Head.", replace(SHARP, unseen=3))
    assert (fault.node, fault.operator, fault.tensor) == (None, None, "encoder/Add")
    assert "or at one of 3 nodes before it" in fault.sentence


def test_what_is_not_finite_is_said_and_can_be_written():
    fault = _found("optimised", "a", "Head.", replace(SHARP, difference=math.inf))
    assert "its output is not finite" in fault.sentence
    assert json.loads(json.dumps(fault.to_json(), allow_nan=False))["difference"] is None
