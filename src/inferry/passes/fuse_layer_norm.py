"""Layer normalisation (Ba et al., arXiv:1607.06450) that is spelled out becomes the operator."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from inferry.core.specs import Array
from inferry.passes.patterns import made_by, number, other_input, the_user
from inferry.passes.rewriting import (
    Context,
    DeclinedError,
    Outcome,
    add_constant,
    constant,
    dim,
    label,
    replace,
    rewrite,
)


@dataclass(frozen=True, slots=True)
class FuseLayerNorm:
    """``(x - mean) / sqrt(mean((x - mean)^2) + epsilon)``, with scale and bias where they follow, from opset 17 on.

    Below opset 17 there is no such operator and nothing changes.
    """

    name: str = "fuse-layer-norm"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`."""
        return rewrite(model, {"Div"}, _rule)


@dataclass(frozen=True)
class _Norm:
    """A spelled-out norm.

    Attributes:
        x: What is normalised.
        sizes: Of the last axes, over which it is.
        epsilon: Added to the variance.
    """

    x: ir.Value
    sizes: tuple[int, ...]
    epsilon: float


def _rule(node: ir.Node, context: Context) -> bool:
    norm = _norm(node)
    if norm is None:
        return False
    if context.opset < 17:
        raise DeclinedError(f"would need LayerNormalization of opset 17, the model has {context.opset}")
    if norm.x.dtype in {None, ir.DataType.DOUBLE}:
        raise DeclinedError("is not known to be in float32 or less, in which LayerNormalization computes")
    last, scale = _affine(node, "Mul", norm.sizes)
    last, bias = _affine(last, "Add", norm.sizes) if scale is not None else (last, None)
    name = context.fresh(f"{label(last)}_LayerNormalization")
    if scale is None:
        scale = np.ones(norm.sizes, norm.x.dtype.numpy())
    arrays = {"scale": scale} if bias is None else {"scale": scale, "bias": bias}
    inputs = [norm.x, *(add_constant(node, context, f"{name}_{what}", array) for what, array in arrays.items())]
    attributes = {"axis": -len(norm.sizes), "epsilon": norm.epsilon}
    replace(last, [ir.node("LayerNormalization", inputs, attributes, outputs=[ir.Value(name=name)], name=name)])
    return True


def _norm(node: ir.Node) -> _Norm | None:
    """The norm that a division ends; None where it is another division.

    Raises:
        DeclinedError: It looks like a norm and is none that the operator computes.
    """
    centred, root = made_by(node.inputs[0], "Sub"), made_by(node.inputs[1], "Sqrt")
    mean = None if centred is None else made_by(centred.inputs[1], "ReduceMean")
    if centred is None or root is None or mean is None or mean.inputs[0] is not centred.inputs[0]:
        return None
    variance, epsilon, between = _variance(root)
    square = None if variance is None else made_by(variance.inputs[0], "Pow", "Mul")
    x, difference = mean.inputs[0], centred.outputs[0]
    if x is None or variance is None or square is None or not _is_square(square, difference):
        raise DeclinedError("does not divide by the root of the mean of the squared differences from the mean")
    last_axes = _last_axes(mean, x)
    if _last_axes(variance, x) != last_axes:
        raise DeclinedError("takes its mean and its variance over different axes")
    own = [one.outputs[0] for one in (mean, square, variance, root, *between)]
    if any(the_user(value) is None for value in own) or _readers(difference) != {square, node}:
        raise DeclinedError("is a norm of which something else reads a part")
    return _Norm(x, _sizes(x, last_axes), epsilon)


def _variance(root: ir.Node) -> tuple[ir.Node | None, float, tuple[ir.Node, ...]]:
    """The mean in ``sqrt(mean + epsilon)``, None if it is none, epsilon, and the sum if there is one."""
    total = made_by(root.inputs[0], "Add")
    if total is None:
        return made_by(root.inputs[0], "ReduceMean"), 0.0, ()
    first, second = total.inputs
    epsilon = number(second) if number(first) is None else number(first)
    mean = made_by(first, "ReduceMean") or made_by(second, "ReduceMean")
    return (None if epsilon is None else mean), epsilon or 0.0, (total,)


def _is_square(node: ir.Node, value: ir.Value) -> bool:
    base, factor = node.inputs
    return base is value and (factor is value if node.op_type == "Mul" else number(factor) == 2)


def _readers(value: ir.Value) -> set[ir.Node | None]:
    return {use.node for use in value.uses()} | ({None} if value.is_graph_output() else set())


def _last_axes(mean: ir.Node, x: ir.Value) -> int:
    """Over how many axes, the last ones, a mean goes.

    Raises:
        DeclinedError: Over others, over an unknown number, or it drops them.
    """
    if len(mean.inputs) > 1:
        given = constant(mean.inputs[1])
        axes = None if given is None else given.tolist()
    else:
        axes = mean.attributes["axes"].as_ints() if "axes" in mean.attributes else None
    if not axes or not mean.attributes.get_int("keepdims", 1):
        raise DeclinedError("takes a mean over axes that are not given, or that it drops")
    if x.shape is None and max(axes) >= 0:
        raise DeclinedError("takes a mean of a value of unknown rank")
    ends = sorted(axis - len(x.shape) if axis >= 0 else axis for axis in axes)  # type: ignore[arg-type]
    if ends != list(range(-len(ends), 0)):
        raise DeclinedError("takes a mean over other axes than the last ones")
    return len(ends)


def _sizes(x: ir.Value, count: int) -> tuple[int, ...]:
    sizes = [dim(x, axis) for axis in range(-count, 0)]
    known = tuple(size for size in sizes if size is not None)
    if len(known) < count:
        raise DeclinedError("normalises over an axis without a fixed size")
    return known


def _affine(node: ir.Node, operator: str, sizes: tuple[int, ...]) -> tuple[ir.Node, Array | None]:
    """The node that scales or shifts a node's output by a constant, and that in full; the node itself if none does."""
    value = node.outputs[0]
    user = the_user(value)
    if user is None or user.domain or user.op_type != operator or len(user.inputs) != 2:
        return node, None
    array = constant(other_input(user, value))
    if array is None or array.ndim > (len(sizes) if value.shape is None else len(value.shape)):
        return node, None
    try:
        return user, np.broadcast_to(array.reshape(array.shape[-len(sizes) :]), sizes)
    except ValueError:  # it has other sizes, or some before the last axes
        return node, None
