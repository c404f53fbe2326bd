"""Names and shapes of all tensors of DeepSpeech2, derived from its configuration.

After deepspeech.pytorch V3.0, ``deepspeech_pytorch/model.py``.
"""

from collections.abc import Mapping
from typing import Any, Final

from inferry.checkpoints.tensor_checks import Shapes

GATES: Final = {"lstm": 4, "gru": 3, "rnn": 1}
"""Rows of an RNN's weights per unit."""

_CHANNELS: Final = 32


def frequencies(sample_rate: int, window_size: float) -> int:
    """Bins of the spectrogram: window samples // 2 + 1."""
    return int(sample_rate * window_size) // 2 + 1


def rnn_inputs(bins: int) -> int:
    """Features of the first RNN: channels times what the two convolutions leave of the frequency axis."""
    first = (bins + 2 * 20 - 41) // 2 + 1
    second = (first + 2 * 10 - 21) // 2 + 1
    return _CHANNELS * second


def deepspeech_table(config: Mapping[str, Any]) -> Shapes:
    """Expected tensors, without ``num_batches_tracked``.

    Args:
        config: As in `Checkpoint.config`; everything but window and window_stride counts.
    """
    hidden = config["hidden_size"]
    table: Shapes = {
        "conv.seq_module.0.weight": (_CHANNELS, 1, 41, 11),
        "conv.seq_module.0.bias": (_CHANNELS,),
        **_batch_norm("conv.seq_module.1", _CHANNELS),
        "conv.seq_module.3.weight": (_CHANNELS, _CHANNELS, 21, 11),
        "conv.seq_module.3.bias": (_CHANNELS,),
        **_batch_norm("conv.seq_module.4", _CHANNELS),
    }
    for layer in range(config["hidden_layers"]):
        inputs = hidden if layer else rnn_inputs(frequencies(config["sample_rate"], config["window_size"]))
        if layer:
            table |= _batch_norm(f"rnns.{layer}.batch_norm.module", hidden)
        table |= _rnn(f"rnns.{layer}.rnn", GATES[config["rnn_type"]] * hidden, inputs, hidden)
        if config["bidirectional"]:
            backward = _rnn(f"rnns.{layer}.rnn", GATES[config["rnn_type"]] * hidden, inputs, hidden)
            table |= {f"{name}_reverse": shape for name, shape in backward.items()}
    if not config["bidirectional"]:
        table["lookahead.0.conv.weight"] = (hidden, 1, config["lookahead_context"])
    return {
        **table,
        **_batch_norm("fc.0.module.0", hidden),
        "fc.0.module.1.weight": (len(config["labels"]), hidden),
    }


def _batch_norm(name: str, size: int) -> Shapes:
    return {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}


def _rnn(name: str, rows: int, inputs: int, hidden: int) -> Shapes:
    return {
        f"{name}.weight_ih_l0": (rows, inputs),
        f"{name}.weight_hh_l0": (rows, hidden),
        f"{name}.bias_ih_l0": (rows,),
        f"{name}.bias_hh_l0": (rows,),
    }
