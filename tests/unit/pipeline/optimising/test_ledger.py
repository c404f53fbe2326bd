import json
import math
from pathlib import Path

import pytest

from inferry.core.files import to_json_text
from inferry.passes.rewriting import Declined
from inferry.pipeline.optimising.failures import Failure
from inferry.pipeline.optimising.ledger import Entry, Ledger

DECLINED = (Declined("a", "is too large"), Declined("b", "has no type"), Declined("c", "has no type"))
KEPT = Entry("fold", "kept", 2, DECLINED, 5, 3, 1e-7)
PART = Failure(Path("b.onnx.failed/break"), 2, "t", "Conv_7")
BROKEN = Entry("break", "rolled back", 1, (), 3, 3, math.inf, "output y is gone", PART)


def ledger(*entries, problems=()):
    return Ledger(Path("a.onnx"), Path("b.onnx"), "npu", entries, 0.0, ("t=4",), {"t=7": "no"}, problems, {"seed": 0})


def test_reasons_are_counted():
    assert list(KEPT.reasons.items()) == [("has no type", 2), ("is too large", 1)]


@pytest.mark.parametrize(
    ("made", "ok"), [(ledger(KEPT), True), (ledger(KEPT, BROKEN), False), (ledger(KEPT, problems=("x",)), False)]
)
def test_only_a_whole_success_is_one(made, ok):
    assert made.ok is ok
    assert [entry.name for entry in made.rolled_back] == (["break"] if BROKEN in made.entries else [])


def test_the_node_is_that_of_the_part():
    assert (KEPT.node, BROKEN.node) == ("", "Conv_7")


def test_json():
    row = json.loads(to_json_text(ledger(KEPT, BROKEN).to_json()))
    assert row["ok"] is False
    assert row["skipped"] == {"t=7": "no"}
    first, second = row["passes"]
    assert first["declined"][0] == {"node": "a", "reason": "is too large"}
    assert (first["difference"], first["nodes_before"], first["nodes_after"]) == (1e-7, 5, 3)
    assert first["failure"] is None
    assert second["failure"] == {
        "folder": "b.onnx.failed/break",
        "nodes": 2,
        "tensor": "t",
        "node": "Conv_7",
        "whole": "",
    }
    assert (second["result"], second["difference"], second["problem"]) == ("rolled back", None, "output y is gone")
