"""Loops whose number of rounds is known become that many copies of their body: atc has no parser for Loop.

Source: https://www.hiascend.com/document/caselibrary/detail/atc_case_00013, which advises the same for fixed rounds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.passes.chain import Chain, operand
from inferry.passes.patterns import made_by
from inferry.passes.rewriting import Context, DeclinedError, Outcome, constant, label, rewrite

_MOST_ROUNDS: Final = 64
_MOST_NODES: Final = 2048
"""Bounds on what one Loop may become: beyond them compiling takes long and the file grows."""


@dataclass(frozen=True, slots=True)
class UnrollLoops:
    """A Loop with a constant number of rounds and a condition that stays true is written out, the innermost first."""

    name: str = "unroll-loops"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. Loops in the bodies of others are unrolled before those."""
        matches = 0
        while True:
            outcome = rewrite(model, {"Loop"}, _rule)
            matches += outcome.matches
            if not outcome.matches:
                return Outcome(model, matches, outcome.declined)


def _rule(node: ir.Node, context: Context) -> bool:
    body = node.attributes["body"].as_graph()
    rounds = _rounds(node, body)
    if any(inner.op_type == "Loop" and _can_unroll(inner) for inner in body.all_nodes()):
        return False
    chain = Chain(node, context)
    values: Sequence[ir.Value | None] = node.inputs[2:]
    kept: list[list[ir.Value]] = [[] for _ in body.outputs[len(values) + 1 :]]
    for number in range(rounds):
        place, going = chain.constant(number), chain.constant(np.True_, np.bool_)
        outputs = _copy(node, body, [place, going, *values], chain, context)
        values = outputs[1 : len(values) + 1]
        for collected, value in zip(kept, outputs[len(values) + 1 :], strict=True):
            collected.append(chain.unsqueeze(value, 0))
    stacked = [chain.op("Concat", *collected, axis=0) for collected in kept]
    # What a body passes through is made elsewhere, but the Loop's outputs need nodes of their own.
    last = [chain.op("Identity", value) for value in values]
    chain.replace(dict(zip(node.outputs, [*last, *stacked], strict=True)))
    return True


def _rounds(node: ir.Node, body: ir.Graph) -> int:
    """How often the body runs.

    Raises:
        DeclinedError: That is not known, or too much would become of it.
    """
    trips = constant(node.inputs[0])
    if trips is None:
        raise DeclinedError("has a number of rounds that is not constant")
    if not (_always_true(operand(node, 1), None) and _always_true(body.outputs[0], body.inputs[1])):
        raise DeclinedError("may end early: its condition is computed")
    rounds = max(int(trips.reshape(())), 0)
    size = rounds * sum(1 for _ in body.all_nodes())
    if rounds > _MOST_ROUNDS or size > _MOST_NODES:
        raise DeclinedError(
            f"would become {size:,} nodes in {rounds:,} rounds; at most {_MOST_NODES:,} in {_MOST_ROUNDS}"
        )
    if not rounds and len(body.outputs) > len(node.inputs) - 1:
        raise DeclinedError("never runs, and what it would collect has an unknown shape")
    return rounds


def _can_unroll(node: ir.Node) -> bool:
    try:
        _rounds(node, node.attributes["body"].as_graph())
    except DeclinedError:
        return False
    return True


def _always_true(value: ir.Value | None, going: ir.Value | None) -> bool:
    """Whether a condition is left out, a constant that is true, or handed on from `going`."""
    while value is not None and value is not going:
        node = made_by(value, "Identity")
        if node is None:
            array = constant(value)
            return array is not None and bool(array.all())
        value = node.inputs[0]
    return True


def _copy(
    node: ir.Node, body: ir.Graph, inputs: Iterable[ir.Value | None], chain: Chain, context: Context
) -> list[ir.Value]:
    """One round: the body's nodes join the chain under new names; gives what stands for the body's outputs."""
    copied = body.clone(allow_outer_scope_values=True)
    stand_ins = dict(zip(copied.inputs, inputs, strict=True))
    assert isinstance(node.graph, ir.Graph)
    for value in list(copied.initializers.values()):
        assert value.const_value is not None, "an initializer of a subgraph holds its array"
        stand_ins[value] = chain.constant(value.const_value.numpy(), value.const_value.dtype.numpy())
    for old, new in stand_ins.items():
        for user, index in tuple(old.uses()):
            user.replace_input_with(index, new)
    outputs = [stand_ins.get(value, value) for value in copied.outputs]
    nodes = list(copied)
    copied.outputs.clear()
    copied.remove(nodes)
    _rename(nodes, label(node), context)
    chain.nodes.extend(nodes)
    assert all(value is not None for value in outputs)
    return [value for value in outputs if value is not None]


def _rename(nodes: Iterable[ir.Node], base: str, context: Context) -> None:
    """Names that are new in the whole model, those inside of nodes included."""
    for node in _with_inner(nodes):
        node.name = context.fresh(f"{base}_{label(node)}")
        for value in node.outputs:
            if value.name:
                value.name = context.fresh(f"{base}_{value.name}")


def _with_inner(nodes: Iterable[ir.Node]) -> Iterator[ir.Node]:
    for node in nodes:
        yield node
        for attribute in node.attributes.values():
            graphs = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else []
            for graph in graphs:
                yield from graph.all_nodes()
