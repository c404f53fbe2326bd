"""Recurrent layers in the one form that is safe on Ascend: forward, without lengths, LSTM or GRU.

What public sources of CANN say (hicann/ops-nn, `common/src/framework/lstm_onnx_plugin.cpp` and `gru_onnx_plugin.cpp`,
and the fusion passes of CommonLSTM and CommonGRU): of the attributes only `direction` and `hidden_size` are read, so
activations, `clip`, `layout` and `linear_before_reset` have no effect; GRU becomes DynamicGRUV2, which resets after
the product; an LSTM's weights and biases must be constant, its peepholes are not read; Y_h and Y_c are cut from the
last step of the tensor, not from each row's. How lengths act on a reversed layer is not documented. ONNX's RNN is not
among the supported operators. ReverseSequence is, with lengths in int64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.passes.chain import Chain, operand
from inferry.passes.patterns import made_by
from inferry.passes.rewriting import Context, DeclinedError, Outcome, constant, rewrite

_BACKWARD: Final = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""For each direction of a layer, whether it runs from the end."""

_READ: Final = frozenset({"direction", "hidden_size", "linear_before_reset"})

_DEFAULTS: Final = {
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
    "GRU": ("Sigmoid", "Tanh"),
    "RNN": ("Tanh",),
}

_SHUT: Final = -1e4
"""The bias of a gate that is 0 whatever its input; it fits float16."""


@dataclass(frozen=True, slots=True)
class ForwardRecurrences:
    """LSTM, GRU and RNN that run backwards or take lengths become forward ones beside ReverseSequence.

    A reversed layer reads the steps of each row in reverse order, up to the row's length, and its outputs are put back;
    what lies beyond a length comes last and so changes nothing before it. Y is 0 there, as ONNX says, and Y_h is taken
    from each row's last step. An RNN becomes a GRU whose update gate is shut and whose reset gate is open: three times
    the products, but a layer that the target has.
    """

    name: str = "forward-recurrences"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, _DEFAULTS, _rule)


def _rule(node: ir.Node, context: Context) -> bool:
    backward = _BACKWARD[node.attributes.get_string("direction", "forward")]
    if node.op_type != "RNN" and backward == (False,) and operand(node, 4) is None:
        return False
    _require_known_form(node, context)
    layer = _Layer.of(node, context)
    runs = [layer.run(place, backwards=backwards) for place, backwards in enumerate(backward)]
    made = {}
    for output, axis, parts in zip(node.outputs, (1, 0, 0), zip(*runs, strict=True), strict=False):
        if _needed(output):
            known = [part for part in parts if part is not None]
            made[output] = known[0] if len(known) == 1 else layer.chain.op("Concat", *known, axis=axis)
    layer.chain.replace(made)
    return True


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer that is being written anew.

    Attributes:
        node: The old one.
        chain: The new nodes.
        weights: W, R and, where there is one, B, of all directions.
        rows: Each row's length, int64 (batch).
        inside: Whether a step is within its row, (steps, 1, batch, 1); None where all are.
    """

    node: ir.Node
    chain: Chain
    weights: tuple[Array, ...]
    rows: ir.Value
    inside: ir.Value | None

    @classmethod
    def of(cls, node: ir.Node, context: Context) -> "_Layer":
        weights, chain = tuple(_weights(node)), Chain(node, context)
        shape = chain.op("Shape", node.inputs[0])
        steps = chain.op("Gather", shape, chain.constant([0]))
        rows = _rows(node, chain)
        if rows is None:
            batch = chain.op("Gather", shape, chain.constant([1]))
            return cls(node, chain, weights, chain.op("Expand", steps, batch), None)
        places = chain.op("Range", chain.constant(0), chain.squeeze(steps, 0), chain.constant(1))
        inside = chain.op("Less", chain.unsqueeze(places, 1), rows)
        return cls(node, chain, weights, rows, chain.unsqueeze(inside, 1, 3))

    def run(self, place: int, *, backwards: bool) -> tuple[ir.Value | None, ir.Value | None, ir.Value | None]:
        """One direction: Y (steps, 1, batch, hidden), Y_h and Y_c (1, batch, hidden), as far as they are needed."""
        x = self._reversed(self.node.inputs[0]) if backwards else self.node.inputs[0]
        y, *states = self._forward(x, place)
        last, cell = (*states, None, None)[:2]
        if self.inside is not None:
            y = self.chain.op("Where", self.inside, y, self.chain.constant(0, self.weights[0].dtype))
            last = self._last(y) if _needed_at(self.node, 1) else None
        if backwards:
            y = self.chain.unsqueeze(self._reversed(self.chain.squeeze(y, 1)), 1)
        return y, last, cell

    def _forward(self, x: ir.Value | None, place: int) -> tuple[ir.Value, ...]:
        """The outputs of a forward layer with the weights of the direction at that place."""
        operator, attributes = self.node.op_type, {"hidden_size": self.weights[1].shape[-1]}
        arrays = [array[place : place + 1] for array in self.weights]
        if operator == "RNN":
            operator, arrays = "GRU", list(_as_gru(*arrays))
        if operator == "GRU":
            attributes["linear_before_reset"] = 1
        weights = [self.chain.constant(array, array.dtype) for array in arrays]
        bias = weights[2] if len(weights) > 2 else None
        states = (self._state(5, place), self._state(6, place))
        inputs = (x, *weights[:2], bias, None, *states)
        count = 3 if _needed_at(self.node, 2) else 2 if _needed_at(self.node, 1) and self.inside is None else 1
        while inputs[-1] is None:
            inputs = inputs[:-1]
        return self.chain.outputs(operator, inputs, attributes, count)

    def _state(self, index: int, place: int) -> ir.Value | None:
        """An initial state (1, batch, hidden) of one direction."""
        state = operand(self.node, index)
        if state is None or self.weights[0].shape[0] == 1:
            return state
        limits = (self.chain.constant([limit]) for limit in (place, place + 1, 0))
        return self.chain.op("Slice", state, *limits)

    def _last(self, y: ir.Value) -> ir.Value:
        """What Y holds at each row's last step. A row without steps reads place -1 and gets the 0 of ONNX Runtime."""
        chain = self.chain
        step = chain.unsqueeze(chain.op("Sub", self.rows, chain.constant([1])), 0, 2)
        index = chain.op("Expand", step, chain.constant([1, 1, self.weights[1].shape[-1]]))
        return chain.op("GatherElements", chain.squeeze(y, 1), index, axis=0)

    def _reversed(self, x: ir.Value | None) -> ir.Value:
        """(steps, batch, size) with the steps of each row in reverse order."""
        return self.chain.op("ReverseSequence", x, self.rows, time_axis=0, batch_axis=1)


