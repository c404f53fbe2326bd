"""Attention over a fixed number of places is padded to a multiple of 16, the edge of an NPU's matrix unit.

What lies behind the end of the sequence is a copy of its last place. Whatever treats every place alike makes of the
copies what it makes of the last place, so they stay copies, as finite as the original, through whole blocks. Two
operators do not treat places alone, both in attention:

- Softmax along the padded places. They get ``MASKED`` added at the very end. A copy's score is that of the last place,
  which is at most the greatest score of its row, so its exponent is at most ``MASKED``. That is 0 exactly in fp32
  (from -104 on) and in fp16 (from -18 on), and the row's other weights are what they were. A row of a copied query is
  the row of the last place.
- The product of weights and values, which sums over the places: 0 times a copy, which is finite, is 0.

The numbers of the original places therefore differ only by the order in which a runtime sums. The exception is a row
in which every key is masked with a number so large that adding ``MASKED`` is lost in rounding; such a row says nothing.
Whatever else looks across places, or at one of them from the end, gets the sequence cut back to its length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from inferry.passes.chain import Chain
from inferry.passes.elementwise import BROADCAST, UNARY
from inferry.passes.padding_plan import PaddingPlan, plan_padding
from inferry.passes.rewriting import Context, Declined, Outcome, add_constant, constant, dim, label, used_once
from inferry.passes.row_wise import is_last_softmax

MASKED: Final = -30000.0
"""Added to the scores of padded places. Within fp16, also where a graph's own mask of the same size is added."""

MULTIPLE: Final = 16
"""Edge of the blocks that the matrix unit of Ascend NPUs multiplies in fp16."""

_MOST_CUTS: Final = 4
"""Copies and cuts for each attention; where more would be needed, they cost what the padding saves."""


@dataclass(frozen=True, slots=True)
class PadSequence:
    """Queries and keys of each attention with a fixed number of places become a multiple of 16."""

    name: str = "pad-sequence"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is an attention."""
        context = Context(model)
        declined = []
        attentions, products = [], []
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            product = _product(node.inputs[0]) if is_last_softmax(node, context.opset) else None
            if product is None:
                continue
            reason = _reason_to_leave(node, model.graph, context.opset)
            if reason:
                declined.append(Declined(label(node), reason))
            elif _odd_axes(node):
                attentions.append(node)
                products.append(product)
        if not attentions:
            return Outcome(model, 0, tuple(declined))
        odd = [axis for node in attentions for axis in _odd_axes(node)]
        plan = plan_padding(model.graph, odd, products, context.opset)
        if plan.cuts > _MOST_CUTS * len(attentions):
            reason = f"would need {plan.cuts} copies and cuts of its sequences for {len(attentions)} attentions"
            return Outcome(model, 0, (*declined, Declined("the model", reason)))
        _Padding(model.graph, plan, context).apply()
        RemoveUnusedNodesPass()(model)
        return Outcome(model, len(attentions), tuple(declined))


def _product(scores: ir.Value | None) -> ir.Node | None:
    """The product of two things that are computed which scores are, perhaps scaled, biased and masked."""
    waiting, seen = [scores], set()
    while waiting:
        value = waiting.pop()
        node = None if value is None else value.producer()
        if node is None or node in seen or node.domain:
            continue
        seen.add(node)
        if node.op_type == "MatMul" and all(constant(one) is None for one in node.inputs):
            return node
        if node.op_type in UNARY | BROADCAST:
            waiting += node.inputs
    return None


def _reason_to_leave(node: ir.Node, graph: ir.Graph, opset: int) -> str:
    scores = node.inputs[0]
    assert scores is not None
    if node.graph is not graph:
        return "lies in a subgraph"
    if opset < 11:
        return f"would need Slice of opset 11, the model has {opset}"
    if dim(scores, -1) is None or dim(scores, -2) is None:
        # Names that ONNX's inference made up say nothing, and each attention has others.
        shape = "of unknown shape" if scores.shape is None else re.sub(r"unk__\d+", "?", str(scores.shape))
        return f"has scores {shape}: places without a fixed number (see fix-shapes)"
    return ""


def _odd_axes(node: ir.Node) -> list[tuple[ir.Value, int]]:
    """The scores' axes for queries and keys that are no multiple; a single query is no sequence."""
    scores = node.inputs[0]
    assert scores is not None
    assert scores.shape is not None
    sizes = {axis: dim(scores, axis) or 1 for axis in (len(scores.shape) - 2, len(scores.shape) - 1)}
    return [(scores, axis) for axis, size in sizes.items() if size > 1 and size % MULTIPLE]


