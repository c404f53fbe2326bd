"""Convolutions along one axis become convolutions of pictures that are one pixel high.

What msit's ``Conv1d2Conv2d`` does for Ascend NPUs, for any length and batch and with whole stacks in four dimensions.
"""

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from inferry.passes.chain import Chain
from inferry.passes.lifting import Lift, lift, lift_convolution, rank
from inferry.passes.rewriting import Context, Declined, Outcome, add_constant, constant, label

_OTHERS = frozenset({"ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv"})


@dataclass(frozen=True, slots=True)
class Conv1dToConv2d:
    """Each 1-D Conv runs on (batch, channels, 1, length).

    What lies between two convolutions (activations, normalisations, masks, transpositions) stays in four dimensions,
    so that a whole stack is entered by one Unsqueeze and left by one Squeeze. Sizes stay as dynamic as they were.
    """

    name: str = "conv1d-to-conv2d"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is a convolution."""
        context = Context(model)
        matches, declined = 0, []
        for graph in list(model.graphs()):
            stretch = _stretches(graph, context.opset)
            _rewrite(stretch, context)
            matches += sum(node.op_type == "Conv" for node in stretch)
            declined += [
                Declined(label(node), f"is a {node.op_type} along one axis: only Conv is rewritten")
                for node in graph
                if not node.domain and node.op_type in _OTHERS and _is_1d(node)
            ]
        if matches:
            RemoveUnusedNodesPass()(model)
        return Outcome(model, matches, tuple(declined))


def _is_1d(node: ir.Node) -> bool:
    """Whether a convolution has one axis besides batch and channels, as far as the graph says."""
    if "kernel_shape" in node.attributes:
        return len(node.attributes["kernel_shape"].as_ints()) == 1
    # QLinearConv has scale and zero point between data and weights.
    return 3 in {rank(node.inputs[0]), rank(node.inputs[3 if node.op_type == "QLinearConv" else 1])}


def _stretches(graph: ir.Graph, opset: int) -> dict[ir.Node, Lift]:
    """All 1-D convolutions and all nodes on a way from one to another that can carry the axis, in order."""
    carried: set[ir.Value] = set()
    lifts: dict[ir.Node, Lift] = {}
    for node in graph:
        if not node.domain and node.op_type == "Conv" and _is_1d(node):
            lifts[node] = lift_convolution(node)
        elif not carried.isdisjoint(node.inputs):
            found = lift(node, opset, carried)
            if found is None:
                continue
            lifts[node] = found
        else:
            continue
        carried.add(node.outputs[0])
    needed: set[ir.Value | None] = set()
    on_the_way = set()
    for node in reversed(lifts):
        if node.op_type == "Conv" or node.outputs[0] in needed:
            needed |= {node.inputs[place] for place in lifts[node].operands}
            on_the_way.add(node)
    return {node: lifts[node] for node in lifts if node in on_the_way}


def _rewrite(stretch: dict[ir.Node, Lift], context: Context) -> None:
    """Put the lifted form and a Squeeze in the place of each node; a Squeeze that nothing reads is removed later."""
    lifted: dict[ir.Value, ir.Value] = {}
    for node, change in stretch.items():
        chain = Chain(node, context)
        inputs = list(node.inputs)
        for place in change.operands:
            inputs[place] = _operand(chain, node, inputs[place], lifted, context)
        for place, array in change.constants.items():
            inputs += [None] * (place + 1 - len(inputs))
            inputs[place] = chain.constant(array)
        made = chain.op(node.op_type, *inputs, **{**node.attributes, **change.attributes})
        made.type = node.outputs[0].type
        narrow = chain.squeeze(made, 2)
        chain.replace({node.outputs[0]: narrow})
        lifted[narrow] = made


def _operand(
    chain: Chain, node: ir.Node, value: ir.Value | None, lifted: dict[ir.Value, ir.Value], context: Context
) -> ir.Value | None:
    """A value with the unit axis before its last; shared by all that need it, so that weights stay shared."""
    axes = rank(value)
    # A Conv's data may be of unknown rank, and is 3-D then.
    if value is None or (axes is not None and axes < 2):
        return value
    if value not in lifted:
        before_last = 2 if axes is None else axes - 1
        array = constant(value)
        if array is None:
            lifted[value] = chain.unsqueeze(value, before_last)
        else:
            shape = (*array.shape[:before_last], 1, *array.shape[before_last:])
            lifted[value] = add_constant(node, context, value.name or "constant", array.reshape(shape))
    return lifted[value]
