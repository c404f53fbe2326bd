"""What wav2vec2 and data2vec-audio share: frame counts, masks, convolutions, transformer blocks and the CTC head.

Sources: transformers 5.23, modeling_wav2vec2.py and modeling_data2vec_audio.py (Baevski et al., arXiv:2006.11477 and
arXiv:2202.03555). The originals let padding leak into the answer; these graphs do not.
"""

from dataclasses import dataclass

import onnx_ir as ir

from inferry.networks.graph import Graph
from inferry.networks.modules import Modules
from inferry.networks.speech_config import SpeechConfig

_MASKED = -30000.0
"""Added to the scores of padded keys: their softmax underflows to exactly zero, and the number fits into float16."""


@dataclass(frozen=True)
class Frames:
    """Which frames of a batch are real.

    Attributes:
        lengths: (batch), int64.
        valid: (batch, frames, 1), float32: 1 on real frames, 0 on padded ones.
        bias: (batch, 1, 1, frames), float32: 0 on real frames, very low on padded ones.
    """

    lengths: ir.Value
    valid: ir.Value
    bias: ir.Value


def waveform_inputs(graph: Graph) -> tuple[ir.Value, ir.Value]:
    """Declare ``input_values`` (batch, samples) and ``input_lengths`` (batch), the true sample counts."""
    samples = graph.input("input_values", "float32", ("batch", "samples"))
    return samples, graph.input("input_lengths", "int64", ("batch",))


def ctc_head(modules: Modules, x: ir.Value, config: SpeechConfig, frames: Frames) -> None:
    """Declare ``logits`` (batch, frames, vocabulary) and ``output_lengths`` (batch)."""
    logits = modules.linear("lm_head", x, config.hidden_size, config.vocab_size)
    dims = ("batch", "frames", config.vocab_size)
    modules.graph.output(logits, "logits", "float32", dims, length="output_lengths")
    modules.graph.output(frames.lengths, "output_lengths", "int64", ("batch",))


def frame_counts(modules: Modules, lengths: ir.Value, kernel: int, stride: int) -> ir.Value:
    """Outputs of an unpadded convolution over `lengths` (batch, int64) inputs: (n - kernel) // stride + 1."""
    graph = modules.graph
    spare = graph.op("Sub", lengths, graph.constant(kernel, "int64"))
    return graph.op("Add", graph.op("Div", spare, graph.constant(stride, "int64")), graph.constant(1, "int64"))


def is_valid(modules: Modules, x: ir.Value, lengths: ir.Value, time_axis: int) -> ir.Value:
    """(batch, time), bool: whether a position of `x` along `time_axis` lies before the end of its row."""
    graph = modules.graph
    zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
    size = graph.op("Squeeze", graph.op("Shape", x, start=time_axis, end=time_axis + 1))
    column = graph.op("Unsqueeze", lengths, graph.constant([1], "int64"))
    return graph.op("Less", graph.op("Range", zero, size, one), column)


def frames_of(modules: Modules, features: ir.Value, lengths: ir.Value, config: SpeechConfig) -> Frames:
    """The real frames of `features` (batch, frames, channels), from the true sample counts `lengths` (batch)."""
    graph = modules.graph
    with modules.scope("frames"):
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            lengths = frame_counts(modules, lengths, kernel, stride)
        valid = is_valid(modules, features, lengths, 1)
        column = graph.op("Unsqueeze", graph.op("Cast", valid, to=ir.DataType.FLOAT), graph.constant([2], "int64"))
        bias = graph.op("Where", valid, graph.constant(0.0), graph.constant(_MASKED))
        return Frames(lengths, column, graph.op("Unsqueeze", bias, graph.constant([1, 2], "int64")))


def feature_conv(modules: Modules, x: ir.Value, config: SpeechConfig, index: int) -> ir.Value:
    """A convolution of the feature encoder, without norm and activation: (batch, channels, time) in and out."""
    channels = config.conv_dim[index - 1] if index else 1
    shape = (config.conv_dim[index], channels, config.conv_kernel[index])
    return modules.conv1d("conv", x, shape, stride=config.conv_stride[index], bias=config.conv_bias)


def layer_norm_features(modules: Modules, samples: ir.Value, config: SpeechConfig) -> ir.Value:
    """The feature encoder with a norm over channels after each convolution.

    (batch, samples) to (batch, frames, channels). Real frames read real samples only, so nothing has to be masked.
    """
    x = modules.graph.op("Unsqueeze", samples, modules.graph.constant([1], "int64"))
    with modules.scope("feature_extractor"):
        for index, size in enumerate(config.conv_dim):
            with modules.scope(f"conv_layers.{index}"):
                x = modules.transpose(x) if index else x
                x = modules.transpose(feature_conv(modules, x, config, index))
                x = modules.gelu(modules.layer_norm("layer_norm", x, size))
    return x