def _padded(size: int) -> int:
    return -(-size // MULTIPLE) * MULTIPLE


def _copied(size: int) -> list[int]:
    """Places of a padded axis: those there are, then the last once more and again."""
    return [*range(size), *[size - 1] * (_padded(size) - size)]


class _Padding:
    """Carries a plan out."""

    def __init__(self, graph: ir.Graph, plan: PaddingPlan, context: Context) -> None:
        self._graph = graph
        self._plan = plan
        self._context = context
        self._first = graph[0]
        self._sizes = {value: tuple(value.shape or ()) for value in plan.made}
        self._forms: dict[tuple[ir.Value, frozenset[int]], ir.Value] = {}
        self._masked: dict[ir.Value, ir.Value] = {}

    def apply(self) -> None:
        """Change what nodes read, then what they say about sizes, then what the graph gives."""
        for (node, place), axes in self._plan.reads.items():
            value = node.inputs[place]
            assert value is not None
            node.replace_input_with(place, self._form(node, value, axes))
        for node in self._plan.made_by("Reshape"):
            self._resize(node)
        for value, axes in self._plan.made.items():
            value.shape = ir.Shape([_padded(size) if axis in axes else size for axis, size in self._axes(value)])
        for node in self._plan.softmaxes:
            self._mask(node)
        for place, value in enumerate(self._graph.outputs):
            if value in self._plan.made:
                self._graph.outputs[place] = self._as_output(value)

    def _axes(self, value: ir.Value) -> Iterator[tuple[int, Any]]:
        """Axes of a value with the sizes that they had before."""
        return enumerate(self._sizes.get(value) or tuple(value.shape or ()))

    def _form(self, node: ir.Node, value: ir.Value, axes: frozenset[int]) -> ir.Value:
        """A value with these of its axes padded, the same for all that read it so."""
        if (value, axes) not in self._forms:
            array = constant(value)
            if array is None:
                self._forms[value, axes] = self._copied_and_cut(value, axes)
            else:
                for axis in axes:
                    array = array.take(_copied(array.shape[axis]), axis)
                self._forms[value, axes] = add_constant(node, self._context, value.name or "constant", array)
        return self._forms[value, axes]

    def _copied_and_cut(self, value: ir.Value, axes: frozenset[int]) -> ir.Value:
        made = self._plan.made.get(value, frozenset())
        producer = value.producer()
        chain, form, sizes = Chain(producer or self._first, self._context), value, dict(self._axes(value))
        cut = sorted(made - axes)
        if cut:
            ends = [sizes[axis] for axis in cut]
            form = chain.op("Slice", form, chain.constant([0] * len(cut)), chain.constant(ends), chain.constant(cut))
        for axis in sorted(axes - made):
            form = chain.op("Gather", form, chain.constant(_copied(sizes[axis])), axis=axis)
        if producer is None:
            self._graph.insert_before(self._first, chain.nodes)
        else:
            self._graph.insert_after(producer, chain.nodes)
        return form

    def _resize(self, node: ir.Node) -> None:
        """Write the new sizes into a Reshape's constant shape."""
        shape = constant(node.inputs[1])
        assert shape is not None, "a Reshape to a computed shape carries no padding"
        shape = shape.copy()
        for axis, size in self._axes(node.outputs[0]):
            if axis in self._plan.made[node.outputs[0]]:
                shape[axis] = _padded(size)
        node.replace_input_with(1, add_constant(node, self._context, f"{label(node)}_shape", shape))

    def _mask(self, node: ir.Node) -> None:
        """Add `MASKED` to the scores of the padded keys, in the bias that is there if it is a constant."""
        scores, dtype = node.inputs[0], node.outputs[0].dtype
        assert scores is not None
        assert dtype is not None
        *_, (_, keys) = self._axes(node.outputs[0])
        producer = scores.producer()
        if producer is not None and producer.op_type == "Add" and not producer.domain and used_once(scores):
            for place, bias in enumerate(producer.inputs):
                if bias is not None and self._can_mask(bias, keys):
                    producer.replace_input_with(place, self._masked_bias(producer, bias, keys))
                    return
        chain = Chain(node, self._context)
        mask = chain.constant(np.where(np.arange(_padded(keys)) < keys, 0, MASKED), dtype.numpy())
        node.replace_input_with(0, chain.op("Add", scores, mask))
        self._graph.insert_before(node, chain.nodes)

    @staticmethod
    def _can_mask(bias: ir.Value, keys: int) -> bool:
        """Whether a bias is constant, as long as the keys, and so small that the mask is added without loss."""
        array = constant(bias)
        fits = array is not None and array.ndim > 0 and array.shape[-1] == _padded(keys)
        return array is not None and fits and bool(np.abs(array).max() < -MASKED)

    def _masked_bias(self, node: ir.Node, bias: ir.Value, keys: int) -> ir.Value:
        if bias not in self._masked:
            array = constant(bias)
            assert array is not None
            array = array.copy()
            array[..., keys:] += array.dtype.type(MASKED)
            self._masked[bias] = add_constant(node, self._context, bias.name or "bias", array)
        return self._masked[bias]

    def _as_output(self, value: ir.Value) -> ir.Value:
        """The graph's output under its own name, cut back to its length."""
        cut = self._form(self._first, value, frozenset())
        if cut.name != value.name and not cut.is_graph_output():
            cut.name, value.name = value.name, self._context.fresh(value.name)
            cut.type, cut.shape = value.type, ir.Shape([size for _, size in self._axes(value)])
        return cut