def _as_gru(weight: Array, recurrent: Array, bias: Array | None = None) -> Iterator[Array]:
    """An RNN's weights of one direction as those of a GRU, whose gates are z r h: h' = (1 - z) tanh(...) + z h."""
    none = np.zeros_like(weight), np.zeros_like(recurrent)
    yield np.concatenate([none[0], none[0], weight], axis=1)
    yield np.concatenate([none[1], none[1], recurrent], axis=1)
    hidden = recurrent.shape[-1]
    own, recurrent_bias = np.zeros((2, 1, hidden), weight.dtype) if bias is None else np.split(bias, 2, axis=1)
    gate = np.full((1, hidden), _SHUT, weight.dtype)
    rest = np.zeros((1, 2 * hidden), weight.dtype)
    yield np.concatenate([gate, -gate, own, rest, recurrent_bias], axis=1)


def _rows(node: ir.Node, chain: Chain) -> ir.Value | None:
    """The lengths as ReverseSequence takes them: in int64, before a Cast to the int32 of recurrent layers."""
    lengths = operand(node, 4)
    cast = made_by(lengths, "Cast")
    source = None if cast is None else cast.inputs[0]
    if source is not None and source.dtype == ir.DataType.INT64:
        return source
    return None if lengths is None else chain.op("Cast", lengths, to=int(ir.DataType.INT64))


def _weights(node: ir.Node) -> Iterator[Array]:
    """W, R and, where there is one, B.

    Raises:
        DeclinedError: One is not constant.
    """
    for index, name in enumerate("WRB", 1):
        value = operand(node, index)
        if value is None:
            continue
        array = constant(value)
        if array is None:
            raise DeclinedError(f"has a {name} that is not constant")
        yield array


def misread(node: ir.Node) -> Iterator[str]:
    """What a recurrent layer has that the target would ignore, each the end of a sentence; nothing for other nodes."""
    if node.op_type not in _DEFAULTS:
        return
    unread = sorted(name for name in node.attributes if name not in _READ and not _is_default(node, name))
    if unread:
        yield f"has {', '.join(unread)}, which the target does not read"
    if node.op_type == "GRU" and not node.attributes.get_int("linear_before_reset", 0):
        yield "resets before the product, where the target's GRU does so after it"
    if operand(node, 7) is not None:
        yield "has peepholes, which the target does not read"


def _require_known_form(node: ir.Node, context: Context) -> None:
    """Decline what the target would read in another way, or what has no exact forward form.

    Raises:
        DeclinedError: The reason.
    """
    if context.opset < 11:
        raise DeclinedError(f"would need ReverseSequence and Range of opset 11, the model has {context.opset}")
    reasons = list(misread(node))
    if reasons:
        raise DeclinedError(" and ".join(reasons))
    if operand(node, 4) is not None and _needed_at(node, 2):
        raise DeclinedError("hands out each row's cell state, which a layer without lengths has only at the last step")


def _is_default(node: ir.Node, name: str) -> bool:
    attribute = node.attributes[name]
    if name == "activations":
        twice = node.attributes.get_string("direction", "forward") == "bidirectional"
        repeated = _DEFAULTS[node.op_type] * (2 if twice else 1)
        return tuple(attribute.as_strings()) == repeated
    return name in {"layout", "input_forget"} and attribute.as_int() == 0


def _needed(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _needed_at(node: ir.Node, index: int) -> bool:
    return index < len(node.outputs) and _needed(node.outputs[index])
