"""Symbolic dimensions become numbers, so that later passes and compilers see fixed shapes."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from inferry.passes.rewriting import Declined, Outcome


@dataclass(frozen=True)
class FixShapes:
    """Inputs take one size only, and all shapes are inferred anew from it.

    Attributes:
        sizes: By the name of the dimension; one without a name is called ``INPUT[AXIS]``. Dimensions that are not
            named stay dynamic.
        name: Key of the pass.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    name: str = "fix-shapes"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is a dimension of an input; on a problem with a size the model stays as it is."""
        if not self.sizes:
            reason = "no sizes were given (--sizes batch=1,samples=16000)" if dynamic_sizes(model) else ""
            return Outcome(model, 0, (Declined("the model", reason),) if reason else ())
        problems = self.problems(model)
        if problems:
            return Outcome(model, 0, problems)
        fixed = model.clone()
        matches = sum(self._fix(value) for value in fixed.graph.inputs)
        for value in (*fixed.graph.outputs, *_made(fixed)):
            self._fix(value)
        if _inference_fails(fixed) and not _inference_fails(model):
            given = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
            return Outcome(model, 0, (Declined("the model", f"has no consistent shapes with {given}"),))
        ShapeInferencePass()(fixed)
        return Outcome(fixed, matches)

    def problems(self, model: ir.Model) -> tuple[Declined, ...]:
        """Why sizes cannot be meant for this model: unknown names, with those available, and numbers below one."""
        available = dynamic_sizes(model)
        unknown = [
            Declined(name, f"is no dynamic dimension of an input; available: {', '.join(available) or 'none'}")
            for name in self.sizes
            if name not in available
        ]
        small = [
            Declined(name, f"cannot be {size}: a size is at least 1") for name, size in self.sizes.items() if size < 1
        ]
        return (*unknown, *small)

    def _fix(self, value: ir.Value) -> int:
        """Replace the named dimensions of a value's shape; gives how many there were."""
        if value.shape is None:
            return 0
        dims = [self.sizes.get(_key(value, axis), dim) for axis, dim in enumerate(value.shape)]
        changed = sum(new is not old for new, old in zip(dims, value.shape, strict=True))
        if changed:
            value.shape = ir.Shape(dims)
        return changed


def dynamic_sizes(model: ir.Model) -> tuple[str, ...]:
    """Names of the dynamic dimensions of a model's inputs, as `FixShapes` takes them."""
    keys = [
        _key(value, axis)
        for value in model.graph.inputs
        if value.shape is not None and not value.is_initializer()
        for axis, dim in enumerate(value.shape)
        if not isinstance(dim, int)
    ]
    return tuple(dict.fromkeys(keys))


def _key(value: ir.Value, axis: int) -> str:
    """As `inferry.pipeline.optimising.cases` calls it."""
    dim = None if value.shape is None else value.shape[axis]
    named = dim.value if isinstance(dim, ir.SymbolicDim) else None
    return str(named) if named else f"{value.name}[{axis}]"


def _made(model: ir.Model) -> Iterator[ir.Value]:
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        yield from node.outputs


def _inference_fails(model: ir.Model) -> bool:
    """Whether ONNX infers no shape at all, which it does where two sizes contradict each other."""
    trial = model.clone()
    made = [value for value in _made(trial) if not value.is_graph_output()]
    for value in made:
        value.shape = None
    log = logging.getLogger(ShapeInferencePass.__module__)
    log.disabled = True  # it would print a traceback of what is asked here
    try:
        ShapeInferencePass()(trial)
    finally:
        log.disabled = False
    return bool(made) and all(value.shape is None for value in made)
