"""What of a bundle no hop can see, held against the truth's: its files, and the graphs that its processor runs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, Final

import onnx_ir as ir

from inferry.core.bundle import PROCESSOR, Bundle
from inferry.core.protocols import Checkpoint, Part, Recipe
from inferry.pipeline.comparison.fault import Fault
from inferry.pipeline.comparison.probing import weight_change

_HEAD: Final = "The bundle does not feed or read its network as the truth does"


@dataclass(frozen=True)
class Contents:
    """What decides features and answers besides the network.

    Attributes:
        files: The content of processor.json and of the text files, by name.
        parts: Further graphs by name; each is made when it is asked for, as it may be large.
        whose: For people, such as ``the checkpoint's``.
    """

    files: Mapping[str, Any]
    parts: Mapping[str, Callable[[], ir.Model]]
    whose: str


def contents_of_bundle(bundle: Bundle) -> Contents:
    """As they stand in its folder."""
    files = {PROCESSOR: bundle.read_json(PROCESSOR), **bundle.text_files()}
    parts = {name: partial(ir.load, bundle.path / file) for name, file in bundle.manifest.parts.items()}
    return Contents(files, parts, f"those of {bundle.path.name}")


def contents_of_checkpoint(checkpoint: Checkpoint, recipe: Recipe) -> Contents:
    """As this version writes them."""
    files = {PROCESSOR: checkpoint.processor, **checkpoint.files}
    parts = {name: partial(_written, recipe.parts[name], part) for name, part in checkpoint.parts.items()}
    return Contents(files, parts, "the checkpoint's")


def content_faults(bundle: Bundle, truth: Contents) -> Iterator[Fault]:
    """What of the bundle is not the truth's: equal logits make another answer where features or letters are others.

    Args:
        bundle: The one in question.
        truth: What it should hold.
    """
    own = contents_of_bundle(bundle)
    for name in sorted(own.parts.keys() | truth.parts.keys()):
        problem = _part_problem(own.parts.get(name), truth.parts.get(name))
        if problem is not None:
            graph = f"the further graph {name!r} is not {truth.whose}"
            sentence = f"{_HEAD}: {graph}, {problem.text}. No hop shows it: all are fed by the bundle's own."
            yield Fault(graph, "", sentence, problem.node, problem.operator, problem.tensor)
    names = own.files.keys() | truth.files.keys()
    if differing := sorted(name for name in names if own.files.get(name) != truth.files.get(name)):
        listed = f"{', '.join(differing)}: not {truth.whose}"
        yield Fault(
            "files of the bundle", "", f"{_HEAD}. {listed}; every form was fed and decoded as this bundle says."
        )


def _written(part: Part, checkpoint: Checkpoint) -> ir.Model:
    model: ir.Model = part.build(checkpoint).model
    return model


@dataclass(frozen=True)
class _Problem:
    """What differs, as a part of a sentence, and where."""

    text: str
    node: str | None = None
    operator: str | None = None
    tensor: str | None = None


def _part_problem(own: Callable[[], ir.Model] | None, truth: Callable[[], ir.Model] | None) -> _Problem | None:
    """The first difference between two graphs, weight by weight and node by node; None if they are the same."""
    if own is None or truth is None:
        return _Problem("which has none" if truth is None else "as the bundle has none")
    graphs = truth().graph, own().graph
    return next(_weight_problems(*graphs), None) or next(_node_problems(*graphs), None)


def _weight_problems(truth: ir.Graph, own: ir.Graph) -> Iterator[_Problem]:
    for name in {**truth.initializers, **own.initializers}:
        before, after = truth.initializers.get(name), own.initializers.get(name)
        if before is None or after is None:
            yield _Problem(f"its weight {name} is {'one too many' if before is None else 'missing'}", tensor=name)
        elif change := weight_change(name, before, after):
            reader = next((use.node for use in after.uses()), None)
            node, operator = (None, None) if reader is None else (reader.name, reader.op_type)
            where = "" if reader is None else f" (of the node {node}, {operator})"
            yield _Problem(f"{change}{where}", node, operator, name)


def _node_problems(truth: ir.Graph, own: ir.Graph) -> Iterator[_Problem]:
    for before, after in zip_longest(truth, own):
        if before is None or after is None or _bytes(before) != _bytes(after):
            node = after or before
            yield _Problem(f"its node {node.name} ({node.op_type}) is another one", node.name, node.op_type)


def _bytes(node: ir.Node) -> bytes:
    """All of a node: its names, inputs, outputs, attributes and the graphs it holds."""
    written: bytes = ir.serde.serialize_node(node).SerializeToString(deterministic=True)
    return written
