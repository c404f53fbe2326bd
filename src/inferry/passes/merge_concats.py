"""A Concat within a Concat along the same axis becomes part of it."""

from dataclasses import dataclass

import onnx_ir as ir

from inferry.passes.rewriting import Context, DeclinedError, Outcome, rewrite, same_axis, used_once


@dataclass(frozen=True, slots=True)
class MergeConcats:
    """The inner Concat's inputs stand where its result stood."""

    name: str = "merge-concats"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Concat"}, _rule)


def _rule(node: ir.Node, _: Context) -> bool:
    inputs: list[ir.Value | None] = []
    reasons = []
    for value in node.inputs:
        inner = None if value is None else value.producer()
        if value is None or inner is None or inner.op_type != "Concat" or inner.domain:
            inputs.append(value)
        elif not same_axis(value, _axis(inner), _axis(node)):
            inputs.append(value)
            reasons.append("joins along another axis than the Concat inside it")
        elif not used_once(value):
            inputs.append(value)
            reasons.append("holds a Concat whose result is used elsewhere too")
        else:
            inputs += inner.inputs
    if len(inputs) == len(node.inputs):
        if reasons:
            raise DeclinedError(reasons[0])
        return False
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
    return True


def _axis(node: ir.Node) -> int:
    return node.attributes["axis"].as_int()
