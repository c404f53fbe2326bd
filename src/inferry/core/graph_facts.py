"""What a checker of compiler command lines needs to know of a graph, without the graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class InputFacts:
    """One input of a graph.

    Attributes:
        name: As in the graph.
        dims: Positive sizes, or names (None where a dimension has none); None as a whole where the rank is unknown.
        dtype: As ONNX spells it: ``FLOAT``, ``INT64`` ...
    """

    name: str
    dims: tuple[int | str | None, ...] | None
    dtype: str

    @property
    def is_static(self) -> bool:
        """Whether every size is a number."""
        return self.dims is not None and all(isinstance(dim, int) for dim in self.dims)


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """A graph as its compiler's command line sees it.

    Attributes:
        inputs: In the graph's order, initializers excluded.
        outputs: Names, in the graph's order.
        nodes: Names of all nodes of the main graph.
        opsets: (domain, version), the graph's and those of its functions; ``""`` is ONNX's own domain.
        operators: (domain, operator) of all nodes, those in subgraphs and functions included.
        empty: Names of tensors that are known to hold no element, constants excluded.
        arity: Numbers of inputs and outputs of the main graph's nodes, by name; no part of what makes two facts equal.
    """

    inputs: tuple[InputFacts, ...]
    outputs: tuple[str, ...] = ()
    nodes: frozenset[str] = frozenset()
    opsets: frozenset[tuple[str, int]] = frozenset()
    operators: frozenset[tuple[str, str]] = frozenset()
    empty: tuple[str, ...] = ()
    arity: Mapping[str, tuple[int, int]] = field(default_factory=dict, compare=False)