def feature_projection(modules: Modules, features: ir.Value, config: SpeechConfig) -> ir.Value:
    """(batch, frames, conv_dim[-1]) to (batch, frames, hidden_size)."""
    size = config.conv_dim[-1]
    with modules.scope("feature_projection"):
        x = modules.layer_norm("layer_norm", features, size, config.layer_norm_eps)
        return modules.linear("projection", x, size, config.hidden_size)


def attention(modules: Modules, x: ir.Value, config: SpeechConfig, frames: Frames) -> ir.Value:
    """Multi-head self-attention over the real frames (Vaswani et al., arXiv:1706.03762)."""
    graph, size, heads = modules.graph, config.hidden_size, config.num_attention_heads
    width = size // heads
    split = graph.constant([0, 0, heads, width], "int64")

    def heads_of(name: str, perm: list[int]) -> ir.Value:
        return graph.op("Transpose", graph.op("Reshape", modules.linear(name, x, size, size), split), perm=perm)

    with modules.scope("attention"):
        query, key = heads_of("q_proj", [0, 2, 1, 3]), heads_of("k_proj", [0, 2, 3, 1])
        value = heads_of("v_proj", [0, 2, 1, 3])
        scores = graph.op("MatMul", graph.op("Mul", query, graph.constant(width**-0.5)), key)
        weights = graph.op("Softmax", graph.op("Add", scores, frames.bias), axis=-1)
        context = graph.op("Transpose", graph.op("MatMul", weights, value), perm=[0, 2, 1, 3])
        merged = graph.op("Reshape", context, graph.constant([0, 0, size], "int64"))
        return modules.linear("out_proj", merged, size, size)


def feed_forward(modules: Modules, x: ir.Value, config: SpeechConfig) -> ir.Value:
    """Two linear layers with GELU between them."""
    size, inner = config.hidden_size, config.intermediate_size
    with modules.scope("feed_forward"):
        x = modules.gelu(modules.linear("intermediate_dense", x, size, inner))
        return modules.linear("output_dense", x, inner, size)


def encoder_layer(modules: Modules, x: ir.Value, config: SpeechConfig, frames: Frames) -> ir.Value:
    """A transformer block, its norms after the sublayers or, with do_stable_layer_norm, before them."""
    add, stable = modules.graph.op, config.do_stable_layer_norm

    def norm(name: str, value: ir.Value) -> ir.Value:
        return modules.layer_norm(name, value, config.hidden_size, config.layer_norm_eps)

    if stable:
        x = add("Add", x, attention(modules, norm("layer_norm", x), config, frames))
        return add("Add", x, feed_forward(modules, norm("final_layer_norm", x), config))
    x = norm("layer_norm", add("Add", x, attention(modules, x, config, frames)))
    return norm("final_layer_norm", add("Add", x, feed_forward(modules, x, config)))


def encoder_layers(modules: Modules, x: ir.Value, config: SpeechConfig, frames: Frames) -> ir.Value:
    """All blocks, with the encoder's own norm before them or, with do_stable_layer_norm, after them."""
    if not config.do_stable_layer_norm:
        x = modules.layer_norm("layer_norm", x, config.hidden_size, config.layer_norm_eps)
    for index in range(config.num_hidden_layers):
        with modules.scope(f"layers.{index}"):
            x = encoder_layer(modules, x, config, frames)
    if config.do_stable_layer_norm:
        x = modules.layer_norm("layer_norm", x, config.hidden_size, config.layer_norm_eps)
    return x


def positional_conv(modules: Modules, x: ir.Value, config: SpeechConfig, frames: Frames, kernel: int) -> ir.Value:
    """A grouped convolution over time that keeps the frame count: (batch, frames, hidden) in and out.

    Padded frames are zeroed first, as the convolution's own padding is. The original pads an even kernel by half of it
    on both sides and drops the last frame; one less on the right is the same.
    """
    size, groups = config.hidden_size, config.num_conv_pos_embedding_groups
    masked = modules.transpose(modules.graph.op("Mul", x, frames.valid))
    pads = (kernel // 2, (kernel - 1) // 2)
    return modules.transpose(modules.conv1d("conv", masked, (size, size // groups, kernel), pads=pads, groups=groups))
