"""DeepSpeech2 as an ONNX graph, exact under padding.

The network is that of deepspeech.pytorch V3.0 (`deepspeech_pytorch/model.py`; Amodei et al. 2015, arXiv:1512.02595):
two masked 2-D convolutions, recurrent layers whose two directions are summed, or one direction followed by a lookahead
convolution (Wang et al. 2016), and a linear layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from inferry.core.errors import CheckpointError
from inferry.core.protocols import Checkpoint, Network
from inferry.core.specs import Array, FloatArray
from inferry.networks.graph import Graph

_EPSILON: Final = 1e-5
_CEILING: Final = 20.0
_CHANNELS: Final = 32


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A 2-D convolution of the front end; its batch norm is the module after it. Sizes are (frequency, time)."""

    index: int
    inputs: int
    kernel: tuple[int, int]
    stride: tuple[int, int]

    @property
    def padding(self) -> tuple[int, int]:
        return self.kernel[0] // 2, self.kernel[1] // 2

    @property
    def module(self) -> str:
        return f"conv.seq_module.{self.index}"

    @property
    def norm(self) -> str:
        return f"conv.seq_module.{self.index + 1}"


_CONVOLUTIONS: Final = (
    _Convolution(index=0, inputs=1, kernel=(41, 11), stride=(2, 2)),
    _Convolution(index=3, inputs=_CHANNELS, kernel=(21, 11), stride=(2, 1)),
)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A recurrent cell: the ONNX operator, and where ONNX's gates stand in torch's order.

    torch stacks i f g o (LSTM) and r z n (GRU), ONNX i o f c and z r h.
    """

    operator: str
    gates: tuple[int, ...]
    attributes: Mapping[str, Any]


_PARTIAL_SUMS: Final = 4
"""Into how many parts a convolution over many channels is cut, so that float32 sums stay short."""

_CELLS: Final = {
    "lstm": _Cell("LSTM", (0, 3, 1, 2), {}),
    "gru": _Cell("GRU", (1, 0, 2), {"linear_before_reset": 1}),
    "rnn": _Cell("RNN", (0,), {}),
}


@dataclass(frozen=True, slots=True)
class _Architecture:
    """The sizes of one checkpoint."""

    cell: _Cell
    bidirectional: bool
    hidden: int
    layers: int
    context: int
    frequencies: int
    labels: int

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "_Architecture":
        config = checkpoint.config
        bidirectional = bool(config["bidirectional"])
        context = config.get("lookahead_context")
        problems = []
        if config["rnn_type"] not in _CELLS:
            problems.append(f"the recurrent cell {config['rnn_type']!r} is unknown; available: {', '.join(_CELLS)}")
        if not bidirectional and not context:
            problems.append("the network is unidirectional, but its configuration has no lookahead_context")
        if problems:
            raise CheckpointError(checkpoint.path, problems, "Use a checkpoint of deepspeech.pytorch V3.")
        return cls(
            cell=_CELLS[config["rnn_type"]],
            bidirectional=bidirectional,
            hidden=int(config["hidden_size"]),
            layers=int(config["hidden_layers"]),
            context=int(context or 0) if not bidirectional else 0,
            frequencies=int(config["sample_rate"] * config["window_size"]) // 2 + 1,
            labels=len(config["labels"]),
        )

    @property
    def directions(self) -> tuple[str, ...]:
        """Suffixes of torch's parameter names."""
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def features(self) -> int:
        """Channels times frequencies after the convolutions."""
        size = self.frequencies
        for convolution in _CONVOLUTIONS:
            size = (size + 2 * convolution.padding[0] - convolution.kernel[0]) // convolution.stride[0] + 1
        return _CHANNELS * size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that inference needs, by its original name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for convolution in _CONVOLUTIONS:
            shapes[f"{convolution.module}.weight"] = (_CHANNELS, convolution.inputs, *convolution.kernel)
            shapes[f"{convolution.module}.bias"] = (_CHANNELS,)
            shapes |= _norm_shapes(convolution.norm, _CHANNELS)
        for layer in range(self.layers):
            shapes |= self._layer_shapes(layer)
        if self.context:
            shapes["lookahead.0.conv.weight"] = (self.hidden, 1, self.context)
        shapes |= _norm_shapes("fc.0.module.0", self.hidden)
        shapes["fc.0.module.1.weight"] = (self.labels, self.hidden)
        return shapes

    def _layer_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        rows = len(self.cell.gates) * self.hidden
        shapes = {} if layer == 0 else _norm_shapes(f"rnns.{layer}.batch_norm.module", self.hidden)
        for direction in self.directions:
            prefix = f"rnns.{layer}.rnn."
            shapes[f"{prefix}weight_ih_l0{direction}"] = (rows, self.hidden if layer else self.features)
            shapes[f"{prefix}weight_hh_l0{direction}"] = (rows, self.hidden)
            shapes[f"{prefix}bias_ih_l0{direction}"] = (rows,)
            shapes[f"{prefix}bias_hh_l0{direction}"] = (rows,)
        return shapes


