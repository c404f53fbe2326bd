"""Gives connected parts of a graph a narrower dtype, with Casts where they touch the rest of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import onnx
import onnx_ir as ir

from inferry.passes.rewriting import Context, add_constant, constant

_FROM_ATTRIBUTE: Final = {"Cast": "to", "ConstantOfShape": "value"}
"""Operators whose output has the dtype of an attribute, and which one; others of that kind are left alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """The inputs and outputs of a node that share a type variable of its operator, and so must change together.

    Attributes:
        node: The node.
        inputs: Places of the inputs that have the wide dtype.
        outputs: Places of the outputs that have it.
    """

    node: ir.Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def read(self) -> Iterator[ir.Value]:
        """The inputs themselves."""
        for place in self.inputs:
            value = self.node.inputs[place]
            assert value is not None, "parts hold only inputs that are there"
            yield value

    def made(self) -> Iterator[ir.Value]:
        """The outputs themselves."""
        return (self.node.outputs[place] for place in self.outputs)

    def values(self) -> Iterator[ir.Value]:
        """Both."""
        yield from self.read()
        yield from self.made()


@dataclass(frozen=True, slots=True)
class Dtypes:
    """From which dtype to which."""

    wide: ir.DataType
    narrow: ir.DataType


def parts_of(model: ir.Model, dtypes: Dtypes) -> list[Part]:
    """All parts that the operators' signatures allow to be narrow, in the order of the nodes.

    Nodes of other domains, nodes that hold graphs, and operators of sequences have none.
    """
    version = model.graph.opset_imports.get("", 0)
    found: list[Part] = []
    for node in model.graph.all_nodes():
        signature = _signature(node.op_type, version) if not node.domain and _is_plain(node) else None
        if signature is not None:
            found += _parts(node, signature, dtypes)
    return found


def components(parts: Collection[Part]) -> list[list[Part]]:
    """Parts in groups: those that are connected by what one makes and the other reads."""
    makers = {value: part for part in parts for value in part.made()}
    group = {id(part): [part] for part in parts}
    for part in parts:
        for value in part.read():
            if value in makers:
                _join(group, part, makers[value])
    return list({id(members): members for members in group.values()}.values())


def casts_needed(component: Collection[Part]) -> int:
    """How many Casts stand around a component once it is narrow."""
    made = {value for part in component for value in part.made()}
    before = {value for part in component for value in part.read() if value not in made and constant(value) is None}
    inside = {(part.node, place) for part in component for place in part.inputs}
    return len(before) + sum(1 for value in made if _is_needed_wide(value, inside))


def retype(model: ir.Model, parts: Collection[Part], dtypes: Dtypes) -> None:
    """Make parts narrow. The model's inputs and outputs keep their dtypes."""
    _Retyping(model, parts, dtypes).run()


class _Retyping:
    def __init__(self, model: ir.Model, parts: Collection[Part], dtypes: Dtypes) -> None:
        self._context = Context(model)
        self._parts = parts
        self._dtypes = dtypes
        self._inside = {(part.node, place) for part in parts for place in part.inputs}
        self._made = dict.fromkeys(value for part in parts for value in part.made())
        self._narrow: dict[ir.Value, ir.Value] = {}

    def run(self) -> None:
        for part in self._parts:
            for place, value in zip(part.inputs, part.read(), strict=True):
                if value not in self._made:
                    part.node.replace_input_with(place, self._narrowed(value, part.node))
        for value in self._made:
            self._narrow_output(value)

    def _narrowed(self, value: ir.Value, node: ir.Node) -> ir.Value:
        array = constant(value)
        if array is not None:
            return add_constant(node, self._context, value.name or "narrow", array.astype(self._dtypes.narrow.numpy()))
        if value not in self._narrow:
            self._narrow[value] = self._cast(value, self._dtypes.narrow)
        return self._narrow[value]

    def _narrow_output(self, value: ir.Value) -> None:
        """Its node makes it narrow; who still needs it wide reads a Cast, which takes over its name as an output."""
        node = value.producer()
        assert node is not None, "parts make their outputs"
        assert node.graph is not None, "and stand in the model"
        outside = [use for use in value.uses() if (use.node, use.idx) not in self._inside]
        value.type = ir.TensorType(self._dtypes.narrow)
        _change_attribute(node, value, self._dtypes.narrow)
        if not outside and not value.is_graph_output():
            return
        wide = self._cast(value, self._dtypes.wide)
        for use in outside:
            use.node.replace_input_with(use.idx, wide)
        if value.is_graph_output():
            outputs = node.graph.outputs
            outputs[outputs.index(value)] = wide
            value.name, wide.name = wide.name, value.name

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """A new Cast right after the value is there."""
        name = self._context.fresh(f"{value.name}_Cast")
        made = ir.Value(name=name, type=ir.TensorType(dtype), shape=value.shape)
        cast = ir.node("Cast", [value], {"to": int(dtype)}, outputs=[made], name=name)
        producer, graph = value.producer(), value.graph
        assert isinstance(graph, ir.Graph)
        if producer is None:
            graph.insert_before(graph[0], cast)
        else:
            graph.insert_after(producer, cast)
        return made


