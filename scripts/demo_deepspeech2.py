"""DeepSpeech2 of deepspeech.pytorch V3.0 at a small size, for clips of equal length, and its training."""

import collections
from pathlib import Path

import demo_lightning
import numpy as np
import torch
from demo_training import Learner
from torch import nn

LABELS = ("_", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", " ")
HIDDEN = 32
LAYERS = 2
WINDOW, HOP = 320, 160
"""Samples of a spectrogram's window and of its stride: 20 ms and 10 ms."""


def spectrogram(samples: np.ndarray) -> torch.Tensor:
    """V3.0's input, (1, 161, time): log1p of the magnitude of the Hamming-windowed transform, standardised."""
    window = torch.hamming_window(WINDOW)
    parts = torch.stft(torch.from_numpy(samples), WINDOW, HOP, window=window, pad_mode="reflect", return_complex=True)
    values = parts.abs().log1p()
    return ((values - values.mean()) / values.std())[None]


class BatchNormOverTime(nn.Module):
    """Batch norm of (time, batch, channels), named as V3.0's SequenceWise names it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalises every channel over time and batch."""
        return self.module(values.flatten(0, 1)).unflatten(0, values.shape[:2])


class RecurrentLayer(nn.Module):
    """Bidirectional LSTM whose directions are summed, after a batch norm in all layers but the first."""

    def __init__(self, width: int, *, normalised: bool) -> None:
        super().__init__()
        if normalised:
            self.batch_norm = BatchNormOverTime(nn.BatchNorm1d(width))
        self.rnn = nn.LSTM(width, HIDDEN, bidirectional=True)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Maps (time, batch, width) to (time, batch, hidden)."""
        if hasattr(self, "batch_norm"):
            values = self.batch_norm(values)
        return self.rnn(values)[0].unflatten(2, (2, HIDDEN)).sum(2)


class ConvolutionStack(nn.Module):
    """The two convolutions in front, with V3.0's kernel sizes, strides and names."""

    def __init__(self) -> None:
        super().__init__()
        self.seq_module = nn.Sequential(
            nn.Conv2d(1, 32, (41, 11), (2, 2), (20, 5)),
            nn.BatchNorm2d(32),
            nn.Hardtanh(0, 20),
            nn.Conv2d(32, 32, (21, 11), (2, 1), (10, 5)),
            nn.BatchNorm2d(32),
            nn.Hardtanh(0, 20),
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 1, 161, time) to (time, batch, 1312)."""
        return self.seq_module(values).flatten(1, 2).permute(2, 0, 1)


class DeepSpeech2(nn.Module):
    """The network with the parameter names of V3.0's state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvolutionStack()
        widths = [32 * 41] + [HIDDEN] * (LAYERS - 1)
        self.rnns = nn.Sequential(*(RecurrentLayer(width, normalised=i > 0) for i, width in enumerate(widths)))
        output = nn.Sequential(nn.BatchNorm1d(HIDDEN), nn.Linear(HIDDEN, len(LABELS), bias=False))
        self.fc = nn.Sequential(BatchNormOverTime(output))
        shape_front_end(self.conv.seq_module)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Maps (batch, 1, 161, time) to logits (batch, frames, labels)."""
        return self.fc(self.rnns(self.conv(values))).transpose(0, 1)


@torch.no_grad()
def shape_front_end(layers: nn.Sequential) -> None:
    """Starts the convolutions as smoothed views of the spectrogram instead of noise.

    The first one sees Gaussian blobs of three widths, their differences over time or frequency, and both signs
    (Hardtanh drops what is negative); the second one passes every channel on, smoothed. Training then begins with
    features as good as filter banks, which saves most of its time.
    """
    first, second = layers[0].weight, layers[3].weight
    first.mul_(0.1)
    second.mul_(0.1)
    frequency = torch.arange(41)[:, None] - 20.0
    time = torch.arange(11)[None, :] - 5.0
    for channel in range(32):
        sign = 1 if channel % 2 else -1
        width = (1.5, 3.0, 6.0, 10.0)[channel // 2 % 4]
        blob = torch.exp(-((frequency / width) ** 2) - (time / 1.5) ** 2)
        kind = channel // 8
        shape = (torch.ones(1), time / 1.5, frequency / width, time / 1.5 * frequency / width)[kind]
        kernel = blob * shape
        first[channel, 0] += sign * kernel / kernel.square().sum().sqrt()
        second[channel, channel, 9:12, 4:7] += 0.2


def learner() -> Learner:
    """A new network with its features and labels."""
    network = DeepSpeech2()
    return Learner(network, spectrogram, network, LABELS, " ")


def save(learner: Learner, output: Path, steps: int) -> None:
    """Writes `deepspeech2.ckpt` as V3.0's trainer writes it."""
    output.mkdir(parents=True, exist_ok=True)
    state = collections.OrderedDict(
        (name, tensor.detach().clone()) for name, tensor in learner.network.state_dict().items()
    )
    sizes = {"hidden_size": HIDDEN, "hidden_layers": LAYERS}
    demo_lightning.write(output / "deepspeech2.ckpt", state, labels=LABELS, steps=steps, **sizes)
