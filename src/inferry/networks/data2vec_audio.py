"""data2vec-audio with a CTC head (Baevski et al., arXiv:2202.03555), exact under padding.

Source: transformers 5.23, models/data2vec/modeling_data2vec_audio.py, Data2VecAudioForCTC.
"""

import numpy as np
import onnx_ir as ir

from inferry.core.protocols import Checkpoint, Network
from inferry.networks import speech_encoder as encoder
from inferry.networks.graph import Graph
from inferry.networks.modules import Modules
from inferry.networks.speech_config import SpeechConfig


def build(checkpoint: Checkpoint) -> Network:
    """Write the network of `checkpoint`.

    Inputs: ``input_values`` float32 (batch, samples), normalised and zero padded, and ``input_lengths`` int64 (batch),
    the true sample counts.
    Outputs: ``logits`` float32 (batch, frames, vocabulary) and ``output_lengths`` int64 (batch).

    Raises:
        CheckpointError: The configuration is not supported, or the tensors are not those that it describes.
    """
    config = SpeechConfig.from_checkpoint(checkpoint, {"num_conv_pos_embeddings": 5})
    modules = Modules(Graph("data2vec-audio"), checkpoint)
    samples, lengths = encoder.waveform_inputs(modules.graph)
    with modules.scope("data2vec_audio"):
        features = encoder.layer_norm_features(modules, samples, config)
        frames = encoder.frames_of(modules, features, lengths, config)
        x = encoder.feature_projection(modules, features, config)
        with modules.scope("encoder"):
            x = modules.graph.op("Add", x, _positions(modules, x, config, frames))
            x = encoder.encoder_layers(modules, x, config, frames)
    encoder.ctc_head(modules, x, config, frames)
    modules.finish()
    return modules.graph.network()


def _positions(modules: Modules, x: ir.Value, config: SpeechConfig, frames: encoder.Frames) -> ir.Value:
    """Stacked positional convolutions. Each one would carry padding into the frames before it: zeroed every time."""
    graph = modules.graph
    scale = graph.weight("unit_scale", np.ones(config.hidden_size, np.float32))
    for index in range(config.num_conv_pos_embeddings):
        with modules.scope(f"pos_conv_embed.layers.{index}"):
            x = encoder.positional_conv(modules, x, config, frames, config.conv_pos_kernel_size)
            x = modules.gelu(graph.op("LayerNormalization", x, scale, axis=-1, epsilon=1e-5))
    return x