def build(checkpoint: Checkpoint) -> Network:
    """Write the graph of a DeepSpeech2 checkpoint.

    Inputs are `spectrogram`, float32 (batch, 1, frequencies, time), and `input_lengths`, int64 (batch), in spectrogram
    frames. Outputs are `logits` and their softmax `probs`, float32 (batch, frames, labels), and `output_lengths`,
    int64 (batch). What lies past a row's length changes nothing before it.

    Every batch norm is folded in float64 into the layer beside it: the convolution before it, the recurrent or linear
    layer after it.

    Raises:
        CheckpointError: The configuration or a tensor does not fit the network; lists everything.
    """
    architecture = _Architecture.of(checkpoint)
    _check(checkpoint, architecture.shapes())
    tensors = checkpoint.tensors
    graph = Graph("deepspeech2")
    x = graph.input("spectrogram", "float32", ("batch", 1, architecture.frequencies, "time"))
    input_lengths = graph.input("input_lengths", "int64", ("batch",))
    time = graph.op("Gather", graph.op("Shape", x), graph.constant(3, "int64"))
    output_lengths = _halved(graph, input_lengths)
    mask = _mask(graph, _halved(graph, time), output_lengths)

    x = _masked(graph, x, _mask(graph, time, input_lengths), (1, 2))
    x = _convolve(graph, x, mask, tensors)
    x = _recur(graph, x, output_lengths, architecture, tensors)
    if architecture.context:
        x = _look_ahead(graph, x, mask, architecture, tensors)
    else:
        x = graph.op("Transpose", x, perm=(1, 0, 2))
    logits = _classify(graph, x, tensors)

    probs = graph.op("Softmax", logits, axis=-1)
    dims = ("batch", "frames", architecture.labels)
    graph.output(logits, "logits", "float32", dims, length="output_lengths")
    graph.output(probs, "probs", "float32", dims, length="output_lengths")
    graph.output(output_lengths, "output_lengths", "int64", ("batch",))
    return graph.network()


def _norm_shapes(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}


def _check(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> None:
    tensors = checkpoint.tensors
    problems = [f"{name} is missing; expected shape {shape}" for name, shape in shapes.items() if name not in tensors]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}; expected {shape}"
        for name, shape in shapes.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    problems += [f"{name} is no tensor of this network" for name in tensors if name not in shapes]
    if problems:
        raise CheckpointError(
            checkpoint.path, problems, "Use a checkpoint whose tensors and configuration belong together."
        )


def _halved(graph: Graph, length: ir.Value) -> ir.Value:
    """Frames after the first convolution's stride of 2: (length - 1) // 2 + 1, in whole numbers.

    The original computes batch lengths from float32 fractions and so loses a frame now and then; alone it does not.
    """
    one = graph.constant(1, "int64")
    return graph.op("Add", graph.op("Div", graph.op("Sub", length, one), graph.constant(2, "int64")), one)


