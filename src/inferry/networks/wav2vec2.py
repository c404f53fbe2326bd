"""wav2vec 2.0 with a CTC head (Baevski et al., arXiv:2006.11477), exact under padding.

Source: transformers 5.23, models/wav2vec2/modeling_wav2vec2.py, Wav2Vec2ForCTC, in the group norm (base) and layer norm
(large, lv60) variants and their mixtures.
"""

import numpy as np
import onnx_ir as ir

from inferry.core.protocols import Checkpoint, Network
from inferry.networks import speech_encoder as encoder
from inferry.networks.graph import Graph
from inferry.networks.modules import Modules
from inferry.networks.speech_config import SpeechConfig

_GROUP_NORM_EPSILON = 1e-5
"""torch.nn.GroupNorm's default, which the original does not change."""


def build(checkpoint: Checkpoint) -> Network:
    """Write the network of `checkpoint`.

    Inputs: ``input_values`` float32 (batch, samples), normalised and zero padded, and ``input_lengths`` int64 (batch),
    the true sample counts.
    Outputs: ``logits`` float32 (batch, frames, vocabulary) and ``output_lengths`` int64 (batch).

    Raises:
        CheckpointError: The configuration is not supported, or the tensors are not those that it describes.
    """
    config = SpeechConfig.from_checkpoint(checkpoint)
    modules = Modules(Graph("wav2vec2"), checkpoint)
    samples, lengths = encoder.waveform_inputs(modules.graph)
    with modules.scope("wav2vec2"):
        features = _features(modules, samples, lengths, config)
        frames = encoder.frames_of(modules, features, lengths, config)
        x = encoder.feature_projection(modules, features, config)
        with modules.scope("encoder"):
            x = _add_positions(modules, x, config, frames)
            x = encoder.encoder_layers(modules, x, config, frames)
    encoder.ctc_head(modules, x, config, frames)
    modules.finish()
    return modules.graph.network()


def _features(modules: Modules, samples: ir.Value, lengths: ir.Value, config: SpeechConfig) -> ir.Value:
    """(batch, samples) to (batch, frames, channels)."""
    if config.feat_extract_norm == "layer":
        return encoder.layer_norm_features(modules, samples, config)
    with modules.scope("feature_extractor"):
        with modules.scope("conv_layers.0"):
            x = modules.gelu(_group_norm_conv(modules, samples, lengths, config))
        for index in range(1, len(config.conv_dim)):
            with modules.scope(f"conv_layers.{index}"):
                x = modules.gelu(encoder.feature_conv(modules, x, config, index))
        return modules.transpose(x)


def _group_norm_conv(modules: Modules, samples: ir.Value, lengths: ir.Value, config: SpeechConfig) -> ir.Value:
    """The first convolution and its norm over time: (batch, samples) to (batch, channels, frames), 0 on padded frames.

    A convolution of one channel is a matrix product of its kernels with the windows of the signal, so the norm can
    work on the kernels instead of sweeping over all channels: one more kernel column, on a row of ones that ends where
    the utterance does, takes the mean away and later brings the norm's bias in. The variance is taken from the centred
    product, not from the windows' covariance, which would lose quiet channels to cancellation. The convolution's own
    bias moves only the mean, which the norm takes away.
    """
    graph, channels, kernel = modules.graph, config.conv_dim[0], config.conv_kernel[0]
    weight = modules.tensor("conv.weight", (channels, 1, kernel)).reshape(channels, kernel)
    kernels = graph.weight(f"{graph.path}.conv.weight", weight)
    if config.conv_bias:
        modules.tensor("conv.bias", (channels,))
    rows, mean_window, count = _windows(modules, samples, lengths, config)
    mean = graph.op("MatMul", kernels, mean_window)
    size = graph.op("Concat", graph.op("Shape", samples, end=1), graph.constant([1, 1], "int64"), axis=0)
    centring = graph.op("Concat", graph.op("Expand", kernels, size), graph.op("Neg", mean), axis=2)
    centred = graph.op("MatMul", centring, rows)
    # Not ReduceSumSquare: ONNX Runtime sums it in one chain, ten times less exactly over seven seconds.
    squares = graph.op("ReduceSum", graph.op("Mul", centred, centred), graph.constant([2], "int64"), keepdims=1)
    variance = graph.op("Div", squares, count)
    deviation = graph.op("Sqrt", graph.op("Add", variance, graph.constant(_GROUP_NORM_EPSILON)))
    gamma, beta = (
        graph.weight(f"{graph.path}.layer_norm.{name}", modules.tensor(f"layer_norm.{name}", (channels,))[:, None])
        for name in ("weight", "bias")
    )
    scale = graph.op("Div", gamma, deviation)
    shift = graph.op("Sub", beta, graph.op("Mul", mean, scale))
    return graph.op("MatMul", graph.op("Concat", graph.op("Mul", kernels, scale), shift, axis=2), rows)


def _windows(
    modules: Modules, samples: ir.Value, lengths: ir.Value, config: SpeechConfig
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """The windows that the first convolution reads; a convolution with unit kernels copies them out of the signal.

    Returns:
        Windows with a last row of ones (batch, kernel + 1, frames), all 0 on padded frames; the mean window of the real
        frames (batch, kernel, 1); their number (batch, 1, 1), float32.
    """
    graph, kernel, stride = modules.graph, config.conv_kernel[0], config.conv_stride[0]
    middle = graph.constant([1], "int64")
    picks = graph.constant(np.eye(kernel)[:, None, :])
    signal = graph.op("Unsqueeze", samples, middle)
    windows = graph.op("Conv", signal, picks, name="windows", kernel_shape=[kernel], strides=[stride])
    counts = encoder.frame_counts(modules, lengths, kernel, stride)
    real = encoder.is_valid(modules, windows, counts, 2)
    valid = graph.op("Cast", graph.op("Unsqueeze", real, middle), to=ir.DataType.FLOAT)
    count = graph.op("Cast", graph.op("Unsqueeze", counts, graph.constant([1, 2], "int64")), to=ir.DataType.FLOAT)
    windows = graph.op("Mul", windows, valid)
    total = graph.op("ReduceSum", windows, graph.constant([2], "int64"), keepdims=1)
    return graph.op("Concat", windows, valid, axis=1), graph.op("Div", total, count), count


def _add_positions(modules: Modules, x: ir.Value, config: SpeechConfig, frames: encoder.Frames) -> ir.Value:
    with modules.scope("pos_conv_embed"):
        positions = encoder.positional_conv(modules, x, config, frames, config.num_conv_pos_embeddings)
        positions = modules.gelu(positions)
    return modules.graph.op("Add", x, positions)