def _change_attribute(node: ir.Node, value: ir.Value, dtype: ir.DataType) -> None:
    """Say the dtype where it is an attribute and not the input's."""
    name = _FROM_ATTRIBUTE.get(node.op_type)
    if name == "to":
        node.attributes[name] = ir.AttrInt64(name, int(dtype))
    elif name == "value":
        old = node.attributes.get(name)
        assert old is not None, "without one it would make float32"
        array = old.as_tensor().numpy().astype(dtype.numpy())
        node.attributes[name] = ir.AttrTensor(name, ir.Tensor(array, name=value.name))


@dataclass(frozen=True, slots=True)
class _Signature:
    """Type variables of the inputs and the outputs, the last repeated where it may be, and what each may be."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    allowed: Mapping[str, frozenset[str]]


@cache
def _signature(operator: str, version: int) -> _Signature | None:
    try:
        schema = onnx.defs.get_schema(operator, version, "")
    except onnx.defs.SchemaError:
        return None
    allowed = {one.type_param_str: frozenset(one.allowed_type_strs) for one in schema.type_constraints}
    if not all(any(kind.startswith("tensor(") for kind in kinds) for kinds in allowed.values()):
        return None
    return _Signature(
        tuple(one.type_str for one in schema.inputs), tuple(one.type_str for one in schema.outputs), allowed
    )


def _parts(node: ir.Node, signature: _Signature, dtypes: Dtypes) -> Iterator[Part]:
    for variable, allowed in signature.allowed.items():
        inputs = tuple(_places(node.inputs, signature.inputs, variable, dtypes.wide))
        outputs = tuple(_places(node.outputs, signature.outputs, variable, dtypes.wide))
        chosen = bool(inputs) or node.op_type in _FROM_ATTRIBUTE
        if _name(dtypes.narrow) in allowed and chosen and (inputs or outputs):
            yield Part(node, inputs, outputs)


def _places(
    values: Collection[ir.Value | None], variables: tuple[str, ...], variable: str, dtype: ir.DataType
) -> Iterator[int]:
    for place, value in enumerate(values):
        if value is None or not isinstance(value.type, ir.TensorType) or value.dtype != dtype:
            continue
        if variables[min(place, len(variables) - 1)] == variable:
            yield place


def _name(dtype: ir.DataType) -> str:
    """As ONNX's operator signatures write it."""
    return f"tensor({onnx.helper.tensor_dtype_to_string(int(dtype)).removeprefix('TensorProto.').lower()})"


def _is_plain(node: ir.Node) -> bool:
    kinds = {attribute.type for attribute in node.attributes.values()}
    return not kinds & {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}


def _is_needed_wide(value: ir.Value, inside: Collection[tuple[ir.Node, int]]) -> bool:
    return value.is_graph_output() or any((use.node, use.idx) not in inside for use in value.uses())


def _join(group: dict[int, list[Part]], first: Part, second: Part) -> None:
    """Make one list of the two in which the parts are."""
    kept, gone = group[id(first)], group[id(second)]
    if kept is gone:
        return
    kept.extend(gone)
    for part in gone:
        group[id(part)] = kept