def _mask(graph: Graph, size: ir.Value, lengths: ir.Value) -> ir.Value:
    """True where a frame belongs to the utterance, (batch, size)."""
    frames = graph.op("Range", graph.constant(0, "int64"), size, graph.constant(1, "int64"))
    return graph.op("Less", frames, graph.op("Unsqueeze", lengths, graph.constant([1], "int64")))


def _masked(graph: Graph, x: ir.Value, mask: ir.Value, axes: tuple[int, ...]) -> ir.Value:
    """`x` with zeros past each row's length; `axes` are those of `x` that the mask lacks."""
    return graph.op("Where", graph.op("Unsqueeze", mask, graph.constant(axes, "int64")), x, graph.constant(0.0))


def _scale_and_shift(tensors: Mapping[str, Array], norm: str) -> tuple[Array, Array]:
    """A batch norm with fixed statistics as x * scale + shift, in float64."""
    weight, bias, mean, variance = (
        tensors[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight / np.sqrt(variance + _EPSILON)
    return scale, bias - mean * scale


def _convolve(graph: Graph, x: ir.Value, mask: ir.Value, tensors: Mapping[str, Array]) -> ir.Value:
    """(batch, 1, frequencies, time) to (batch, channels, frequencies, frames).

    The original masks after each of its six modules. Only a convolution looks at neighbouring frames, so one mask after
    each block gives the same values.
    """
    for convolution in _CONVOLUTIONS:
        scale, shift = _scale_and_shift(tensors, convolution.norm)
        name = convolution.module
        weight = tensors[f"{name}.weight"] * scale[:, None, None, None]
        bias = tensors[f"{name}.bias"] * scale + shift
        with graph.scope(name):
            x = _convolution(graph, x, convolution, (weight.astype(np.float32), bias.astype(np.float32)))
            x = _hardtanh(graph, x)
            x = _masked(graph, x, mask, (1, 2))
    return x


def _convolution(
    graph: Graph, x: ir.Value, convolution: _Convolution, parameters: tuple[FloatArray, FloatArray]
) -> ir.Value:
    """One convolution; over many input channels as a sum of partial ones.

    The second convolution adds 7,392 products a value. In one float32 chain its rounding is most of the network's whole
    error (up to 6.8e-5 on logits of the golden checkpoint); summed in four parts it halves. See docs/decisions/0010.
    """
    name, (weight, bias) = convolution.module, parameters
    parts = _PARTIAL_SUMS if convolution.inputs % _PARTIAL_SUMS == 0 else 1
    attributes: dict[str, Any] = {
        "kernel_shape": convolution.kernel,
        "strides": convolution.stride,
        "pads": convolution.padding * 2,
        "group": parts,
    }
    if parts == 1:
        return graph.op(
            "Conv", x, graph.weight(f"{name}.weight", weight), graph.weight(f"{name}.bias", bias), **attributes
        )
    split = np.concatenate(np.split(weight, parts, axis=1))
    x = graph.op("Conv", x, graph.weight(f"{name}.weight", split), **attributes)
    # (batch, parts * channels, frequencies, frames): the parts of a channel stand `channels` apart.
    shape = graph.op("Shape", x, start=2)
    shape = graph.op("Concat", graph.constant((0, parts, _CHANNELS), "int64"), shape, axis=0)
    x = graph.op("ReduceSum", graph.op("Reshape", x, shape), graph.constant([1], "int64"), keepdims=0)
    return graph.op("Add", x, graph.weight(f"{name}.bias", bias.reshape(1, -1, 1, 1)))


def _hardtanh(graph: Graph, x: ir.Value) -> ir.Value:
    return graph.op("Clip", x, graph.constant(0.0), graph.constant(_CEILING))


def _recur(
    graph: Graph, x: ir.Value, lengths: ir.Value, architecture: _Architecture, tensors: Mapping[str, Array]
) -> ir.Value:
    """(batch, channels, frequencies, frames) to (frames, batch, hidden), the directions summed."""
    x = graph.op("Transpose", x, perm=(3, 0, 1, 2))
    x = graph.op("Reshape", x, graph.constant((0, 0, architecture.features), "int64"))
    sequence_lens = graph.op("Cast", lengths, to=int(ir.DataType.INT32))
    axis = graph.constant([1], "int64")
    for layer in range(architecture.layers):
        name = f"rnns.{layer}.rnn"
        weights = _recurrent_weights(architecture, tensors, layer)
        with graph.scope(name):
            x, *_ = graph.op_outputs(
                architecture.cell.operator,
                x,
                *(graph.weight(f"{name}.{part}", array) for part, array in zip("WRB", weights, strict=True)),
                sequence_lens,
                count=1,
                hidden_size=architecture.hidden,
                direction="bidirectional" if architecture.bidirectional else "forward",
                **architecture.cell.attributes,
            )
            x = (
                graph.op("ReduceSum", x, axis, keepdims=0)
                if architecture.bidirectional
                else graph.op("Squeeze", x, axis)
            )
    return x


def _recurrent_weights(
    architecture: _Architecture, tensors: Mapping[str, Array], layer: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """W (directions, gates * hidden, inputs), R (directions, gates * hidden, hidden), B (directions, both biases).

    B holds the biases of W, then those of R. The batch norm before the layer is folded into W and the first half of B.
    """
    parts = []
    for direction in architecture.directions:
        weight, recurrent, bias, recurrent_bias = (
            _in_onnx_order(tensors[f"rnns.{layer}.rnn.{name}_l0{direction}"], architecture.cell)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        if layer:
            weight, bias = _after_norm(tensors, f"rnns.{layer}.batch_norm.module", weight, bias)
        parts.append((weight, recurrent, np.concatenate([bias, recurrent_bias])))
    weights, recurrents, biases = (np.stack(arrays).astype(np.float32) for arrays in zip(*parts, strict=True))
    return weights, recurrents, biases


def _in_onnx_order(tensor: Array, cell: _Cell) -> Array:
    gates = np.split(tensor, len(cell.gates))
    return np.concatenate([gates[index] for index in cell.gates])


def _after_norm(
    tensors: Mapping[str, Array], norm: str, weight: Array, bias: Array | float = 0.0
) -> tuple[Array, Array]:
    """Weight (outputs, inputs) and bias that take the input of the batch norm before the layer."""
    scale, shift = _scale_and_shift(tensors, norm)
    return weight * scale, bias + weight.astype(np.float64) @ shift


def _look_ahead(
    graph: Graph, x: ir.Value, mask: ir.Value, architecture: _Architecture, tensors: Mapping[str, Array]
) -> ir.Value:
    """(frames, batch, hidden) to (batch, frames, hidden): each frame sees `context - 1` frames of its future.

    Past the utterance's end it must see zeros, as it does alone; not every runtime's recurrent layer writes them.
    """
    name = "lookahead.0.conv"
    with graph.scope(name):
        x = _masked(graph, graph.op("Transpose", x, perm=(1, 2, 0)), mask, (1,))
        x = graph.op(
            "Conv",
            x,
            graph.weight(f"{name}.weight", tensors[f"{name}.weight"]),
            group=architecture.hidden,
            kernel_shape=(architecture.context,),
            pads=(0, architecture.context - 1),
        )
    return graph.op("Transpose", _hardtanh(graph, x), perm=(0, 2, 1))


def _classify(graph: Graph, x: ir.Value, tensors: Mapping[str, Array]) -> ir.Value:
    """(batch, frames, hidden) to (batch, frames, labels)."""
    name = "fc.0.module.1"
    weight, bias = _after_norm(tensors, "fc.0.module.0", tensors[f"{name}.weight"])
    with graph.scope(name):
        product = graph.op("MatMul", x, graph.weight(f"{name}.weight", weight.T.astype(np.float32)))
        return graph.op("Add", product, graph.weight(f"{name}.bias", bias.astype(np.float32)))
