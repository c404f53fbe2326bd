"""The network of deepspeech.pytorch V3.0 in torch, against which parity is measured.

Written anew after `deepspeech_pytorch/model.py` (tag V3.0, 709df90a): the original needs packages that no longer
install together. Module names are the original's, so that its tensors load strictly.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inferry.core.errors import CheckpointError, MissingDependencyError
from inferry.core.machine import INSTALL_REFERENCE
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

if TYPE_CHECKING:
    from torch import Tensor, nn

_CHANNELS: Final = 32


def reference(checkpoint: Checkpoint) -> "DeepSpeech2Reference":
    """The original network with the checkpoint's weights, on the processor.

    It computes in float64, so that its own rounding takes nothing of the tolerance: docs/decisions/0003.

    Raises:
        MissingDependencyError: torch is not installed.
        CheckpointError: A tensor is missing, of another shape, or of no use; lists everything.
    """
    try:
        import torch  # noqa: F401 -- asked for here so that the error names the extra
    except ImportError as error:
        raise MissingDependencyError("torch", "The original DeepSpeech2 network", INSTALL_REFERENCE) from error
    modules = _modules(checkpoint.config)
    _load(modules, checkpoint)
    return DeepSpeech2Reference(modules, bidirectional=bool(checkpoint.config["bidirectional"]))


class DeepSpeech2Reference:
    """DeepSpeech2 for one utterance alone; conforms to `inferry.core.protocols.Reference`.

    Args:
        modules: The network's parts under their original names.
        bidirectional: Whether the two directions of each recurrent layer are summed.
    """

    def __init__(self, modules: "nn.ModuleDict", *, bidirectional: bool) -> None:
        self._modules = modules.double().eval()
        self._bidirectional = bidirectional

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of one utterance alone and unpadded.

        Args:
            inputs: `spectrogram`, float32 (1, frequencies, time), and `input_lengths`, an integer; frames past it are
                cut off.

        Returns:
            `logits` and `probs`, float64 (frames, labels), and `output_lengths`, int64 ().
        """
        import torch

        length = int(inputs["input_lengths"])
        spectrogram = np.ascontiguousarray(inputs["spectrogram"][..., :length], dtype=np.float64)
        with torch.inference_mode():
            logits = self._forward(torch.from_numpy(spectrogram)[None])
            probs = logits.softmax(dim=-1)
        return {
            "logits": logits.numpy(),
            "probs": probs.numpy(),
            "output_lengths": np.array(logits.shape[0], dtype=np.int64),
        }

    def signature(self) -> dict[str, str]:
        """The package that computes it, with its version."""
        import torch

        return {"network": "deepspeech.pytorch V3.0, written anew", "torch": str(torch.__version__)}

    def _forward(self, spectrogram: "Tensor") -> "Tensor":
        """(1, 1, frequencies, time) to logits (frames, labels).

        The masks of the original do nothing to one utterance.
        """
        from torch.nn.functional import pad

        modules: Any = self._modules
        x = modules["conv"]["seq_module"](spectrogram)
        x = x.flatten(1, 2).permute(2, 0, 1).contiguous()
        for layer in modules["rnns"]:
            if "batch_norm" in layer:
                x = layer["batch_norm"]["module"](x[:, 0])[:, None]
            x, _ = layer["rnn"](x)
            if self._bidirectional:
                x = x.view(x.shape[0], 1, 2, -1).sum(2)
        if not self._bidirectional:
            convolution = modules["lookahead"][0]["conv"]
            context = convolution.kernel_size[0]
            x = convolution(pad(x.permute(1, 2, 0), (0, context - 1))).clamp(0, 20).permute(2, 0, 1)
        logits: Tensor = modules["fc"][0]["module"](x[:, 0])
        return logits


def _modules(config: Mapping[str, Any]) -> "nn.ModuleDict":
    """Empty modules, named as in the original."""
    from torch import nn

    hidden = int(config["hidden_size"])
    bidirectional = bool(config["bidirectional"])
    cell = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[config["rnn_type"]]
    rnns = nn.ModuleList()
    for layer in range(int(config["hidden_layers"])):
        rnn = cell(hidden if layer else _features(config), hidden, bidirectional=bidirectional)
        norm = {"batch_norm": nn.ModuleDict({"module": nn.BatchNorm1d(hidden)})} if layer else {}
        rnns.append(nn.ModuleDict({**norm, "rnn": rnn}))
    parts: dict[str, Any] = {"conv": nn.ModuleDict({"seq_module": _convolutions()}), "rnns": rnns}
    if not bidirectional:
        context = int(config["lookahead_context"])
        lookahead = nn.Conv1d(hidden, hidden, context, groups=hidden, bias=False)
        parts["lookahead"] = nn.ModuleList([nn.ModuleDict({"conv": lookahead})])
    fully_connected = nn.Sequential(nn.BatchNorm1d(hidden), nn.Linear(hidden, len(config["labels"]), bias=False))
    parts["fc"] = nn.ModuleList([nn.ModuleDict({"module": fully_connected})])
    return nn.ModuleDict(parts)


def _convolutions() -> "nn.Sequential":
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, _CHANNELS, kernel_size=(41, 11), stride=(2, 2), padding=(20, 5)),
        nn.BatchNorm2d(_CHANNELS),
        nn.Hardtanh(0, 20),
        nn.Conv2d(_CHANNELS, _CHANNELS, kernel_size=(21, 11), stride=(2, 1), padding=(10, 5)),
        nn.BatchNorm2d(_CHANNELS),
        nn.Hardtanh(0, 20),
    )


def _features(config: Mapping[str, Any]) -> int:
    """Channels times frequencies after the two convolutions, as the original computes them."""
    frequencies = int(config["sample_rate"] * config["window_size"]) // 2 + 1
    frequencies = (frequencies + 2 * 20 - 41) // 2 + 1
    frequencies = (frequencies + 2 * 10 - 21) // 2 + 1
    return _CHANNELS * frequencies


def _load(modules: "nn.ModuleDict", checkpoint: Checkpoint) -> None:
    """Copy every tensor to its place; counters of training steps may be absent."""
    import torch

    places = {name: place for name, place in modules.state_dict().items() if not name.endswith("num_batches_tracked")}
    tensors = {name: array for name, array in checkpoint.tensors.items() if not name.endswith("num_batches_tracked")}
    problems = [f"{name} is missing" for name in places.keys() - tensors.keys()]
    problems += [f"{name} has no place in the network" for name in tensors.keys() - places.keys()]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}; expected {tuple(place.shape)}"
        for name, place in places.items()
        if name in tensors and tuple(tensors[name].shape) != tuple(place.shape)
    ]
    if problems:
        fix = "Use a checkpoint whose tensors and configuration belong together."
        raise CheckpointError(checkpoint.path, sorted(problems), fix)
    for name, place in places.items():
        place.copy_(torch.from_numpy(np.array(tensors[name], dtype=np.float32)))
